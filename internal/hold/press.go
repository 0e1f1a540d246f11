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
	// dated: it has a head, which says the time. second is when it was made.
	dated  bool
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

// find returns the bytes of an answer that was made before, nil if it was not. What is
// not found is to be kept.
func (p *press) find(a *pressing) []byte {
	if a.once || len(a.body) == 0 {
		return nil
	}
	if a.dated {
		a.second = time.Now().Unix()
	}
	for i := range p.pressed {
		k := &p.pressed[i]
		if len(k.body) == len(a.body) && &k.body[0] == &a.body[0] && k.head == a.head &&
			k.closes == a.closes && k.dated == a.dated && k.second == a.second {
			return k.bytes
		}
	}
	return nil
}

// keep keeps the bytes of an answer that was not found, and returns them.
func (p *press) keep(a pressing, b []byte) []byte {
	if !a.once && len(a.body) > 0 {
		a.bytes = b
		p.pressed[p.next] = a
		p.next = (p.next + 1) % presses
	}
	return b
}
