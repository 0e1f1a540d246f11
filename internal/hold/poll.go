package hold

import (
	"net/http"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// poll waits for one delivery and answers with it, or with the position when
// the time is over.
func (h *Hold) poll(c *conn, sub *hub.Sub, woken waker) Report {
	d := sub.Next()
	outcome := Timeout
	var at hub.Cursor
	if d == nil {
		if h.Wait > 0 {
			d, outcome = h.await(c, woken)
		}
		if d == nil {
			d, at = woken.rest(sub)
		}
		if outcome == ClientGone {
			d.Done()
			return Report{Outcome: outcome}
		}
	}
	// From here on the request no longer waits; it must not count as if.
	sub.Close()

	h.header(c.w)
	if d == nil {
		body := h.Answer.Idle(at)
		if outcome == Stopped {
			setRetryAfter(c.w.Header())
			body = h.Answer.Bye(at, comeBack)
		}
		if !writeOnce(c.w, http.StatusOK, body) {
			outcome = ClientGone
		}
		return Report{Outcome: outcome}
	}
	written := writeOnce(c.w, http.StatusOK, d.Encoded(h.Answer.Class(), h.Answer.Events))
	d.Done()
	if !written {
		return Report{Outcome: ClientGone}
	}
	return answeredWith(d)
}

// answeredWith reports a delivery that was written.
func answeredWith(d *hub.Delivery) Report {
	if d.Gap {
		return Report{Outcome: Gap, Events: len(d.Events)}
	}
	return Report{Outcome: Event, Events: len(d.Events)}
}

// await waits for the first of: a delivery, the end of the time, the client's
// end, the server's.
func (h *Hold) await(c *conn, woken waker) (*hub.Delivery, Outcome) {
	timer := time.NewTimer(h.Wait)
	defer timer.Stop()
	began := time.Now()
	stop := h.Ends.Stop
	outcome := Timeout
	for {
		select {
		case d := <-woken:
			return d, Event
		case <-c.ctx.Done():
			return nil, ClientGone
		case <-timer.C:
			return nil, outcome
		case <-stop:
			stop, outcome = nil, Stopped
			timer.Reset(min(spread(StopSpread), h.Wait-time.Since(began)))
		}
	}
}
