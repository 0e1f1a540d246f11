package park

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"
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
	// Note is what [Conn.Recall] was given, nil for what the client sent.
	Note any

	conn *Conn
	hand func(Taken)
	// guest is whose connection it was.
	guest Resumer

	mu sync.Mutex
	// gone is called when the client hangs up. hasGone: it has.
	gone    func()
	hasGone bool
}

// fetchTime is how long Fetch waits for what the client has begun to send. Who sends
// more slowly has an HTTP server, which has patience and limits.
const fetchTime = 20 * time.Millisecond

// Fetch has the request at hand, and reports whether it is to be served. Of TLS it
// has yet to be read, which takes the time that its client takes.
func (t *Trial) Fetch() bool {
	if t.Head != nil {
		return true
	}
	b := heads.Get().(*[maxHead]byte)
	defer heads.Put(b)
	head, ended := fetch(t.conn.net, b[:])
	switch {
	case ended && len(head) == 0:
		t.end()
		return false
	case !ended && len(head) > 0 && len(head) < maxHead:
		switch t.guest.Resume(head) {
		case Mine:
			t.conn.Park(t.guest)
			return false
		case Likely:
			t.Head = bytes.Clone(head)
			return true
		}
	}
	t.Head = bytes.Clone(head)
	t.Return(nil)
	return false
}

// fetch reads what there is, and what TLS has read of the socket already, of which
// the socket does not tell any more.
func fetch(c net.Conn, b []byte) (read []byte, ended bool) {
	_ = c.SetReadDeadline(time.Now().Add(fetchTime))
	n, err := c.Read(b)
	_ = c.SetReadDeadline(time.Unix(1, 0))
	for err == nil && n < len(b) {
		var more int
		more, err = c.Read(b[n:])
		n += more
	}
	_ = c.SetReadDeadline(time.Time{})
	return b[:n], err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// end closes the connection.
func (t *Trial) end() {
	c := t.conn
	c.loop.do(func() {
		if c.state != gone {
			c.close()
		}
	})
}

// heads are for what is read of TLS.
var heads = sync.Pool{New: func() any { return new([maxHead]byte) }}

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

// TLS is the state of the connection's TLS, nil where it has none.
func (t *Trial) TLS() *tls.ConnectionState {
	c, ok := t.conn.net.(secure)
	if !ok {
		return nil
	}
	state := c.ConnectionState()
	return &state
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
	if lost == nil {
		lost = func() {}
	}
	if !c.loop.do(func() {
		visits := false
		c.loop.step(c, func(c *Conn) {
			head := t.Head
			c.early = &head
			c.returnAs(func(v *Visit) { visits, v.trial, v.lost = true, t, lost })
		})
		if !visits {
			lost()
		}
	}) {
		lost()
	}
}
