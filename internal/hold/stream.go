package hold

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// Steered is a stream's answer that does not go on for ever, whatever happens.
type Steered interface {
	Answer
	// Steer says what a delivery comes to: whether it is written, and whether the
	// stream is over then; ask, because the site has to say how it goes on.
	Steer(*hub.Delivery) (write, over, ask bool)
}

// stream writes deliveries until the client or the server ends it. A delivery
// that comes while another is being written waits in the hub's history, where it
// may grow together with those after it.
type stream struct {
	base
	heartbeat time.Duration
	beat      park.Moment
	// size is how much was written.
	size int
	// prior is what stands in for a heartbeat, where the answer has none. There is
	// none either when it takes room that answers need.
	prior atomic.Pointer[[]byte]
	// idle is how long nothing may happen before the site is asked how to go on, 0 for
	// any time, and quiet when that is over.
	idle  time.Duration
	quiet park.Moment
	// repeats: the last delivery stands in for a heartbeat.
	repeats bool
}

func (s *stream) begin() {
	s.repeats = s.answer.Idle(hub.Cursor{}) == nil
	s.stir()
	s.line.begins()
	d, at := s.sub.Next(), hub.Cursor{}
	if d == nil {
		if d, at = s.rest(); d != nil {
			at = hub.Cursor{} // behind the events, which are not written yet
		}
	}
	s.inbox.Store(d)
	s.part(nil, s.answer.Open(at), false)
}

func (s *stream) when() park.Moment { return park.Earlier(park.Earlier(s.beat, s.quiet), s.ends()) }

// stir says that something happens.
func (s *stream) stir() {
	if s.idle > 0 {
		s.quiet = park.In(s.idle)
	}
}

func (s *stream) news() {
	if s.writing {
		return
	}
	if s.sub.Kicked() {
		s.due()
		return
	}
	if d := s.look(); d != nil {
		s.deliver(d)
	}
}

func (s *stream) deliver(d *hub.Delivery) {
	s.stir()
	b := s.encoded(d)
	if steered, ok := s.answer.(Steered); ok && s.steer(steered, d, b) {
		return
	}
	if s.repeats {
		s.repeat(b)
	}
	if limit := s.answer.Limit(); limit > 0 && s.size+len(b) >= limit {
		s.report.Outcome = Recycled
		s.part(d, d.Encoded(s.answer.Class()+" and no more", func(d *hub.Delivery) []byte {
			return with(b, s.answer.Bye(d.Cursor, 0))
		}), true)
		return
	}
	s.part(d, b, false)
}

func (s *stream) due() {
	if s.writing {
		return
	}
	over, rest := s.over(), s.rest
	if over {
		rest = s.all
	}
	d, at := rest()
	switch {
	case over && d != nil:
		s.part(d, with(s.encoded(d), s.answer.Bye(d.Cursor, s.comeBack())), true)
	case over:
		s.part(nil, s.answer.Bye(at, s.comeBack()), true)
	case d != nil:
		s.deliver(d)
	case s.quiet != 0 && park.Now() >= s.quiet:
		s.finish(Again)
	case s.repeats:
		var b []byte
		if prior := s.prior.Load(); prior != nil {
			b = *prior
		}
		s.part(nil, b, false)
	default:
		s.part(nil, s.answer.Idle(at), false)
	}
}

// steer reports whether a delivery, which is written as b, is the last.
func (s *stream) steer(answer Steered, d *hub.Delivery, b []byte) bool {
	write, over, ask := answer.Steer(d)
	switch {
	case !over && !ask:
		return false
	case ask && !write:
		d.Done()
		s.finish(Again)
		return true
	case ask:
		s.report.Outcome = Again
	default:
		s.report.Outcome = outcomeOf(d)
	}
	if !write {
		b = nil
	}
	s.part(d, b, true)
	return true
}

// repeat has b repeated from now on.
func (s *stream) repeat(b []byte) {
	s.kept.Land()
	s.kept = nil
	prior := &b
	s.prior.Store(prior)
	if len(b) >= leastFlight {
		s.kept = s.hub().Fly(b, false, func() { s.prior.CompareAndSwap(prior, nil) })
	}
}

func (s *stream) part(d *hub.Delivery, b []byte, last bool) {
	s.size += len(b)
	s.send(d, b, last)
}

// flushed looks on. What is always there must not keep from the end.
func (s *stream) flushed() {
	if !s.sent() {
		s.beat = park.In(s.heartbeat)
		s.line.ring()
	}
}

func (s *stream) stop() { s.hurry(Stopped, StopSpread) }

func (s *stream) retire() {
	if s.end == 0 {
		s.hurry(Retired, RetireSpread)
	}
}

// with returns a and b as one.
func with(a, b []byte) []byte {
	if len(b) == 0 {
		return a
	}
	return slices.Concat(a, b)
}
