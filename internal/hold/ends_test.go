package hold_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/dialect/ssetest"
	"github.com/caddy-comet/caddy-comet/internal/hold"
)

func TestAStopAnswersEveryHoldWithAPositionToComeBackTo(t *testing.T) {
	bubble(t, func(r *rig) {
		var polls, streams, seeds []*held
		for range 50 {
			polls = append(polls, r.serve("/comet/a"))
			streams = append(streams, r.serve("/comet/a?as=sse"))
			seeds = append(seeds, r.serve("/comet.php?subscribed[a]=0"))
		}
		time.Sleep(time.Second)
		r.publish("b", "not for a")
		close(r.stop)
		cursor := r.hub.Cursor().String()
		var first, last time.Duration = time.Hour, 0
		seen := func(h *held) {
			first, last = min(first, h.took), max(last, h.took)
		}
		for _, h := range polls {
			r.ended(h, hold.Stopped, 0)
			seen(h)
			wantRetryAfter(t, h.header)
			wantHeader(t, h.header)
			if a := r.answer(h.client); a.Cursor != cursor || len(a.Events) != 0 || a.Gap {
				t.Errorf("a poll got %+v", a)
			}
		}
		for _, h := range streams {
			r.ended(h, hold.Stopped, 0)
			seen(h)
			s := ssetest.Parse(h.read())
			if s.ID != cursor || s.Retry < time.Second || s.Retry > 5*time.Second || s.Messages != nil {
				t.Errorf("a stream got %+v", s)
			}
		}
		for _, h := range seeds {
			r.ended(h, hold.Stopped, 0)
			seen(h)
			if string(h.body) != `{"s":0}` {
				t.Errorf("a seed got %s", h.body)
			}
		}
		if last > time.Second+hold.StopSpread || last-first < hold.StopSpread/2 {
			t.Errorf("they were spread from %v to %v", first, last)
		}
		r.wantHolds(0)
	})
}

func TestAStopLosesNoEvent(t *testing.T) {
	for range 50 {
		bubble(t, func(r *rig) {
			poll, stream := r.serve("/comet/a?wait=9"), r.serve("/comet/a?as=sse")
			close(r.stop)
			synctest.Wait()
			time.Sleep(hold.StopSpread / 2)
			r.publish("a", "x")
			<-poll.done
			<-stream.done
			a, s := r.answer(poll.client), ssetest.Parse(stream.read())
			for what, got := range map[string]struct{ data, cursor string }{
				"poll": {a.data(), a.Cursor}, "stream": {data(s), s.ID},
			} {
				if got.data == "x" {
					continue
				}
				next := r.serve("/comet/a?wait=0&since=" + got.cursor)
				<-next.done
				if later := r.answer(next.client); got.data != "" || later.data() != "x" || later.Gap {
					t.Errorf("the %s got %q and then %+v", what, got.data, later)
				}
			}
			synctest.Wait()
			r.wantHolds(0)
		})
	}
}

func TestAStopMakesNobodyWaitLonger(t *testing.T) {
	for range 20 {
		bubble(t, func(r *rig) {
			h := r.serve("/comet/a?wait=3")
			time.Sleep(2900 * time.Millisecond)
			close(r.stop)
			if <-h.done; h.took > 3*time.Second {
				t.Errorf("a poll that wanted to wait 3 s waited %v", h.took)
			}
		})
	}
}

func TestAHoldThatComesAfterTheStopIsSentAwayToo(t *testing.T) {
	bubble(t, func(r *rig) {
		close(r.stop)
		for _, target := range []string{"/comet/a", "/comet/a?as=sse"} {
			h := r.serve(target)
			r.ended(h, hold.Stopped, 0)
			if h.took > hold.StopSpread {
				t.Errorf("%s took %v", target, h.took)
			}
		}
	})
}

func TestAReloadEndsStreamsAndLeavesPollsAlone(t *testing.T) {
	bubble(t, func(r *rig) {
		var streams []*held
		for range 50 {
			streams = append(streams, r.serve("/comet/a?as=sse"))
		}
		poll := r.serve("/comet/a")
		close(r.retire)
		time.Sleep(10 * time.Second)
		r.publish("b", "not for a")
		cursor := r.hub.Cursor().String()
		r.ended(poll, hold.Timeout, 0)
		if poll.took != 25*time.Second || poll.header.Get("Retry-After") != "" {
			t.Errorf("the poll ended after %v with %v", poll.took, poll.header)
		}
		var last time.Duration
		for _, h := range streams {
			r.ended(h, hold.Retired, 0)
			last = max(last, h.took)
			if s := ssetest.Parse(h.read()); s.Retry == 0 || h.took > 10*time.Second && s.ID != cursor {
				t.Errorf("after %v a browser reads %+v", h.took, s)
			}
		}
		if last > hold.RetireSpread || last < hold.RetireSpread/2 {
			t.Errorf("the last ended after %v", last)
		}
		r.wantHolds(0)
	})
}

func TestARetiringStreamStillGetsEvents(t *testing.T) {
	bubble(t, func(r *rig) {
		h := r.serve("/comet/a?as=sse")
		close(r.retire)
		synctest.Wait()
		r.publish("a", "x")
		synctest.Wait()
		r.publish("a", "y")
		r.ended(h, hold.Retired, 2)
		if s := ssetest.Parse(h.read()); data(s) != "xy" || s.ID != r.hub.Cursor().String() {
			t.Errorf("a browser reads %+v", s)
		}
	})
}

func TestAStopHurriesAStreamThatRetires(t *testing.T) {
	for range 20 {
		bubble(t, func(r *rig) {
			h := r.serve("/comet/a?as=sse")
			close(r.retire)
			synctest.Wait()
			close(r.stop)
			if <-h.done; h.took > hold.StopSpread {
				t.Errorf("ended after %v", h.took)
			}
		})
	}
}
