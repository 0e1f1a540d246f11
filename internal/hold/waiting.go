package hold

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// waiting is the line of a request whose goroutine waits in the handler. It
// writes at once, and tells the course when that step is over.
type waiting struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	ctx    context.Context
	hold   *Hold
	course course
	base   *base
	rung   chan struct{}
	// stop and retire are as in [Ends], and nil once they are closed.
	stop, retire <-chan struct{}
	// aside: steps are taken by [Aside].
	aside bool
	// wrote is what the course has not been told of yet.
	wrote wrote
	// slow: a write ended because it took too long, or (cut) because it took room
	// that others need.
	slow, cut bool
	// parts: the answer has begun, and is one of parts.
	parts  bool
	size   int
	ended  bool
	report Report
}

type wrote uint8

const (
	nothing wrote = iota
	something
	inVain
)

func (h *Hold) waiting(w http.ResponseWriter, r *http.Request) *waiting {
	return &waiting{
		w: w, rc: http.NewResponseController(w), ctx: r.Context(), hold: h, rung: make(chan struct{}, 1),
	}
}

// wait takes the course through its steps until it is over.
func (l *waiting) wait() {
	mayPark := l.hold.Parking != nil
	if !mayPark && !l.ended {
		park.Came()
	}
	var timer *time.Timer
	defer func() {
		if timer != nil {
			timer.Stop()
		}
	}()
	for !l.ended {
		if mayPark && len(l.rung) == 0 {
			if mayPark = false; l.leave() {
				l.over(Report{Outcome: Parked})
			}
			continue
		}
		var due <-chan time.Time
		if when := l.course.when(); when != 0 {
			if timer == nil {
				timer = time.NewTimer(when.Left())
			} else {
				timer.Reset(when.Left())
			}
			due = timer.C
		}
		step := l.next(due)
		if l.aside {
			Aside(func() { l.take(step) })
		} else {
			l.take(step)
		}
	}
}

// next waits for what happens next, and returns what is to be done then.
func (l *waiting) next(due <-chan time.Time) (step func()) {
	c := l.course
	select {
	case <-l.rung:
		step = c.news
	case <-l.ctx.Done():
		step = func() { c.lost(ClientGone) }
	case <-due:
		step = c.due
	case <-l.stop:
		l.stop = nil
		step = c.stop
	case <-l.retire:
		l.retire = nil
		step = c.retire
	}
	return step
}

func (l *waiting) take(step func()) {
	step()
	l.settle()
}

// leave has the connection parked and reports whether it is. The course was
// waiting, and else does so again.
func (l *waiting) leave() bool {
	d, _ := l.base.rest()
	c, _ := l.course.(*choosy)
	asking := c != nil && c.asking // who tells it knows this line
	if l.base.inbox.Store(d); d == nil && !asking && l.park() {
		return true
	}
	park.Came()
	l.course.news()
	l.settle()
	return false
}

// settle tells the course what became of its writes.
func (l *waiting) settle() {
	c := l.course
	for l.wrote != nothing && !l.ended {
		w := l.wrote
		l.wrote = nothing
		switch {
		case w == something:
			c.flushed()
		case l.slow:
			c.lost(Slow)
		default:
			c.lost(ClientGone)
		}
	}
}

func (l *waiting) whole(a Answer, status int, mood mood, body []byte) {
	dress(l.w.Header(), a, mood)
	if bodiless(status) {
		l.w.WriteHeader(status)
		l.done(nil)
		return
	}
	l.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	l.w.WriteHeader(status)
	flight := l.fly(body, true)
	_, err := l.w.Write(body)
	l.done(l.land(flight, err))
}

// leastFlight is the least that is worth the counting.
const leastFlight = 4 << 10

// fly says that something is on its way for as long as it is written.
func (l *waiting) fly(b []byte, alone bool) *hub.Flight {
	if len(b) < leastFlight {
		return nil
	}
	return l.hold.Hub.Fly(b, alone, func() { _ = l.rc.SetWriteDeadline(time.Unix(1, 0)) })
}

var errCut = errors.New("the reader is too slow for all that is on its way")

func (l *waiting) land(f *hub.Flight, err error) error {
	if !f.Land() {
		return err
	}
	l.slow, l.cut = true, true
	return errCut
}

func (l *waiting) begins() {
	if l.parts = true; !l.hold.Begun {
		dress(l.w.Header(), l.hold.Answer, usual)
		l.w.WriteHeader(http.StatusOK)
	}
}

// send writes and flushes. The deadline is taken back each time: on HTTP/2 one
// that passes ends the stream even while nothing is being written. A stream that
// never waits learns here that its client is gone, should the middleware swallow
// the errors of writes.
func (l *waiting) send(part []byte, _ bool) {
	if err := l.ctx.Err(); err != nil {
		l.done(err)
		return
	}
	started := time.Now()
	_ = l.rc.SetWriteDeadline(started.Add(writeTimeout)) // not every writer has one
	flight := l.fly(part, false)
	var err error
	if len(part) > 0 {
		_, err = l.w.Write(part)
	}
	if err == nil {
		err = l.rc.Flush()
	}
	l.size += len(part)
	l.slow = err != nil && time.Since(started) >= writeTimeout
	err = l.land(flight, err)
	_ = l.rc.SetWriteDeadline(time.Time{})
	l.done(err)
}

func (l *waiting) done(err error) {
	l.wrote = something
	if err != nil {
		l.wrote = inVain
	}
}

// over has the connection end without more, where the client ended its side: it may
// still read, and must not take an answer that nobody wrote for one.
func (l *waiting) over(report Report) {
	report.Abort = report.Abort || l.cut || report.Outcome == ClientGone
	l.ended, l.report = true, report
}

func (l *waiting) recalls() bool { return true }

func (l *waiting) ring() {
	select {
	case l.rung <- struct{}{}:
	default:
	}
}
