package hold_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func TestAPollIsAnsweredByAnEvent(t *testing.T) {
	bubble(t, func(r *rig) {
		h := r.serve("/comet/a,b")
		r.wantHolds(1)
		time.Sleep(3 * time.Second)
		r.publish("b", "x")
		r.ended(h, hold.Event, 1)
		if a := r.answer(h.client); a.data() != "x" || a.Cursor != r.hub.Cursor().String() || h.took != 3*time.Second {
			t.Errorf("got %+v after %v", a, h.took)
		}
		r.wantHolds(0)
		r.wantFanouts(1)
	})
}

func TestWhatHappenedSinceAnswersAPollAtOnce(t *testing.T) {
	bubble(t, func(r *rig) {
		from := r.hub.Cursor()
		r.publish("a", "x")
		r.publish("b", "-")
		r.publish("a", "y")
		h := r.serve("/comet/a?since=" + from.String())
		r.ended(h, hold.Event, 2)
		if a := r.answer(h.client); a.data() != "xy" || h.took != 0 {
			t.Errorf("got %+v after %v", a, h.took)
		}
	})
}

func TestATimeoutsCursorLosesNothing(t *testing.T) {
	bubble(t, func(r *rig) {
		h := r.serve("/comet/a?wait=7")
		time.Sleep(time.Second)
		r.publish("b", "not for a")
		r.ended(h, hold.Timeout, 0)
		a := r.answer(h.client)
		if h.took != 7*time.Second || len(a.Events) != 0 || a.Cursor != r.hub.Cursor().String() {
			t.Errorf("got %+v after %v", a, h.took)
		}
		r.publish("a", "x")
		next := r.serve("/comet/a?since=" + a.Cursor)
		r.ended(next, hold.Event, 1)
		if got := r.answer(next.client); got.data() != "x" || got.Gap {
			t.Errorf("got %+v", got)
		}
	})
}

func TestAPollThatDoesNotWaitGetsACursorAtOnce(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("a", "before")
		for _, query := range []string{"wait=0", "since=", "wait=0&since=" + r.hub.Cursor().String()} {
			h := r.serve("/comet/a?" + query)
			r.ended(h, hold.Timeout, 0)
			if a := r.answer(h.client); a.Cursor != r.hub.Cursor().String() || len(a.Events) != 0 || h.took != 0 {
				t.Errorf("%s: got %+v after %v", query, a, h.took)
			}
		}
		r.wantHolds(0)
	})
}

func TestAPollIsToldOfAGap(t *testing.T) {
	bubble(t, func(r *rig) {
		h := r.serve("/comet/a?since=zz.1")
		r.ended(h, hold.Gap, 0)
		if a := r.answer(h.client); !a.Gap || a.Cursor != r.hub.Cursor().String() {
			t.Errorf("got %+v", a)
		}
	})
}

func TestAHeadRequestDoesNotWait(t *testing.T) {
	bubble(t, func(r *rig) {
		for _, target := range []string{"/comet/a", "/comet/a?as=sse", "/comet.php?subscribed[a]=0"} {
			req := httptest.NewRequest(http.MethodHead, target, nil)
			h := r.serveTo(newClient(), req)
			r.ended(h, hold.Timeout, 0)
			if h.took != 0 || h.status != http.StatusOK || len(h.body) != 0 {
				t.Errorf("%s: got %d %q after %v", target, h.status, h.body, h.took)
			}
			wantHeader(t, h.header)
		}
		r.wantHolds(0)
	})
}

// wantHeader wants what all answers have.
func wantHeader(t *testing.T, got http.Header) {
	t.Helper()
	for name, want := range map[string]string{
		"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff",
	} {
		if got.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get(name), want)
		}
	}
	if got.Get("Content-Type") == "" {
		t.Error("no Content-Type")
	}
}

func wantRetryAfter(t *testing.T, got http.Header) {
	t.Helper()
	if n, err := strconv.Atoi(got.Get("Retry-After")); err != nil || n < 1 || n > 5 {
		t.Errorf("Retry-After is %q", got.Get("Retry-After"))
	}
}

func TestAPollsHeaderIsComplete(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("a", "x")
		for _, target := range []string{"/comet/a?wait=0", "/comet/a?since=all", "/comet.php?subscribed[a]=0", "/comet.php?subscribed[a]=1"} {
			h := r.serve(target)
			<-h.done
			wantHeader(t, h.header)
			if h.header.Get("Content-Type") != "application/json" || h.header.Get("Content-Length") != strconv.Itoa(len(h.body)) || h.status != http.StatusOK {
				t.Errorf("%s: got %d %v", target, h.status, h.header)
			}
		}
	})
}

func TestAtTheLimitEveryKindOfClientIsToldWhatItSurvives(t *testing.T) {
	bubble(t, func(r *rig) {
		limits := r.hub.Limits()
		limits.Holds = 1
		r.hub.SetLimits(limits)
		waiting := r.serve("/comet/a")
		for _, c := range []struct {
			target, contentType string
			status              int
			body                string
		}{
			{"/comet/a", "text/plain; charset=utf-8", 503, "too many held requests"},
			{"/comet/a?as=sse", "text/event-stream", 200, "\nretry: "},
			{"/comet.php?subscribed[a]=0", "application/json", 200, `{"s":0}`},
		} {
			h := r.serve(c.target)
			r.ended(h, hold.Denied, 0)
			if h.status != c.status || !strings.Contains(string(h.body), c.body) || h.header.Get("Content-Type") != c.contentType {
				t.Errorf("%s: got %d %v %q", c.target, h.status, h.header, h.body)
			}
			if h.header.Get("Content-Length") != strconv.Itoa(len(h.body)) {
				t.Errorf("%s: got %v", c.target, h.header)
			}
			wantHeader(t, h.header)
			wantRetryAfter(t, h.header)
		}
		waiting.hang()
		r.ended(waiting, hold.ClientGone, 0)
		h := r.serve("/comet/a?wait=0")
		r.ended(h, hold.Timeout, 0)

		_ = r.hub.Close()
		closed := r.serve("/comet/a")
		r.ended(closed, hold.Denied, 0)
		if closed.status != 503 {
			t.Errorf("a closed hub: got %d", closed.status)
		}
	})
}

func TestARequestThatTheClientCanMendIsNotAnswered(t *testing.T) {
	bubble(t, func(r *rig) {
		limits := r.hub.Limits()
		limits.ChannelsPerSub = 1
		r.hub.SetLimits(limits)
		h := r.serve("/comet/a,b")
		<-h.done
		if !errors.Is(h.err, hub.ErrTooManyNames) || h.status != 0 || len(h.body) != 0 {
			t.Errorf("got %v, and %d %q", h.err, h.status, h.body)
		}
		r.wantHolds(0)
	})
}

func TestHTTP3NeverWaitsUntilQUICGivesUp(t *testing.T) {
	bubble(t, func(r *rig) {
		req := get("/comet/a")
		req.ProtoMajor = 3
		h := r.serveTo(newClient(), req)
		r.ended(h, hold.Timeout, 0)
		if h.took != 20*time.Second {
			t.Errorf("a poll took %v", h.took)
		}
		req = get("/comet/a?wait=1")
		req.ProtoMajor = 3
		if h = r.serveTo(newClient(), req); h.over() {
			t.Error("did not wait")
		}
		if <-h.done; h.took != time.Second {
			t.Errorf("a short poll took %v", h.took)
		}
	})
}

func TestEveryDeliveryIsDoneOnceHoweverThePollEnds(t *testing.T) {
	bubble(t, func(r *rig) {
		// One that cannot write holds up the fan-out, and it alone.
		slow, broken := newClient(), newClient()
		slow.stuck, broken.takes = make(chan struct{}), 0
		holds := []*held{r.serve("/comet/a"), r.serveTo(slow, get("/comet/a")), r.serveTo(broken, get("/comet/a")), r.serve("/comet/a,b")}
		r.publish("a", "x")
		synctest.Wait()
		r.wantFanouts(0)
		r.wantHolds(0)
		close(slow.stuck)
		for i, want := range []hold.Outcome{hold.Event, hold.Event, hold.ClientGone, hold.Event} {
			events := 1
			if want == hold.ClientGone {
				events = 0
			}
			r.ended(holds[i], want, events)
		}
		r.wantFanouts(1)
	})
}

// An event meets the client's end, or the time's: whoever wins, the fan-out ends
// with the last reader's write, not before and not never.
func TestADeliveryThatMeetsTheEndIsDoneOnce(t *testing.T) {
	bubble(t, func(r *rig) {
		outcomes := make(map[hold.Outcome]int)
		for i := range 500 {
			slow := newClient()
			slow.stuck = make(chan struct{})
			witness := r.serveTo(slow, get("/comet/a"))
			h := r.serve("/comet/a?wait=1")
			if i%2 == 0 {
				h.hang()
			} else {
				time.Sleep(time.Second)
			}
			r.publish("a", "x")
			<-h.done
			synctest.Wait()
			outcomes[h.report.Outcome]++
			r.wantFanouts(int64(i))
			close(slow.stuck)
			r.ended(witness, hold.Event, 1)
			r.wantFanouts(int64(i + 1))
			r.wantHolds(0)
			if t.Failed() {
				return
			}
		}
		t.Log(outcomes)
	})
}
