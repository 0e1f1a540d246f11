package park

import (
	"errors"
	"net"
	"sync"
)

// Trial is a client's next request that its connection has not been given away
// for: most such requests are polls, which are parked again, and who serves this one
// can do so without a [net.Conn], and without what an HTTP server does for one. It
// is for one goroutine.
type Trial struct {
	// Head is the request, from its first byte to its last.
	Head   []byte
	Remote string
	Local  net.Addr
	// Owner is who serves it, for whom a server finds it with the visit.
	Owner any

	conn *Conn
	hand func(Taken)

	mu sync.Mutex
	// gone is called when the client hangs up. hasGone: it has.
	gone    func()
	hasGone bool
}

var errReturned = errors.New("park: the connection has gone back to its server")

// OnGone has f called when the client hangs up.
func (t *Trial) OnGone(f func()) {
	t.mu.Lock()
	hasGone := t.hasGone
	t.gone = f
	t.mu.Unlock()
	if hasGone {
		f()
	}
}

func (t *Trial) hungUp() {
	t.mu.Lock()
	again := t.hasGone
	t.hasGone = true
	f := t.gone
	t.mu.Unlock()
	if f != nil && !again {
		f()
	}
}

// Take implements [Door]: the request is to wait, and nothing is to be said to its
// client.
func (t *Trial) Take(hand func(Taken)) error {
	if t.conn == nil {
		return errReturned
	}
	t.hand = hand
	return nil
}

// Taken reports whether the connection is taken.
func (t *Trial) Taken() bool { return t.hand != nil }

// Done says that the handler has returned, having taken the connection.
func (t *Trial) Done() { t.hand(Taken{Parked: t.conn, Head: t.Head}) }

// Return has an HTTP server serve the request after all. The visit is the
// connection's there; lost is called if the server closes it before it has claimed
// the visit.
func (t *Trial) Return(lost func()) {
	c := t.conn
	t.conn = nil
	failed := func() {
		if lost != nil {
			lost()
		}
	}
	if !c.loop.do(func() {
		head := t.Head
		c.early = &head
		if c.state == gone || !c.returnAs(func(v *Visit) { v.trial, v.lost = t, failed }) {
			failed()
		}
	}) {
		failed()
	}
}

// Abort closes the connection.
func (t *Trial) Abort() {
	c := t.conn
	t.conn = nil
	c.loop.do(func() {
		if c.state != gone {
			c.close()
		}
	})
}
