package park

import "container/heap"

// dues are the connections to which something happens by itself, the next one
// first. One timer serves them all.
type dues []*Conn

func (d *dues) set(c *Conn, m Moment) {
	was := c.due
	c.due = m
	switch {
	case m == was:
	case m == 0:
		heap.Remove(d, int(c.place))
	case c.place < 0:
		heap.Push(d, c)
	default:
		heap.Fix(d, int(c.place))
	}
}

// next is the earliest moment, 0 if there is none.
func (d dues) next() Moment {
	if len(d) == 0 {
		return 0
	}
	return d[0].due
}

// The methods of [heap.Interface].

func (d dues) Len() int           { return len(d) }
func (d dues) Less(i, j int) bool { return d[i].due < d[j].due }

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
