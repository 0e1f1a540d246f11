package hold

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// course is a hold in steps, each of which returns at once, so that it is the
// same whoever drives it: a goroutine that waits for its sake, or a loop that
// has thousands of them. Only one step runs at a time, but for what the hub
// tells ([base.Wake]).
//
// A step may write once. Then nothing follows but flushed or lost, whatever else
// happens meanwhile; a driver may also tell the course the rest, which ignores
// what it cannot use.
type course interface {
	hub() *hub.Hub
	// begin is the first step.
	begin()
	// near reads something of what news will read, in the turns of [park.Guest] from 1.
	near(depth int) int
	// news looks at what there is, because the line was rung.
	news()
	// due says that the moment of when has come.
	due()
	// when is when due is next to be called, 0 for never.
	when() park.Moment
	// flushed says that what was written last has gone out.
	flushed()
	// lost says why nothing more can be written.
	lost(Outcome)
	// stop says that the process ends, retire that a new configuration has taken
	// over.
	stop()
	retire()
}

// line is where a course's answer goes. It takes one piece at a time.
type line interface {
	// whole is the answer from its first byte to its last.
	whole(a Answer, status int, mood mood, body []byte)
	// begins begins an answer of parts, with the next of them.
	begins()
	// send is a part; last ends the answer with it.
	send(part []byte, last bool)
	// over ends the course, after the answer or without one.
	over(Report)
	// ring has news called soon, from any goroutine.
	ring()
	// recalls reports whether the request can be served once more, if the course ends
	// with [Again].
	recalls() bool
}

// mood is in what way the header of an answer differs from the usual.
type mood uint8

const (
	usual mood = iota
	// away sends the client away for a while.
	away
	// refusal is away, and the body is a sentence, not an answer.
	refusal
)

// base is what all courses have in common.
type base struct {
	sub    *hub.Sub
	answer Answer
	line   line
	// inbox is what the hub has told.
	inbox atomic.Pointer[hub.Delivery]
	// out is what is being written.
	out hub.Receipt
	// kept is what stays in memory beyond the writing.
	kept *hub.Flight
	// writing: something is. last: it is the last.
	writing, last bool
	// end is when the course ends, 0 if only events end it. expiry is when the right to
	// listen does.
	end, expiry park.Moment
	report      Report
}

func (b *base) hub() *hub.Hub { return b.sub.Hub() }

func (b *base) near(depth int) int {
	if depth == 1 {
		if b.writing {
			return 1
		}
		return int(b.expiry) + int(b.end)
	}
	return b.sub.Near() + len(b.answer.Class())
}

// Wake puts a delivery in the inbox. There is room for one: a subscription is
// woken once for each time it was armed.
func (b *base) Wake(d *hub.Delivery) {
	b.inbox.Store(d)
	b.line.ring()
}

// Kicked implements [hub.Kicker].
func (b *base) Kicked() { b.line.ring() }

// limit ends the course with the right to listen.
func (b *base) limit(who *hub.Who) {
	if who != nil && !who.Expires.IsZero() {
		b.expiry = park.Earlier(b.expiry, park.In(max(0, time.Until(who.Expires))))
	}
}

// ends is when the course ends, 0 if only events end it.
func (b *base) ends() park.Moment { return park.Earlier(b.end, b.expiry) }

// over reports whether the course is to end now, and notes why.
func (b *base) over() bool {
	now := park.Now()
	switch {
	case b.last:
		return false
	case b.sub.Kicked():
		b.report.Outcome = Kicked
	case b.end != 0 && now >= b.end:
	case b.expiry != 0 && now >= b.expiry:
		b.report.Outcome = Expired
	default:
		return false
	}
	return true
}

// comeBack is after how long the client is to come back: at once where it comes alone.
func (b *base) comeBack() time.Duration {
	if b.report.Outcome == Expired {
		return soon
	}
	return comeBack
}

// look returns what there is. If that is nothing, the hub will tell.
func (b *base) look() *hub.Delivery {
	if d := b.inbox.Swap(nil); d != nil {
		return d
	}
	return b.sub.Next()
}

// rest ends the waiting. What had come is returned; else the position at which
// nothing had.
func (b *base) rest() (*hub.Delivery, hub.Cursor) {
	d, at := b.sub.Rest()
	if d == nil {
		d = b.inbox.Swap(nil) // told just before
	}
	return d, at
}

// all is rest, and what has come since the last delivery though nobody has looked.
func (b *base) all() (*hub.Delivery, hub.Cursor) {
	d, at := b.rest()
	if d == nil {
		if d = b.sub.Next(); d == nil {
			d, at = b.rest()
		}
	}
	return d, at
}

// leave ends the subscription. From here on the request no longer waits; it must
// not count as if.
func (b *base) leave() {
	if b.sub == nil {
		return // it was refused
	}
	b.sub.Close()
	b.inbox.Swap(nil).Done()
}

// whole answers once and for all; d is what the body is made of, nil where it
// says that nothing happened.
func (b *base) whole(d *hub.Delivery, status int, mood mood, body []byte) {
	b.wholeAs(b.answer, d, status, mood, body)
}

// wholeAs is whole with the header of that answer.
func (b *base) wholeAs(a Answer, d *hub.Delivery, status int, mood mood, body []byte) {
	b.leave()
	b.out, b.writing, b.last = d.Receipt(), true, true
	b.line.whole(a, status, mood, body)
}

func (b *base) send(d *hub.Delivery, part []byte, last bool) {
	b.out, b.writing, b.last = d.Receipt(), true, last
	b.line.send(part, last)
}

// sent counts what has gone out and reports whether that was all.
func (b *base) sent() bool {
	b.writing = false
	b.out.Done()
	b.report.Events += b.out.Events
	b.out = hub.Receipt{}
	if b.last {
		b.finish(b.report.Outcome)
	}
	return b.last
}

func (b *base) lost(why Outcome) {
	b.out.Done()
	b.out = hub.Receipt{}
	b.finish(why)
}

// finish ends the course.
func (b *base) finish(outcome Outcome) {
	b.leave()
	b.kept.Land()
	b.kept = nil
	b.writing, b.last, b.end, b.expiry = true, true, 0, 0 // nothing more
	b.report.Outcome = outcome
	b.line.over(b.report)
}

// hurry has the course end within d, for that reason, unless it is ending already
// or the process is.
func (b *base) hurry(why Outcome, d time.Duration) {
	if b.last || b.report.Outcome == Stopped {
		return
	}
	b.report.Outcome = why
	b.end = park.In(spread(d))
}

// encoded is a delivery as the answer writes it.
func (b *base) encoded(d *hub.Delivery) []byte { return d.Encoded(b.answer.Class(), b.answer.Events) }

// outcomeOf is how a delivery ends a poll.
func outcomeOf(d *hub.Delivery) Outcome {
	if d.Gap {
		return Gap
	}
	return Event
}

// dress sets the header of an answer.
func dress(header http.Header, a Answer, m mood) {
	if own, ok := a.(Dressed); ok && m != refusal {
		own.Dress(header)
		return
	}
	a.Header(header)
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no")
	header.Set("X-Content-Type-Options", "nosniff")
	if m == refusal {
		header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	if m != usual {
		setRetryAfter(header)
	}
}
