package hold_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/dialect/ssetest"
	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// data is all messages' data in one text.
func data(s ssetest.Stream) (all string) {
	for _, m := range s.Messages {
		all += m.Data
	}
	return all
}

func TestAStreamBeginsWithItsPosition(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("a", "before")
		h := r.serve("/comet/a?as=sse")
		s := ssetest.Parse(h.read())
		if s.ID != r.hub.Cursor().String() || s.Messages != nil || s.Retry == 0 {
			t.Errorf("a browser reads %+v", s)
		}
		wantHeader(t, h.header)
		if h.status != 200 || h.header.Get("Content-Type") != "text/event-stream" || h.header.Get("Content-Length") != "" {
			t.Errorf("got %d %v", h.status, h.header)
		}
		r.publish("a", "x")
		synctest.Wait()
		r.publish("a", "y")
		synctest.Wait()
		if s = ssetest.Parse(h.read()); data(s) != "xy" || s.ID != r.hub.Cursor().String() {
			t.Errorf("a browser reads %+v", s)
		}
		h.hang()
		r.ended(h, hold.ClientGone, 2)
		r.wantHolds(0)
		r.wantFanouts(2)
	})
}

func TestAStreamCatchesUp(t *testing.T) {
	bubble(t, func(r *rig) {
		from := r.hub.Cursor().String()
		r.publish("a", "x")
		r.publish("a", "y")
		req := get("/comet/a?as=sse&since=now")
		req.Header.Set("Last-Event-ID", from)
		h := r.serveTo(newClient(), req)
		if s := ssetest.Parse(h.read()); data(s) != "xy" {
			t.Errorf("a browser reads %+v", s)
		}
		h.hang()
		r.ended(h, hold.ClientGone, 2)
	})
}

func TestAStreamThatCannotGoOnSaysSo(t *testing.T) {
	bubble(t, func(r *rig) {
		h := r.serve("/comet/a?as=sse&since=zz.1")
		s := ssetest.Parse(h.read())
		if len(s.Messages) != 1 || s.Messages[0].Type != "gap" || s.ID != r.hub.Cursor().String() {
			t.Errorf("a browser reads %+v", s)
		}
		h.hang()
		r.ended(h, hold.ClientGone, 0)
	})
}

func TestAHeartbeatCarriesAFreshCursor(t *testing.T) {
	bubble(t, func(r *rig) {
		h := r.serve("/comet/a?as=sse")
		r.publish("b", "not for a")
		time.Sleep(19 * time.Second)
		opened := len(h.read())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		beat := string(h.read()[opened:])
		if want := "id: " + r.hub.Cursor().String() + "\n\n"; beat != want {
			t.Errorf("got %q, want %q", beat, want)
		}
		// An event puts the next one off.
		r.publish("a", "x")
		synctest.Wait()
		opened = len(h.read())
		time.Sleep(19 * time.Second)
		synctest.Wait()
		if got := h.read()[opened:]; len(got) != 0 {
			t.Errorf("got %q too early", got)
		}
		time.Sleep(41 * time.Second)
		synctest.Wait()
		if n := strings.Count(string(h.read()[opened:]), "id: "); n != 3 {
			t.Errorf("got %d heartbeats in a minute", n)
		}
		h.hang()
		r.ended(h, hold.ClientGone, 1)
	})
}

func TestAStreamOnHTTP3BeatsBeforeQUICGivesUp(t *testing.T) {
	bubble(t, func(r *rig) {
		req := get("/comet/a?as=sse")
		req.ProtoMajor = 3
		way := r.hold(req)
		way.Heartbeat = time.Hour
		c := newClient()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = way.Serve(c, req)
		}()
		time.Sleep(21 * time.Second)
		synctest.Wait()
		if n := strings.Count(string(c.read()), "id: "); n != 2 {
			t.Errorf("got %q", c.read())
		}
		close(r.stop)
		<-done
	})
}

func TestASlowReaderDelaysNobodyAndIsEnded(t *testing.T) {
	bubble(t, func(r *rig) {
		fast := r.serve("/comet/a?as=sse")
		slow := newClient()
		h := r.serveTo(slow, get("/comet/a?as=sse"))
		slow.mu.Lock()
		slow.stuck = make(chan struct{}) // nobody reads any more
		slow.mu.Unlock()
		began := time.Now()
		for i := range 10 {
			r.publish("a", fmt.Sprint(i))
			synctest.Wait()
		}
		if s := ssetest.Parse(fast.read()); data(s) != "0123456789" || time.Since(began) != 0 {
			t.Errorf("the fast one read %+v after %v", s, time.Since(began))
		}
		r.ended(h, hold.Slow, 0)
		if got := time.Since(began); got != 30*time.Second {
			t.Errorf("ended after %v", got)
		}
		fast.hang()
		r.ended(fast, hold.ClientGone, 10)
		r.wantHolds(0)
		r.wantFanouts(10)
	})
}

func TestWhatCameWhileAReaderWasSlowComesTogether(t *testing.T) {
	bubble(t, func(r *rig) {
		c := newClient()
		h := r.serveTo(c, get("/comet/a?as=sse"))
		c.mu.Lock()
		c.stuck = make(chan struct{})
		c.mu.Unlock()
		for i := range 5 {
			r.publish("a", fmt.Sprint(i))
		}
		time.Sleep(29 * time.Second)
		close(c.stuck)
		synctest.Wait()
		if s := ssetest.Parse(h.read()); data(s) != "01234" {
			t.Errorf("a browser reads %+v", s)
		}
		if c.mu.Lock(); !c.deadline.IsZero() {
			t.Error("the deadline of the last write would end the stream")
		}
		writes := c.writes
		c.mu.Unlock()
		if writes != 3 {
			t.Errorf("%d writes, want the opening, one event and the rest", writes)
		}
		h.hang()
		r.ended(h, hold.ClientGone, 5)
	})
}

func TestAWriteErrorEndsAStreamWhereverItComes(t *testing.T) {
	for takes, c := range []struct {
		fails  string
		events int
	}{{"opening", 0}, {"event", 0}, {"heartbeat", 1}} {
		t.Run(c.fails, func(t *testing.T) {
			bubble(t, func(r *rig) {
				broken := newClient()
				broken.takes = takes
				slow := newClient()
				slow.stuck = make(chan struct{})
				witness := r.serveTo(slow, get("/comet/a"))
				h := r.serveTo(broken, get("/comet/a?as=sse"))
				r.publish("a", "x")
				r.ended(h, hold.ClientGone, c.events)
				r.wantHolds(0)
				r.wantFanouts(0) // the witness has not written yet
				close(slow.stuck)
				r.ended(witness, hold.Event, 1)
				r.wantFanouts(1)
			})
		})
	}
}

// A stream that always has something to write learns of the client's and the
// server's end all the same.
func TestABusyStreamNoticesTheEnd(t *testing.T) {
	for name, end := range map[string]func(*rig, *held){
		"client": func(_ *rig, h *held) { h.hang() },
		"stop":   func(r *rig, _ *held) { close(r.stop) },
		"retire": func(r *rig, _ *held) { close(r.retire) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				c := newClient()
				c.stuck = make(chan struct{})
				h := r.serveTo(c, get("/comet/a?as=sse"))
				feed := time.NewTicker(time.Millisecond)
				defer feed.Stop()
				began := time.Now()
				end(r, h)
				// Each write lasts until the next event is there.
				for i := 0; !h.over(); i++ {
					r.publish("a", "x")
					select {
					case c.stuck <- struct{}{}:
					case <-h.done:
					}
					<-feed.C
					if i > 100_000 {
						t.Fatal("it goes on and on")
					}
				}
				took := time.Since(began)
				limit := map[string]time.Duration{"client": time.Second, "stop": hold.StopSpread, "retire": hold.RetireSpread}[name]
				if took > limit+time.Second {
					t.Errorf("ended after %v", took)
				}
				want := map[string]hold.Outcome{"client": hold.ClientGone, "stop": hold.Stopped, "retire": hold.Retired}[name]
				if h.report.Outcome != want {
					t.Errorf("got %+v", h.report)
				}
				synctest.Wait()
				r.wantHolds(0)
				// Who comes back gets nothing twice.
				s := ssetest.Parse(h.read())
				if n := len(s.Messages); n > 0 && s.ID != s.Messages[n-1].ID {
					t.Errorf("the last event is %s, the stream ends at %s", s.Messages[n-1].ID, s.ID)
				}
			})
		})
	}
}
