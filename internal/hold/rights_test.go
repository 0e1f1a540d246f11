package hold_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// forms are requests of each kind, on channels that are not published on; began is
// what they have been sent when time has passed.
var forms = map[string]struct {
	target string
	// late: it has been given a sign of life.
	late bool
	// says is what it is told at the end, or part of it.
	status int
	says   string
	abort  bool
}{
	"poll":                  {target: "/comet/a", status: http.StatusOK, says: `{"cursor":"CURSOR","events":[]}`},
	"SSE":                   {target: "/comet/a?as=sse", status: http.StatusOK, says: "id: CURSOR"},
	"stream":                {target: "/comet/a?as=stream", status: http.StatusOK, says: `{"cursor":"CURSOR","retry":`},
	"seed":                  {target: "/comet.php?subscribed[a]=0", status: http.StatusOK, says: `{"s":0}`},
	"chat":                  {target: "/backend.php?timestamp=0", status: http.StatusServiceUnavailable},
	"chat, with life":       {target: "/backend.php?timestamp=0", late: true, status: http.StatusOK, abort: true},
	"event variable":        {target: "/doorbell/1", status: http.StatusServiceUnavailable},
	"event variable, alive": {target: "/doorbell/1", late: true, status: http.StatusOK, abort: true},
}

// rightsEnd has holds of each form end by end, which is given when they wait.
func rightsEnd(t *testing.T, outcome hold.Outcome, end func(*rig)) {
	for name, form := range forms {
		bubble(t, func(r *rig) {
			who := &hub.Who{User: "42", Granted: time.Now(), Expires: time.Now().Add(time.Hour)}
			r.change = func(h *hold.Hold) {
				h.Who = who
				h.Wait = 2 * time.Hour
				if !form.late {
					h.Heartbeat = 2 * time.Hour
				}
			}
			h := r.serve(form.target)
			time.Sleep(50 * time.Second)
			r.publish("b", "not for it")
			end(r)
			synctest.Wait()
			r.ended(h, outcome, 0)
			says := strings.ReplaceAll(form.says, "CURSOR", r.hub.Cursor().String())
			if h.status != form.status || !strings.Contains(string(h.body), says) || h.report.Abort != form.abort {
				t.Errorf("%s: %d %q abort=%v", name, h.status, h.body, h.report.Abort)
			}
			r.wantHolds(0)
		})
	}
}

func TestAHoldEndsWithItsRight(t *testing.T) {
	rightsEnd(t, hold.Expired, func(*rig) { time.Sleep(time.Hour - 50*time.Second + time.Millisecond) })
}

func TestAKickEndsEveryFormOfHold(t *testing.T) {
	rightsEnd(t, hold.Kicked, func(r *rig) {
		if n, err := r.hub.Kick(hub.Kick{User: "42"}); n != 1 || err != nil {
			t.Errorf("%d were ended, %v", n, err)
		}
	})
}

// TestWhatIsPublishedAfterAKickIsNotHeard by anybody, and what was before is not lost.
func TestWhatIsPublishedAfterAKickIsNotHeard(t *testing.T) {
	bubble(t, func(r *rig) {
		r.change = func(h *hold.Hold) { h.Who = &hub.Who{User: "42", Granted: time.Now()} }
		c := newClient()
		c.stuck = make(chan struct{}) // it does not read for now
		begin := r.hub.Cursor().String()
		h := r.serveTo(c, get("/comet/a?as=stream"))
		poll := r.serve("/comet/a")
		r.publish("a", "before")
		synctest.Wait()
		if _, err := r.hub.Kick(hub.Kick{User: "42"}); err != nil {
			t.Fatal(err)
		}
		r.publish("a", "after")
		r.ended(poll, hold.Event, 1)
		if body := string(poll.body); !strings.Contains(body, "before") || strings.Contains(body, "after") {
			t.Errorf("the poll got %s", body)
		}
		close(c.stuck)
		synctest.Wait()
		r.ended(h, hold.Kicked, 0)
		if body := string(h.body); strings.Contains(body, "after") || !strings.Contains(body, `{"cursor":"`+begin+`","retry":`) {
			t.Errorf("the stream got %s", body)
		}
		if _, err := r.hub.Kick(hub.Kick{User: "43"}); err != nil {
			t.Fatal(err)
		}
	})
}
