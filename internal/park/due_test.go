package park

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A guest to which something is always due keeps nobody from anything.
func TestAlwaysDue(t *testing.T) {
	everywhere(t, func(g *ground) {
		_, server := g.pair()
		g.parked(server, "", func(v *visitor) { v.when = 1 })
		c, server := g.pair()
		v := g.parked(server, "", func(v *visitor) {
			answers("answer", true)(v)
			v.due = func(v *visitor) { v.when = 0; v.conn.Ring() }
		})
		g.lot.Each(func(guest Guest) {
			if guest == v {
				v.when = In(time.Millisecond)
			}
		})
		g.hears(c, "answer")
	})
}

// Nothing is due too early, and the dues are in order.
func TestDuesInOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	conns := make([]Conn, 50)
	for i := range conns {
		conns[i].place = -1
	}
	var d dues
	for range 20_000 {
		c := &conns[r.IntN(len(conns))]
		d.set(c, Moment(r.IntN(20))) // 0 is none
		if r.IntN(10) == 0 {
			d.forget(c)
		}
		first := Moment(0)
		for i := range conns {
			if conns[i].due != 0 && conns[i].place < 0 {
				t.Fatalf("due at %d, at place %d", conns[i].due, conns[i].place)
			}
			first = Earlier(first, conns[i].due)
		}
		if n := d.next(); (n == 0) != (len(d) == 0) || first != 0 && n > first {
			t.Fatalf("to look at %d, want %d at the latest", n, first)
		}
		now := Moment(r.IntN(20))
		if c := d.ripe(now); (c != nil) != (first != 0 && first <= now) || c != nil && c.due != first {
			t.Fatalf("ripe at %d is %+v, want what is due at %d", now, c, first)
		}

	}
}
