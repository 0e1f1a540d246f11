package hold

import (
	"net/http"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// stream writes deliveries until the client or the server ends it. A delivery
// that comes while another is being written waits in the hub's history, where it
// may grow together with those after it.
func (h *Hold) stream(c *conn, sub *hub.Sub, woken waker) Report {
	h.header(c.w)
	c.w.WriteHeader(http.StatusOK)
	var report Report

	d := sub.Next()
	var at hub.Cursor
	if d == nil {
		if d, at = woken.rest(sub); d != nil {
			at = hub.Cursor{} // behind the events, which are not written yet
		}
	}
	if !c.send(h.Answer.Open(at)) {
		d.Done()
		report.Outcome = c.lost()
		return report
	}
	heartbeat := time.NewTimer(h.Heartbeat)
	defer heartbeat.Stop()
	end := ending{stop: h.Ends.Stop, retire: h.Ends.Retire}
	defer end.close()
	// last is what stands in for a heartbeat.
	var last []byte
	repeats := h.Answer.Idle(at) == nil

	for {
		if d != nil {
			if repeats {
				last = d.Encoded(h.Answer.Class(), h.Answer.Events)
			}
			if !c.deliver(h.Answer, d, &report) {
				return report
			}
			if limit := h.Answer.Limit(); limit > 0 && c.sent >= limit {
				c.send(h.Answer.Bye(d.Cursor, 0))
				report.Outcome = Recycled
				return report
			}
			heartbeat.Reset(h.Heartbeat)
		}
		if d = sub.Next(); d != nil && !end.due() {
			continue
		}
		if d == nil {
			select {
			case d = <-woken:
				continue
			case <-c.ctx.Done():
				d, _ = woken.rest(sub)
				d.Done()
				report.Outcome = ClientGone
				return report
			case <-heartbeat.C:
				beat := last
				if d, at = woken.rest(sub); !repeats {
					beat = h.Answer.Idle(at)
				}
				if d == nil && !c.send(beat) {
					report.Outcome = c.lost()
					return report
				}
				heartbeat.Reset(h.Heartbeat)
				continue
			case <-end.stop:
				end.begin(Stopped, StopSpread)
			case <-end.retire:
				end.begin(Retired, RetireSpread)
			case <-end.now():
				end.over = true
			}
			d, at = woken.rest(sub)
		}
		if !end.over {
			continue
		}
		if d != nil {
			at = d.Cursor
			if !c.deliver(h.Answer, d, &report) {
				return report
			}
		}
		c.send(h.Answer.Bye(at, comeBack))
		report.Outcome = end.outcome
		return report
	}
}

// deliver writes a delivery and reports whether it went out; where it did not,
// that is the outcome.
func (c *conn) deliver(answer Answer, d *hub.Delivery, report *Report) bool {
	written := c.send(d.Encoded(answer.Class(), answer.Events))
	d.Done()
	if !written {
		report.Outcome = c.lost()
		return false
	}
	report.Events += len(d.Events)
	return true
}

// send writes and flushes, and reports whether the client still takes it. The
// deadline is taken back each time: on HTTP/2 one that passes ends the stream
// even while nothing is being written. A stream that never waits learns here
// that its client is gone, should the middleware swallow the errors of writes.
func (c *conn) send(b []byte) bool {
	if c.ctx.Err() != nil {
		return false
	}
	began := time.Now()
	_ = c.rc.SetWriteDeadline(began.Add(writeTimeout)) // not every writer has one
	var err error
	if len(b) > 0 {
		_, err = c.w.Write(b)
	}
	if err == nil {
		err = c.rc.Flush()
	}
	c.slow = err != nil && time.Since(began) >= writeTimeout
	c.sent += len(b)
	_ = c.rc.SetWriteDeadline(time.Time{})
	return err == nil
}

// ending is a stream's own end, which the server began and which comes a random
// while later.
type ending struct {
	// stop and retire are what to listen to, nil once heard.
	stop, retire <-chan struct{}
	timer        *time.Timer
	outcome      Outcome
	// over: the while has passed.
	over bool
}

// begin sets the end within d. A stop that comes after a retirement hurries it.
func (e *ending) begin(outcome Outcome, d time.Duration) {
	e.retire = nil
	if outcome == Stopped {
		e.stop = nil
	}
	e.close()
	e.outcome = outcome
	e.timer = time.NewTimer(spread(d))
}

// due listens without waiting, for a stream that always has something to write.
func (e *ending) due() bool {
	select {
	case <-e.stop:
		e.begin(Stopped, StopSpread)
	case <-e.retire:
		e.begin(Retired, RetireSpread)
	case <-e.now():
		e.over = true
	default:
	}
	return e.over
}

func (e *ending) now() <-chan time.Time {
	if e.timer == nil {
		return nil
	}
	return e.timer.C
}

func (e *ending) close() {
	if e.timer != nil {
		e.timer.Stop()
	}
}
