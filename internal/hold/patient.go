package hold

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

var errStopping = errors.New("the server stops or starts anew; ask again")

// patient waits for one delivery, however long it takes, and answers with it.
// Signs of life go out ahead of the answer, so that no proxy on the way takes it
// for dead; the first of them commits the answer to be 200. So when the server
// must end it, the answer is an error only where none has gone out; else it
// breaks off.
type patient struct {
	base
	heartbeat time.Duration
	beat      park.Moment
	// alive: a sign of life has gone out, or is.
	alive bool
}

func (p *patient) begin() {
	p.beat = park.In(p.heartbeat)
	p.news()
}

func (p *patient) when() park.Moment { return park.Earlier(p.beat, p.ends()) }

func (p *patient) news() {
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

func (p *patient) give(d *hub.Delivery) {
	p.report.Outcome = outcomeOf(d)
	if !p.alive {
		p.whole(d, http.StatusOK, usual, p.encoded(d))
		return
	}
	p.leave()
	p.send(d, p.encoded(d), true)
}

func (p *patient) due() {
	if p.writing {
		return
	}
	if !p.over() {
		p.beat = park.In(p.heartbeat)
		if !p.alive {
			p.alive = true
			p.line.begins()
		}
		p.send(nil, p.answer.Idle(hub.Cursor{}), false)
		return
	}
	if d, _ := p.rest(); d != nil {
		p.give(d)
		return
	}
	if p.alive {
		p.report.Abort = true
		p.finish(p.report.Outcome)
		return
	}
	status, body := p.answer.Full(errStopping.Error(), comeBack)
	p.whole(nil, status, refusal, body)
}

func (p *patient) flushed() {
	if !p.sent() {
		p.beat = park.In(p.heartbeat)
		p.news()
	}
}

func (p *patient) stop() { p.hurry(Stopped, StopSpread) }

func (p *patient) retire() {
	if p.end == 0 {
		p.hurry(Retired, RetireSpread)
	}
}
