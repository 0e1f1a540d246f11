package hold

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

var errStopping = errors.New("the server stops or starts anew; ask again")

// patient waits for one delivery, however long it takes, and answers with it.
// Signs of life go out ahead of the answer, so that no proxy on the way takes it
// for dead; the first of them commits the answer to be 200. So when the server
// must end it, the answer is an error only where none has gone out; else it
// breaks off.
func (h *Hold) patient(c *conn, sub *hub.Sub, woken waker) Report {
	begun := false
	d := sub.Next()
	heartbeat := time.NewTimer(h.Heartbeat)
	defer heartbeat.Stop()
	end := ending{stop: h.Ends.Stop}
	defer end.close()
	for d == nil {
		select {
		case d = <-woken:
		case <-c.ctx.Done():
			d, _ = woken.rest(sub)
			d.Done()
			return Report{Outcome: ClientGone}
		case <-heartbeat.C:
			if !begun {
				begun = true
				h.header(c.w)
				c.w.WriteHeader(http.StatusOK)
			}
			if !c.send(h.Answer.Idle(hub.Cursor{})) {
				d, _ = woken.rest(sub)
				d.Done()
				return Report{Outcome: c.lost()}
			}
			heartbeat.Reset(h.Heartbeat)
		case <-end.stop:
			end.begin(Stopped, StopSpread)
		case <-end.now():
			if d, _ = woken.rest(sub); d != nil {
				continue
			}
			if begun {
				return Report{Outcome: Stopped, Abort: true}
			}
			h.refuse(c.w, errStopping)
			return Report{Outcome: Stopped}
		}
	}
	// From here on the request no longer waits; it must not count as if.
	sub.Close()
	defer d.Done()
	body := d.Encoded(h.Answer.Class(), h.Answer.Events)
	if !begun {
		h.header(c.w)
		if !writeOnce(c.w, http.StatusOK, body) {
			return Report{Outcome: ClientGone}
		}
	} else if !c.send(body) {
		return Report{Outcome: c.lost()}
	}
	return answeredWith(d)
}
