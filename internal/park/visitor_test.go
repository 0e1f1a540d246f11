package park

import (
	"net"
	"sync"
	"sync/atomic"
)

// visitor is a guest that minds its rights: it is called by one goroutine at a
// time, not before it arrives, not after the end, told that a write is over once
// for each write, and asked for its moment.
type visitor struct {
	g    *ground
	conn *Conn
	// The rest of what it does; nil is nothing.
	arrived, rung, due, flushed, stop, lost func(*visitor)
	// when is its moment. Only the loop may change it.
	when Moment

	inside atomic.Bool
	// late: its client may be gone before it arrives.
	late bool
	// writing, ended: as the visitor sees it.
	writing, ended bool

	mu    sync.Mutex
	calls map[string]int
	slow  bool
}

// park parks a connection with a new visitor, that others may change before.
func (g *ground) park(c net.Conn, early string, change func(*visitor)) *visitor {
	g.Helper()
	v := &visitor{g: g, calls: map[string]int{}}
	if change != nil {
		change(v)
	}
	g.mu.Lock()
	delete(g.visiting, c)
	g.mu.Unlock()
	v.conn = g.lot.Conn(bare(c), []byte(early), &g.terms)
	v.conn.Park(v)
	return v
}

// parked is one that has arrived.
func (g *ground) parked(c net.Conn, early string, change func(*visitor)) *visitor {
	g.Helper()
	v := g.park(c, early, change)
	v.await("arrived")
	return v
}

func (v *visitor) enter(what string, do func(*visitor)) {
	if v.inside.Swap(true) {
		v.g.Errorf("%s while another call is on its way", what)
	}
	defer v.inside.Store(false)
	if v.ended {
		v.g.Errorf("%s after the end", what)
	}
	v.mu.Lock()
	v.calls[what]++
	early := what != "arrived" && (what != "lost" || !v.late) && v.calls["arrived"] == 0
	v.mu.Unlock()
	if early {
		v.g.Errorf("%s before the arrival", what)
	}
	if what == "lost" {
		v.ended = true
	}
	if do != nil {
		do(v)
	}
}

func (v *visitor) Arrived()     { v.enter("arrived", v.arrived) }
func (v *visitor) Near(int) int { return 0 }
func (v *visitor) Rung()        { v.enter("rung", v.rung) }
func (v *visitor) Due()         { v.enter("due", v.due) }
func (v *visitor) Stop()        { v.enter("stop", v.stop) }
func (v *visitor) When() Moment { return v.when }

func (v *visitor) Flushed() {
	if !v.writing {
		v.g.Error("flushed what was not written")
	}
	v.writing = false
	v.enter("flushed", v.flushed)
}

func (v *visitor) Lost(slow bool) {
	v.mu.Lock()
	v.slow = slow
	v.mu.Unlock()
	v.enter("lost", v.lost)
}

// had is how often it was called so.
func (v *visitor) had(what string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls[what]
}

func (v *visitor) await(what string) {
	v.g.Helper()
	v.g.eventually(what, func() bool { return v.had(what) > 0 })
}

// What a visitor does.

func (v *visitor) write(s string) {
	v.writing = true
	v.conn.Write([]byte(s))
}

func (v *visitor) finish(keep bool) {
	v.ended = true
	v.conn.Finish(keep)
}

func (v *visitor) abort() {
	v.ended = true
	v.conn.Abort()
}

// answers has a ring answered with that.
func answers(s string, keep bool) func(*visitor) {
	return func(v *visitor) {
		v.rung = func(v *visitor) { v.write(s) }
		v.flushed = func(v *visitor) { v.finish(keep) }
	}
}

// answered is a client that has its answer, of a connection that is kept or not.
func (g *ground) answered(keep bool) client {
	g.Helper()
	c, server := g.pair()
	v := g.parked(server, "", answers("answer", keep))
	v.conn.Ring()
	g.hears(c, "answer")
	return c
}

// bare is the connection itself, of one that came back and has nothing left to
// read again.
func bare(c net.Conn) net.Conn {
	if v := VisitOf(c); v != nil && len(v.early) == 0 {
		return v.inner
	}
	return c
}
