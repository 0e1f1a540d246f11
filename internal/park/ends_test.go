package park

import (
	"strings"
	"testing"
	"time"
)

// A guest that goes on after its end harms nobody.
func TestEndsTwice(t *testing.T) {
	everywhere(t, func(g *ground) {
		neighbourEnd, neighbour := g.pair()
		good := g.parked(neighbour, "", answers("answer", true))
		for _, change := range []func(*visitor){
			func(v *visitor) { v.rung = func(v *visitor) { v.abort(); v.abort() } },
			func(v *visitor) { v.rung = func(v *visitor) { v.finish(false); v.abort(); v.finish(true) } },
			func(v *visitor) { v.rung = func(v *visitor) { v.finish(true); v.finish(false); v.abort() } },
			func(v *visitor) {
				v.lost = func(v *visitor) { v.finish(true); v.abort() }
			},
		} {
			c, server := g.pair()
			v := g.parked(server, "", change)
			v.conn.Ring()
			v.await("rung")
			c.reset()
			g.eventually("one connection is left", func() bool { return g.conns() == 1 })
			g.check()
			if n := g.lot.Held(); n != 1 {
				t.Fatalf("%d guests are left", n)
			}
		}
		good.conn.Ring()
		g.hears(neighbourEnd, "answer")
	})
}

// A server that ends closes what its handlers have: what was taken from it is handed
// over once.
func TestHandedOverOnce(t *testing.T) {
	everywhere(t, func(g *ground) {
		c, server := g.pair()
		v := g.parked(server, aRequest, answers("answer", true))
		v.conn.Ring()
		g.hears(c, "answer")
		back := g.returned()
		g.hears(back, aRequest)
		handed := 0
		if err := VisitOf(back).Take(func(Taken) { handed++ }); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_ = back.Close()
		}
		if handed != 1 {
			t.Errorf("handed over %d times", handed)
		}
		_ = VisitOf(back).inner.Close()
	})
}

// Close leaves nothing open, whatever becomes of it at that moment.
func TestClose(t *testing.T) {
	everywhere(t, func(g *ground) {
		var clients []client
		park := func(change func(*visitor)) *visitor {
			c, server := g.pair()
			clients = append(clients, c)
			return g.parked(server, "", change)
		}
		park(nil)
		for _, keep := range []bool{true, false} {
			v := park(answers("answer", keep))
			v.conn.Ring()
			v.await("flushed")
		}
		busy := park(answers(strings.Repeat("x", 8<<20), true))
		busy.conn.Ring()
		busy.await("rung")

		g.lot.Close()
		g.lot.Close()
		for _, c := range clients {
			g.closed(c)
		}
		g.eventually("no loop is left", func() bool { return !atWork() })
		if n := g.lot.Held(); n != 0 {
			t.Errorf("%d guests are left", n)
		}
		c, server := g.pair()
		late := g.park(server, "", nil)
		g.closed(c)
		late.conn.Ring()
		if n := g.lot.Held(); n != 0 {
			t.Errorf("%d guests are left after one came late", n)
		}
	})
}

// No bell is rung whose loop has ended: its number may be another file's.
func TestNoWakeAfterClose(t *testing.T) {
	g := newGround(t, ways()[0], "tcp")
	b := &bell{rung: make(chan struct{}), let: make(chan struct{})}
	l := &loop{lot: g.lot, watch: b, asleep: true}
	go l.ring(&Conn{loop: l, state: gone}) // is ringing the bell
	<-b.rung
	// Something else may have woken the loop, which then finds the lot closed.
	if l.mu.TryLock() {
		t.Error("a loop may end while its bell is rung")
	}
	b.let <- struct{}{}
}

// bell is a watch whose ringing takes as long as the test wants.
type bell struct {
	sleeper
	rung, let chan struct{}
}

func (b *bell) wake() {
	close(b.rung)
	<-b.let
}

// The time that a write had is not left with the connection.
func TestNoDeadlineIsLeft(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			g := newGround(t, ways()[0], kind)
			g.lot.writeTimeout = time.Second
			c := g.answered(true)
			g.says(c, "request")
			back := g.returned()
			g.hears(back, "request")
			time.Sleep(g.lot.writeTimeout) // a deadline that was left shows when it has passed
			if _, err := back.Write([]byte("another")); err != nil {
				t.Fatal(err)
			}
		})
	}
}
