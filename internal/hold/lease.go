package hold

import (
	"bytes"
	"hash/maphash"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// Lease lets the next poll of a parked connection go on as the same hold, without
// being read as a request: no parser, no routes, no middleware. It must be the
// same, byte for byte, but for the position; and the last one that went the long
// way must not be longer ago than For.
type Lease struct {
	For      time.Duration
	Position Position
	// Void is closed when requests must go the long way: the configuration is no
	// longer in force.
	Void <-chan struct{}
}

// Position is what a lease needs of a dialect; package dialect describes it.
type Position interface {
	Param() string
	Noise(param, value string) bool
	Since(value string) (hub.Since, bool)
}

// lease is one connection's.
type lease struct {
	terms *Lease
	// hold is the one that goes on.
	hold *Hold
	// same is what the request is known by.
	same  uint64
	until park.Moment
}

func (l *lease) near(depth int) int {
	switch {
	case l == nil:
		return 0
	case depth == 1:
		return int(l.until)
	}
	return int(l.hold.Wait)
}

// learn makes a lease of a request whose head is known, nil if there can be none.
func (h *Hold) learn(head []byte, l *Lease) *lease {
	if l == nil || len(head) == 0 || h.Answer.Stream() || h.Answer.Patient() {
		return nil
	}
	same, _, ok := likeness(head, l.Position)
	if !ok {
		return nil
	}
	// What is kept must not keep the request.
	again := &Hold{
		Hub: h.Hub, Channels: h.Channels, Who: h.Who, Answer: h.Answer, Wait: h.Wait, Heartbeat: h.Heartbeat, Note: h.Note,
	}
	until := park.In(l.For)
	if h.Who != nil && !h.Who.Expires.IsZero() {
		until = min(until, park.In(time.Until(h.Who.Expires)))
	}
	return &lease{terms: l, hold: again, same: same, until: until}
}

// covers reports whether a request is the same hold going on, and from where.
func (l *lease) covers(head []byte) (hub.Since, bool) {
	if l == nil || park.Now() >= l.until {
		return hub.Since{}, false
	}
	select {
	case <-l.terms.Void:
		return hub.Since{}, false
	default:
	}
	same, value, ok := likeness(head, l.terms.Position)
	if !ok || same != l.same {
		return hub.Since{}, false
	}
	return l.terms.Position.Since(string(value))
}

// seed is the process's own, so that nobody can look for two requests that are
// alike to us.
var seed = maphash.MakeSeed()

// likeness is what all requests have in common that differ in their position
// alone, and the position. There is none of a request without one, or with two;
// or of what is not one request, whole and without a body that it announces.
func likeness(head []byte, p Position) (same uint64, position []byte, ok bool) {
	target := targetOf(head)
	query := bytes.IndexByte(target, '?') + 1
	if query == 0 {
		return 0, nil, false
	}
	var h maphash.Hash
	h.SetSeed(seed)
	begin := len("GET ") + query
	_, _ = h.Write(head[:begin])
	for rest := target[query:]; ; {
		param, more, another := bytes.Cut(rest, []byte("&"))
		name, value, _ := bytes.Cut(param, []byte("="))
		switch {
		case string(name) == p.Param():
			if position != nil {
				return 0, nil, false
			}
			position = value
			param = name
		case p.Noise(string(name), string(value)):
			param = name
		}
		_, _ = h.Write(param)
		_ = h.WriteByte('&') // separates, as it cannot be in a parameter
		if !another {
			break
		}
		rest = more
	}
	_, _ = h.Write(head[len("GET ")+len(target):])
	return h.Sum64(), position, len(position) > 0
}

// targetOf is what a head asks for that is one whole request by GET, empty of any
// other.
func targetOf(head []byte) []byte {
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	target, found := bytes.CutPrefix(line, []byte("GET "))
	target, whole := bytes.CutSuffix(target, []byte(" HTTP/1.1"))
	if !found || !whole || bytes.ContainsFunc(target, odd) || !park.OneRequest(head) {
		return nil
	}
	return target
}

// odd are characters that no address has; a request with one is answered by an
// error.
func odd(r rune) bool { return r <= ' ' || r >= 0x7f }

// alike is what all requests have in common that differ in their query alone, 0 for
// what is not one whole request by GET.
func alike(head []byte) uint64 {
	target := targetOf(head)
	if !bytes.HasPrefix(target, []byte("/")) {
		return 0
	}
	path, _, _ := bytes.Cut(target, []byte("?"))
	var h maphash.Hash
	h.SetSeed(seed)
	_, _ = h.Write(path)
	_, _ = h.Write(head[len("GET ")+len(target):])
	return h.Sum64()
}

// Resume takes up the client's next request, if the lease covers it. One that goes
// to the same address most likely waits as well.
func (g *parked) Resume(head []byte) park.Verdict {
	if g.goOn(head) {
		return park.Mine
	}
	if g.conn.Note != 0 && alike(head) == g.conn.Note {
		return park.Likely
	}
	return park.Unknown
}

// goOn has the same hold go on with another request.
func (g *parked) goOn(head []byte) bool {
	since, ok := g.lease.covers(head)
	if !ok {
		return false
	}
	c, b, err := g.lease.hold.open(since, g)
	if err != nil {
		return false // the long way says so
	}
	book := g.book.Again(head)
	if book == nil {
		b.sub.Close()
		return false // likewise
	}
	g.course, g.begun, g.book = c, false, book
	g.status, g.size, g.told = 0, 0, nil
	return true
}
