package hold

import (
	"net/http"
	"strconv"
	"sync"
	"unique"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// Parking is how a hold may leave its goroutine: the connection is taken from
// the HTTP server, and the answer is written as that server would have.
type Parking struct {
	Lot   *park.Lot
	Terms *park.Terms
	// Door is where the connection can be taken from the server: of a response of
	// HTTP/1.1, to which nothing else in the chain would add anything any more.
	Door park.Door
	// Lease, if not nil, spares later requests the way here.
	Lease *Lease
	// Close: the client wants the connection to end with the answer.
	Close bool
	// Recall is for holds that may have the site asked again, nil for others.
	Recall *Recall
	// Taken is called when the connection has been taken, before the handler
	// returns.
	Taken func()
	// Ended is told how the hold went, from another goroutine, after Serve has
	// reported [Parked].
	Ended Ended
}

// Recall is a request that may have to be served once more.
type Recall struct {
	// Head is the request, as a client sends it; there is no body.
	Head []byte
	// Note is for who serves it: see [park.Trial].
	Note any
}

// Ended hears of the end of a parked hold.
type Ended interface {
	// Ended is told the answer's status, the size of its body and its header, for
	// whoever logs them. The status is 0 where there was no answer.
	Ended(r Report, status, size int, header func() http.Header)
	// Again is for the same hold going on with another request, nil if its client holds
	// all that he may.
	Again(head []byte) Ended
}

// parked is the line of a hold whose connection is parked.
type parked struct {
	course course
	conn   *park.Conn
	answer Answer
	// head is the header without what belongs to the answer; all connections that
	// have the same share it.
	head unique.Handle[string]
	book Ended
	// lease is nil where there is none, or the request's head is not known.
	lease *lease

	status int16
	// parts: the answer is one of parts, whose header has gone out or, with
	// beginning, goes ahead of the next.
	parts, beginning bool
	// closes: the connection ends with the answer.
	closes bool
	// raw: the parts go out as they are.
	raw bool
	// begun: the course has begun.
	begun bool
	// gone: the connection is.
	gone bool
	size int
	// flight is the answer on its way, where the socket did not take it at once.
	flight *hub.Flight
	// told is the answer's header, where it cannot be made again.
	told http.Header
	// recall is the request, where it may have to be served again.
	recall *Recall
}

// park takes the connection and reports whether it did. The course has nothing
// to say then and is not armed.
func (l *waiting) park() bool {
	p := l.hold.Parking
	if l.ctx.Err() != nil {
		return false
	}
	head := unique.Make(lines(l.w.Header()))
	g := &parked{
		course: l.course, answer: l.hold.Answer, head: head, book: p.Ended, closes: p.Close,
		parts: l.parts, size: l.size, begun: true, recall: p.Recall,
	}
	if g.parts {
		g.status = http.StatusOK
	}
	leases := len(l.w.Header()["Set-Cookie"]) == 0
	// A client that has hung up is handed over at once, from another goroutine.
	var here sync.Mutex
	here.Lock()
	defer here.Unlock()
	if err := p.Door.Take(func(t park.Taken) {
		here.Lock()
		defer here.Unlock()
		if leases {
			g.lease = l.hold.learn(t.Head, p.Lease)
		}
		if g.conn = t.Parked; g.conn != nil {
			g.conn.On(p.Terms)
		} else {
			g.conn = p.Lot.Conn(t.Conn, t.Early, p.Terms)
			g.conn.Note = alike(t.Head) // what its requests are known by
		}
		g.conn.Park(g)
	}); err != nil {
		return false
	}
	l.base.line = g
	p.Taken()
	return true
}

// Retire tells the parked holds of a hub that ends: nothing will come from it, and
// the clients are to ask whoever has its address then.
func Retire(lot *park.Lot, h *hub.Hub) {
	lot.Each(func(g park.Guest) {
		if p, ok := g.(interface{ way() course }); ok && p.way().hub() == h {
			p.way().retire()
		}
	})
}

func (g *parked) way() course { return g.course }

// The methods of [park.Guest].

func (g *parked) Arrived() {
	select {
	case <-g.course.hub().Ended():
		g.course.retire()
	default:
	}
	if g.begun {
		g.course.news()
		return
	}
	g.begun = true
	g.course.begin()
}

func (g *parked) Near(depth int) int {
	if depth == 0 {
		return int(g.status) + g.size
	}
	return g.course.near(depth) + g.lease.near(depth)
}

func (g *parked) Rung()             { g.course.news() }
func (g *parked) When() park.Moment { return g.course.when() }
func (g *parked) Due()              { g.course.due() }

func (g *parked) Flushed() {
	if g.land() {
		g.conn.Abort()
		g.gone = true
		g.course.lost(Slow)
		return
	}
	g.course.flushed()
}

func (g *parked) Lost(slow bool) {
	g.gone = true
	if g.land() || slow {
		g.course.lost(Slow)
	} else {
		g.course.lost(ClientGone)
	}
}

func (g *parked) Stop() {
	g.closes = true
	g.course.stop()
}

// The methods of [line].

func (g *parked) ring() { g.conn.Ring() }

func (g *parked) over(r Report) {
	switch {
	case g.gone:
	case r.Abort:
		g.conn.Abort()
	case r.Outcome == Again:
		g.conn.Recall(g.recall.Head, g.recall.Note)
	case !g.closes:
		g.conn.Await()
	default:
		g.conn.Finish(false)
	}
	g.book.Ended(r, int(g.status), g.size, g.header)
}

func (g *parked) recalls() bool { return g.recall != nil && g.conn.Recalls() }

func (g *parked) whole(a Answer, status int, mood mood, body []byte) {
	g.status, g.size = int16(status), len(body)
	g.closes = g.closes || !g.conn.Welcome()
	_, alone := a.(Dressed)
	alone = alone || mood != usual
	if len(body) >= large {
		g.write(true, body, g.wholeHead(a, status, mood, len(body), alone), body)
		return
	}
	is := pressing{body: body, head: g.head, closes: g.closes, once: alone, dated: true}
	b := g.press().find(&is)
	if b == nil {
		b = g.press().keep(is, append(g.wholeHead(a, status, mood, len(body), alone), body...))
	}
	g.write(true, b, b)
}

// wholeHead is the head of an answer of so many bytes. If nobody else has the same, it is
// told.
func (g *parked) wholeHead(a Answer, status int, mood mood, size int, alone bool) []byte {
	header := parse(g.head.Value())
	dress(header, a, mood)
	if !bodiless(status) {
		header.Set("Content-Length", strconv.Itoa(size))
	}
	if alone {
		g.told = header
	}
	return g.begin(status, header, "")
}

// large is what is written beside its head: all connections share it as it is.
const large = 16 << 10

// write writes the pieces, of which b is what stays in memory until it is over.
func (g *parked) write(alone bool, b []byte, pieces ...[]byte) {
	if g.conn.Write(pieces...) {
		g.flight = g.course.hub().Fly(b, alone, g.conn.Sever)
	}
}

// land says that the last write is over, and reports whether it was cut.
func (g *parked) land() bool {
	cut := g.flight.Land()
	g.flight = nil
	return cut
}

func (g *parked) begins() { g.parts, g.beginning = true, true }

func (g *parked) send(part []byte, last bool) {
	g.size += len(part)
	if g.raw {
		g.write(false, part, part)
		return
	}
	is := pressing{body: part, head: g.head, closes: g.closes, once: g.beginning || last}
	if len(part) >= large {
		g.write(false, part, append(strconv.AppendInt(g.partsHead(), int64(len(part)), 16), "\r\n"...), part, []byte("\r\n"+partsEnd(last)))
		return
	}
	b := g.press().find(&is)
	if b == nil {
		b = g.press().keep(is, append(chunk(g.partsHead(), part), partsEnd(last)...))
	}
	g.write(false, b, b)
}

// partsHead is the head that goes ahead of the first part, nothing ahead of others.
func (g *parked) partsHead() []byte {
	if !g.beginning {
		return nil
	}
	g.beginning = false
	g.status = http.StatusOK
	header := parse(g.head.Value())
	dress(header, g.answer, usual)
	return g.begin(http.StatusOK, header, "Transfer-Encoding: chunked\r\n")
}

func partsEnd(last bool) string {
	if last {
		return "0\r\n\r\n"
	}
	return ""
}
