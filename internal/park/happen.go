package park

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
)

// settle follows whatever was called of a guest.
func (c *Conn) settle() {
	heard := false
	for c.state == held && !c.busy {
		switch {
		case c.failed:
			c.lost(false)
			return
		case c.wrote:
			c.wrote = false
			c.guest.Flushed()
		case c.talks && !(heard && c.says()) && c.hear():
			heard = true
		default:
			if heard && c.says() {
				c.Ring() // when others have been heard
			}
			c.schedule(c.guest.When())
			return
		}
	}
	if c.busy {
		c.schedule(0)
	}
}

// over handles the end of a goroutine.
func (c *Conn) over(r *result) {
	switch r.what {
	case arriving:
		if c.state == away {
			c.loop.readmit(c)
		} else {
			c.loop.admit(c)
		}
	case writing:
		if c.state != held {
			return
		}
		c.busy, c.wrote = false, r.err == nil
		if r.err != nil {
			c.lost(errors.Is(r.err, os.ErrDeadlineExceeded))
			return
		}
		c.repeat()
	case reading:
		c.peeking = false
		if c.talks && c.state == held {
			c.said(r)
			return
		}
		if len(r.read) > 0 {
			c.early = joined(c.early, r.read)
			r.err = nil
		}
		c.heard(r.err)
	}
}

// answer answers a ring.
func (c *Conn) answer() {
	if c.state == held && !c.busy {
		c.guest.Rung()
	}
}

// stop is what the end of the process comes to.
func (c *Conn) stop() {
	switch c.state {
	case held:
		c.guest.Stop()
	case lingering:
		c.close()
	}
}

// schedule sets the moment at which something happens. What is due again at once
// waits until others have been heard.
func (c *Conn) schedule(m Moment) {
	if m != 0 {
		m = max(m, c.loop.now+1)
	}
	if c.state != gone {
		c.loop.dues.set(c, m)
	}
}

// come is what happens at the moment.
func (c *Conn) come() {
	c.schedule(0)
	if c.state == held {
		c.guest.Due()
		return
	}
	c.close()
}

// listen is what a sound on the socket comes to.
func (c *Conn) listen(s sound) {
	switch {
	case c.state == closing:
		// To close a socket that has something to read resets it, and with it the
		// answer that is under way. Such a one has its time. (Of TLS it may be no more
		// than the goodbye.)
		if s&^speech != 0 && !(c.plain && unread(c.fd)) {
			c.close()
		}
	case c.state == away:
		c.listenAway(s)
	case c.state == held && c.talks && !(c.busy && s&broken != 0):
		// What it said before its end is heard.
		c.spoken = true
		c.silent = c.silent || s&^speech != 0
	case s&broken != 0:
		c.heard(net.ErrClosed)
	case s&silence != 0 && (c.state != lingering || c.plain && !unread(c.fd)):
		// Who waits for the answer of a client that hung up waits in vain, and
		// net/http sees it so too, whether or not the client still reads.
		c.heard(io.EOF)
	case c.peeking:
		// A goroutine is reading.
	case c.state == lingering && c.stays:
		c.resume()
		if s&silence != 0 {
			c.silence()
		}
	case c.plain || c.state != held:
		c.heard(nil)
	case !c.spoken:
		// Of TLS this may be the client's goodbye.
		c.peek()
	}
}

// listenAway is what a sound comes to while a trial has the connection. A client
// that says no more may still read: its handler is told, and may answer, as with
// net/http, which sees no end behind another request either.
func (c *Conn) listenAway(s sound) {
	t := c.trial
	switch {
	case s&broken != 0:
		c.close()
		t.hungUp()
	case s&silence != 0:
		c.silent = true
		if !c.plain || !unread(c.fd) { // TLS says goodbye before
			t.hungUp()
		}
	default:
		c.spoken = true
	}
}

// silence repeats that the client says no more, of which the watch tells once.
func (c *Conn) silence() {
	c.missed |= silence
	c.repeat()
}

// repeat has what was missed be heard. An answer that is there already goes out before.
func (c *Conn) repeat() {
	if c.missed == 0 {
		return
	}
	c.settle()
	if c.state != gone && !(c.state == held && c.busy) {
		s := c.missed
		c.missed = 0
		c.listen(s)
	}
}

// heard is what the client's next bytes, or its end, come to.
func (c *Conn) heard(err error) {
	switch {
	case c.state == held && c.busy && err != nil:
		// A client that has all of its answer may hang up before the writer is back, who
		// alone knows; and fails where it hung up too early.
		c.missed = broken
		if errors.Is(err, io.EOF) {
			c.missed = silence
		}
	case c.state == held && err != nil:
		c.lost(false)
	case err != nil:
		c.close()
	case c.state == held:
		c.spoken = true
	case c.state == lingering:
		c.giveBack()
	}
}

func (c *Conn) lost(slow bool) {
	g := c.guest
	c.leave()
	defer c.close()
	g.Lost(slow)
}

// peek waits for the client's next byte.
func (c *Conn) peek() {
	c.peeking = true
	go func() {
		b := make([]byte, 1)
		n, err := c.net.Read(b)
		c.loop.tell(result{conn: c, what: reading, read: b[:n], err: err})
	}()
}

// resume reads the client's next request and has the guest look at it.
func (c *Conn) resume() {
	if !c.plain {
		c.onTrial(nil)
		return
	}
	head, ok := c.loop.read(c.fd)
	switch {
	case !ok:
		c.close()
	case len(head) == 0: // nothing after all
	case len(head) == maxHead:
		c.goHome(head)
	default:
		switch c.guest.(Resumer).Resume(head) {
		case Mine:
			c.state, c.stays = held, false
			c.loop.held.Add(1)
			c.guest.Arrived()
		case Likely:
			c.onTrial(bytes.Clone(head))
		default:
			c.goHome(head)
		}
	}
}

// onTrial has somebody serve the client's next request, who has yet to read it if
// there is no head.
func (c *Conn) onTrial(head []byte) { c.tryAs(head, nil) }

func (c *Conn) tryAs(head []byte, note any) {
	c.trial = &Trial{Head: head, Remote: c.remote, Local: c.local, Note: note, conn: c, guest: c.guest.(Resumer)}
	c.state, c.stays, c.guest = away, false, nil
	c.schedule(0)
	c.terms.Home.Try(c.trial)
}

func (c *Conn) goHome(head []byte) {
	c.early = joined(c.early, bytes.Clone(head))
	c.giveBack()
}

func joined(early *[]byte, more []byte) *[]byte {
	if early != nil {
		more = append(*early, more...)
	}
	return &more
}
