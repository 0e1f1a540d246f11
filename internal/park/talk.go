package park

import (
	"bytes"
	"io"
)

// hear has the guest hear the next piece of what its client says, and reports
// whether there was one, or the end.
func (c *Conn) hear() bool {
	switch {
	case c.peeking, c.deaf:
		return false
	case c.early != nil:
		b := *c.early
		c.early = nil
		c.guest.(Talker).Heard(b)
		return true
	case c.ended:
		c.lost(false)
		return true
	case c.fd < 0:
		c.overhear(c.read)
		return false
	case !c.spoken:
		return false
	case !c.plain:
		c.spoken = false
		c.overhear(c.fetch)
		return false
	}
	b, ok := c.loop.read(c.fd)
	if !ok {
		c.lost(false)
		return true
	}
	// A read that was not filled took all there was; but for the end, which the watch
	// has told of already.
	c.spoken = len(b) == maxHead || len(b) > 0 && c.silent
	if len(b) > 0 {
		c.guest.(Talker).Heard(b)
	}
	return len(b) > 0
}

// says reports whether there is more to hear already.
func (c *Conn) says() bool {
	return !c.deaf && (c.early != nil || c.spoken || c.ended)
}

// Deafen has a [Talker] not hear what its client says, or the end of it, until it is
// taken back.
func (c *Conn) Deafen(deaf bool) { c.deaf = deaf }

// overhear has a goroutine listen, to what is not read on the loop: TLS, and
// connections that are not watched.
func (c *Conn) overhear(read func() (b []byte, ended bool)) {
	c.peeking = true
	go func() {
		b, ended := read()
		r := result{conn: c, what: reading, read: b}
		if ended {
			r.err = io.EOF
		}
		c.loop.tell(r)
	}()
}

// said takes what was overheard.
func (c *Conn) said(r *result) {
	if len(r.read) > 0 {
		c.early = joined(c.early, r.read)
		// The socket does not tell again of what it told of before.
		c.spoken = c.spoken || c.fd >= 0 && (c.silent || len(r.read) == maxHead || unread(c.fd))
	}
	c.ended = r.err != nil
}

// fetch is what the client has said by TLS, so far.
func (c *Conn) fetch() (b []byte, ended bool) {
	room := heads.Get().(*[maxHead]byte)
	defer heads.Put(room)
	b, ended = fetch(c.net, room[:])
	return bytes.Clone(b), ended
}

// read is what the client says next.
func (c *Conn) read() (b []byte, ended bool) {
	b = make([]byte, 512)
	n, err := c.net.Read(b)
	return b[:n], err != nil
}
