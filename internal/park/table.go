package park

// table are a loop's connections.
type table struct {
	slots []*Conn
	free  []int32
}

func (t *table) add(c *Conn) {
	if last := len(t.free) - 1; last >= 0 {
		c.slot = t.free[last]
		t.free = t.free[:last]
		t.slots[c.slot] = c
		return
	}
	c.slot = int32(len(t.slots))
	t.slots = append(t.slots, c)
}

func (t *table) remove(c *Conn) {
	t.slots[c.slot] = nil
	t.free = append(t.free, c.slot)
	if len(t.free) == len(t.slots) {
		t.slots, t.free = nil, nil
	}
}

func (t *table) each(f func(*Conn)) {
	for _, c := range t.slots {
		if c != nil {
			f(c)
		}
	}
}
