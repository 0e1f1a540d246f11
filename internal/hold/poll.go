package hold

import (
	"net/http"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// poll waits for one delivery and answers with it, or with the position when
// the time is over.
type poll struct {
	base
	wait time.Duration
}

func (p *poll) begin() {
	p.report.Outcome = Timeout
	if p.news(); p.writing {
		return
	}
	if p.wait <= 0 {
		p.due()
		return
	}
	p.end = park.In(p.wait)
}

func (p *poll) when() park.Moment { return p.ends() }

func (p *poll) news() {
	if p.writing {
		return
	}
	if p.sub.Kicked() {
		p.due()
		return
	}
	if d := p.look(); d != nil {
		p.give(d)
	}
}

func (p *poll) give(d *hub.Delivery) {
	p.report.Outcome = outcomeOf(d)
	p.whole(d, http.StatusOK, usual, p.encoded(d))
}

func (p *poll) due() {
	if p.writing {
		return
	}
	p.over()
	switch d, at := p.rest(); {
	case d != nil:
		p.give(d)
	case p.report.Outcome == Stopped:
		p.whole(nil, http.StatusOK, away, p.answer.Bye(at, comeBack))
	default:
		p.whole(nil, http.StatusOK, usual, p.answer.Idle(at))
	}
}

func (p *poll) flushed() { p.sent() }

// stop has the poll end a little earlier than it would.
func (p *poll) stop() {
	end := p.end
	p.hurry(Stopped, StopSpread)
	p.end = park.Earlier(p.end, end)
}

// retire does nothing: a poll ends soon enough by itself.
func (p *poll) retire() {}
