package hold

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// Choosy is an answer that is given once, but not to everything that happens, and
// that the site made beforehand: its headers are the site's.
type Choosy interface {
	Answer
	// Choose says what a delivery comes to: an answer; again, where the site is to be
	// asked once more; or, with status 0, nothing.
	Choose(*hub.Delivery) (status int, header http.Header, body []byte, again bool)
	// Own is the site's answer for when nothing has happened up to a position, which is
	// zero where it is not known.
	Own(at hub.Cursor) (status int, header http.Header, body []byte)
}

// Dressed is an answer whose header is not the usual one.
type Dressed interface {
	Answer
	Dress(http.Header)
}

// Turn is where one hold waits for its turn to have the site asked again, of which
// there are not too many at once.
type Turn interface {
	// Wait has ready called when it is the hold's turn, from any goroutine.
	Wait(ready func())
	// Leave gives the turn back, or the place in the queue.
	Leave()
}

// Again is no answer: the site is to be asked once more, and it is the hold's turn.
const Again Outcome = "again"

// askTime is how long a hold whose time is nearly over still waits for its turn.
const askTime = 5 * time.Second

// choosy waits for a delivery that its answer chooses.
type choosy struct {
	base
	choice Choosy
	wait   time.Duration
	// turn is nil where the site cannot be asked again.
	turn Turn
	// asking: it waits for its turn. turned: it has come.
	asking bool
	turned atomic.Bool
}

func (c *choosy) begin() {
	c.report.Outcome = Timeout
	end := park.In(c.wait)
	if c.news(); c.writing || c.asking {
		return
	}
	if c.wait <= 0 {
		c.due()
		return
	}
	c.end = end
}

func (c *choosy) when() park.Moment { return c.ends() }

func (c *choosy) news() {
	switch {
	case c.writing:
		return
	case !c.asking && c.sub.Kicked():
		c.due()
	case !c.asking:
		for d := c.look(); d != nil && !c.take(d); d = c.look() {
		}
	case c.turned.Load() && (c.report.Outcome == Stopped || !c.line.recalls()):
		c.own(nil, hub.Cursor{})
	case c.turned.Load():
		c.finish(Again)
	}
}

// take reports whether a delivery is what was waited for.
func (c *choosy) take(d *hub.Delivery) bool {
	status, header, body, again := c.choice.Choose(d)
	switch {
	case again && c.turn != nil && c.report.Outcome != Stopped:
		d.Done()
		c.leave()
		c.asking, c.end = true, max(c.end, park.In(askTime))
		c.turn.Wait(func() {
			c.turned.Store(true)
			c.line.ring()
		})
	case again:
		c.report.Outcome = outcomeOf(d)
		c.own(d, hub.Cursor{})
	case status != 0:
		c.report.Outcome = outcomeOf(d)
		c.wholeAs(dressed{c.answer, header}, d, status, usual, body)
	default:
		d.Done()
		return false
	}
	return true
}

// own gives the site's own answer.
func (c *choosy) own(d *hub.Delivery, at hub.Cursor) {
	c.giveUp()
	status, header, body := c.choice.Own(at)
	c.wholeAs(dressed{c.answer, header}, d, status, usual, body)
}

func (c *choosy) due() {
	if c.writing {
		return
	}
	c.over()
	var at hub.Cursor
	if !c.asking {
		var d *hub.Delivery
		for d, at = c.rest(); d != nil; d, at = c.look(), d.Cursor {
			if c.take(d) {
				return
			}
		}
	}
	c.own(nil, at)
}

func (c *choosy) giveUp() {
	if c.turn != nil {
		c.turn.Leave()
	}
}

func (c *choosy) flushed() { c.sent() }

func (c *choosy) lost(why Outcome) {
	c.giveUp()
	c.base.lost(why)
}

// stop has it end a little earlier than it would.
func (c *choosy) stop() {
	end := c.end
	c.hurry(Stopped, StopSpread)
	c.end = park.Earlier(c.end, end)
}

// retire does nothing: it ends soon enough by itself.
func (c *choosy) retire() {}

// dressed is an answer with a header of its own.
type dressed struct {
	Answer
	header http.Header
}

// Dress implements [Dressed].
func (d dressed) Dress(header http.Header) {
	for name, values := range d.header {
		header[name] = values
	}
}

// bodiless reports whether an answer of that status has neither a body nor its
// length (RFC 9110 section 8.6).
func bodiless(status int) bool {
	return status < http.StatusOK || status == http.StatusNoContent || status == http.StatusNotModified
}
