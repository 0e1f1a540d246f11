package park

import "container/heap"

// dues are the connections to which something happens by itself, the next one
// first. One timer serves them all. Most are put off before their moment comes, and
// that is only noted: a connection finds its new place when its old moment comes.
type dues []*Conn

func (d *dues) set(c *Conn, m Moment) {
	c.due = m
	switch {
	case m == 0:
	case c.place < 0:
		c.key = m
		heap.Push(d, c)
	case m < c.key:
		c.key = m
		heap.Fix(d, int(c.place))
	}
}

// forget takes a connection out.
func (d *dues) forget(c *Conn) {
	if c.due = 0; c.place >= 0 {
		heap.Remove(d, int(c.place))
	}
}

// next is when to look, 0 for never. Nothing is due before.
func (d dues) next() Moment {
	if len(d) == 0 {
		return 0
	}
	return d[0].key
}

// ripe returns a connection to which something is to happen by now, nil if there is
// none.
func (d *dues) ripe(now Moment) *Conn {
	for len(*d) > 0 && (*d)[0].key <= now {
		switch c := (*d)[0]; {
		case c.due == 0:
			heap.Pop(d)
		case c.due > c.key:
			c.key = c.due
			heap.Fix(d, 0)
		default:
			return c
		}
	}
	return nil
}

// The methods of [heap.Interface].

func (d dues) Len() int           { return len(d) }
func (d dues) Less(i, j int) bool { return d[i].key < d[j].key }

func (d dues) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = int32(i), int32(j)
}

func (d *dues) Push(x any) {
	c := x.(*Conn)
	c.place = int32(len(*d))
	*d = append(*d, c)
}

func (d *dues) Pop() any {
	last := len(*d) - 1
	c := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	c.place = -1
	return c
}
