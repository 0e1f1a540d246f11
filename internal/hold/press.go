package hold

import (
	"time"
	"unique"
)

// press makes the bytes that go out to a connection, once for all that get the
// same. Each loop of parked connections has one.
type press struct {
	pressed [presses]pressing
	next    int
}

// presses is how many different answers are kept: as many as an event that goes
// to thousands is written in, by dialects and sites.
const presses = 8

// pressing is one answer.
type pressing struct {
	// body is known by its place in memory: an encoded delivery is shared. It is
	// kept here, so that nothing else gets this place.
	body   []byte
	head   unique.Handle[string]
	closes bool
	// once: nobody else gets this.
	once bool
	make func() []byte
	// second is when it was made: the head has the time.
	second int64
	bytes  []byte
}

// press is the loop's.
func (g *parked) press() *press {
	scratch := g.conn.Scratch()
	p, ok := (*scratch).(*press)
	if !ok {
		p = new(press)
		*scratch = p
	}
	return p
}

func (p *press) of(a pressing) []byte {
	if a.once || len(a.body) == 0 {
		return a.make()
	}
	a.second = time.Now().Unix()
	for i := range p.pressed {
		k := &p.pressed[i]
		if len(k.body) == len(a.body) && &k.body[0] == &a.body[0] && k.head == a.head &&
			k.closes == a.closes && k.second == a.second {
			return k.bytes
		}
	}
	a.bytes, a.make = a.make(), nil
	p.pressed[p.next] = a
	p.next = (p.next + 1) % presses
	return a.bytes
}
