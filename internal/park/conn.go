package park

import (
	"crypto/tls"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// Conn is a parked connection. Its methods are for the guest, in the guest's
// methods; only Ring is for everybody.
type Conn struct {
	loop  *loop
	net   net.Conn // nil while it is own
	guest Guest    // nil once it has left
	terms *Terms

	// due is when something is to happen, key by when the loop looks, and place
	// where that stands in its list, -1 if nowhere.
	due, key Moment
	place    int32

	// fd is the socket, -1 where a goroutine listens to it instead of the loop.
	fd int32
	// slot is the place among the loop's connections.
	slot  int32
	state state
	// plain: what is written goes to the socket as it is.
	plain bool
	// own: the socket is the loop's alone.
	own bool
	// stays: the guest is shown the client's next request.
	stays bool
	// wide: TLS may write a little to a socket that takes anything, and not wait.
	wide bool
	// busy: a write is on its way. wrote, failed: one is over, and the guest has
	// not been told.
	busy, wrote, failed bool
	// peeking: a goroutine waits for the client's next byte.
	peeking bool
	// spoken: the client has sent something since it was parked.
	spoken bool
	// silent: the client ended what it says, during a trial or to a [Talker].
	silent bool
	// talks: the guest is a [Talker]. ended: all that the client said has been read.
	talks, ended bool
	// missed is what was heard during a write.
	missed sound
	// deaf: what the client says has to wait.
	deaf bool
	// rung: the connection is in the loop's list of those.
	rung atomic.Bool
	// severed: what is being written is to fail.
	severed atomic.Bool
	// early is what was read of it.
	early *[]byte
	// trial is the request that is being served.
	trial *Trial
	// Note is the guests' own, and stays when one guest follows another. It is 0 for
	// a connection that has been elsewhere meanwhile.
	Note uint64
	// remote and local are the connection's ends, for trials.
	remote string
	local  net.Addr
}

type state uint8

const (
	// coming: no guest is there yet.
	coming state = iota
	// held: a guest is there.
	held
	// lingering: the answer is out, the client's next word decides.
	lingering
	// away: the client's next request is on trial.
	away
	// closing: the answer is out, and the client has been told that it was the
	// last.
	closing
	// gone: no longer here.
	gone
)

// raw returns the socket below a connection whose every byte the connection has
// given or kept, nil if it is of another kind.
func raw(c net.Conn) (socket syscall.Conn, plain bool) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	} else {
		plain = true
	}
	switch c := c.(type) {
	case *net.TCPConn:
		return c, plain
	case *net.UnixConn:
		return c, plain
	}
	return nil, false
}

// Ring has the guest's Rung called soon, unless something is being written then:
// Flushed follows that. It may be called from any goroutine, also after the guest
// has left.
func (c *Conn) Ring() {
	if !c.rung.Swap(true) {
		c.loop.ring(c)
	}
}

// Write sends the pieces, which must not change any more. Flushed or Lost follows.
// It reports whether that takes time.
func (c *Conn) Write(pieces ...[]byte) (takes bool) {
	if c.busy || c.state != held {
		panic("park: a write before the last was over")
	}
	for i, b := range pieces {
		n, err := c.try(b)
		switch {
		case err != nil:
			c.failed = true
		case n == len(b):
			continue
		case c.own && (c.materialize() != nil || c.loop.watch.add(c) != nil):
			c.failed = true
		default:
			c.busy = true
			go c.finish(append([][]byte{b[n:]}, pieces[i+1:]...))
		}
		return c.busy
	}
	c.wrote = true
	return false
}

// finish writes to a client that reads more slowly than we write, part by part:
// one that goes on reading has its time for each.
func (c *Conn) finish(pieces [][]byte) {
	var err error
	for _, b := range pieces {
		for len(b) > 0 && err == nil {
			n := min(len(b), maxPiece)
			_ = c.net.SetWriteDeadline(time.Now().Add(c.loop.lot.writeTimeout))
			if c.severed.Load() { // Sever may have been before
				err = os.ErrDeadlineExceeded
				break
			}
			_, err = c.net.Write(b[:n])
			b = b[n:]
		}
	}
	if err == nil {
		err = c.net.SetWriteDeadline(time.Time{})
	}
	c.loop.tell(result{conn: c, what: writing, err: err})
}

// Sever has a Write that takes time fail soon, as if the client were slow. Another
// goroutine may call it as long as the guest has not been told how the Write ended;
// if it has succeeded all the same, the guest must end the connection.
func (c *Conn) Sever() {
	c.severed.Store(true)
	_ = c.net.SetWriteDeadline(time.Unix(1, 0))
}

// maxPiece is how much a client must read in WriteTimeout.
const maxPiece = 64 << 10

// Finish says that the answer is complete. The connection stays for the client's
// next request; or it ends, where keep is false.
func (c *Conn) Finish(keep bool) {
	if c.busy {
		panic("park: the end before the last write was over")
	}
	if !c.leave() {
		return
	}
	switch {
	case c.failed:
		c.close()
	case keep && c.spoken && !c.peeking:
		c.giveBack()
	case keep:
		c.state = lingering
		c.schedule(c.idleEnd())
	default:
		c.state = closing
		c.aside(func() { c.closeWrite() })
		if c.talks && c.fd < 0 && !c.peeking {
			c.peek() // for the client's end
		}
		c.schedule(In(c.loop.lot.politeTime))
	}
}

// Welcome reports whether the connection has a home to go on in, should its client
// ask for more.
func (c *Conn) Welcome() bool { return c.terms.Home.Open(c.local) }

// idleEnd is when the connection of a client that stays silent is closed.
func (c *Conn) idleEnd() Moment {
	if c.terms.Idle <= 0 {
		return 0
	}
	return In(c.terms.Idle)
}

// Await is like Finish, but the guest, which is a [Resumer], is shown the client's
// next request, and is done with only if it does not want it.
func (c *Conn) Await() {
	if c.failed || c.spoken || c.fd < 0 {
		c.Finish(true)
		return
	}
	g := c.guest
	c.Finish(true)
	c.guest, c.stays = g, true
}

// Recalls reports whether Recall can be called: of what the client has sent behind its
// request nothing has been read.
func (c *Conn) Recalls() bool {
	return c.fd >= 0 && !c.peeking && c.early == nil && !c.failed && c.Welcome()
}

// Recall ends the guest, which is a [Resumer], without an answer: the request that it
// waited with is served once more, as if the client had sent it again. The note is for
// who serves it. [Conn.Recalls] must be true.
func (c *Conn) Recall(head []byte, note any) {
	if g := c.guest; c.leave() {
		c.guest = g
		c.tryAs(head, note)
	}
}

// aside runs what does not block on a plain socket. TLS says goodbye, and may
// wait for room to say it.
func (c *Conn) aside(f func()) {
	if c.plain {
		f()
	} else {
		go f()
	}
}

// Abort closes the connection at once.
func (c *Conn) Abort() {
	if c.leave() {
		c.close()
	}
}

// Scratch is the guests' own, one for each loop.
func (c *Conn) Scratch() *any { return &c.loop.scratch }

// leave reports whether there was a guest. One that ends twice must not end
// another's connection.
func (c *Conn) leave() bool {
	if c.guest == nil {
		return false
	}
	c.guest = nil
	c.loop.held.Add(-1)
	return true
}

func (c *Conn) close() {
	c.loop.forget(c)
	c.aside(func() { c.shut() })
}

// giveBack has an HTTP server read the client's next request.
func (c *Conn) giveBack() { c.returnAs(func(*Visit) {}) }

// returnAs has what is to be noted on the visit, if there is one.
func (c *Conn) returnAs(note func(*Visit)) {
	if c.materialize() != nil {
		c.close()
		return
	}
	c.loop.forget(c)
	var early []byte
	if c.early != nil {
		early = *c.early
	}
	back := visit(c.net, early)
	note(VisitOf(back))
	home := false
	defer func() {
		if !home { // by a mistake
			_ = back.Close()
		}
	}()
	c.terms.Home.Return(back)
	home = true
}
