package hold

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/log"
)

// slate is a line that takes everything, and notes how a course ended.
type slate struct {
	rung    chan struct{}
	wholes  int
	parts   string
	reports []Report
}

func (s *slate) whole(Answer, int, mood, []byte) { s.wholes++ }
func (s *slate) begins()                         {}
func (s *slate) send(b []byte, _ bool)           { s.parts += string(b) }
func (s *slate) over(r Report)                   { s.reports = append(s.reports, r) }
func (s *slate) ring()                           { s.rung <- struct{}{} }
func (s *slate) recalls() bool                   { return true }

// An answer that is going out when the process ends, or the configuration, is the
// event that it is.
func TestWhatComesWhileTheAnswerGoesOutChangesNothing(t *testing.T) {
	for name, target := range map[string]string{"native": "/comet/chat", "filechat": "/backend.php"} {
		h, err := hub.New(hub.Config{Log: log.NewMemory(nil), Limits: hub.DefaultLimits()})
		if err != nil {
			t.Fatal(err)
		}
		d, err := dialect.New(name, dialect.Options{Channels: []string{"chat"}})
		if err != nil {
			t.Fatal(err)
		}
		ask, err := d.Read(httptest.NewRequest(http.MethodGet, target, nil))
		if err != nil {
			t.Fatal(err)
		}
		to := &slate{rung: make(chan struct{}, 1)}
		way := &Hold{Hub: h, Channels: ask.Channels, Answer: ask.Answer, Wait: comeBack, Heartbeat: comeBack}
		c, _, err := way.open(ask.Since, to)
		if err != nil {
			t.Fatal(err)
		}
		c.begin()
		if _, err := h.Publish(context.Background(), []hub.Draft{{Channel: "chat", Data: []byte("here"), State: true, Kept: true}}); err != nil {
			t.Fatal(err)
		}
		for to.wholes == 0 {
			<-to.rung
			c.news()
		}
		c.stop()
		c.retire()
		c.flushed()
		if len(to.reports) != 1 || to.reports[0].Outcome != Event || to.reports[0].Events != 1 {
			t.Errorf("%s: ended with %+v", name, to.reports)
		}
	}
}

// Who is counted as held hears of everything from then on; who is refused never is.
func TestAHoldWaitsWhenTheHubKnowsOfIt(t *testing.T) {
	limits := hub.DefaultLimits()
	limits.Holds = 1
	h, err := hub.New(hub.Config{Log: log.NewMemory(nil), Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	var known []int
	hold := &Hold{
		Hub: h, Channels: []string{"a"}, Answer: dialect.JSONPoll(),
		Waits: func() { known = append(known, h.Stats().Holds) },
	}
	if _, _, err := hold.open(hub.Since{}, new(slate)); err != nil || len(known) != 1 || known[0] != 1 {
		t.Errorf("the hub knew of %d, %v", known, err)
	}
	if _, _, err := hold.open(hub.Since{}, new(slate)); err == nil || len(known) != 1 {
		t.Errorf("beyond the limit: the hub knew of %d, %v", known, err)
	}
}

// Who is being written to when his time comes, gets what has come meanwhile: whether
// the end is looked at first or what is new.
func TestTheLastThatAStreamWritesIsAllThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := hub.New(hub.Config{Log: log.NewMemory(nil), Limits: hub.DefaultLimits()})
		if err != nil {
			t.Fatal(err)
		}
		publish := func(data string) {
			if _, err := h.Publish(t.Context(), []hub.Draft{{Channel: "a", Data: []byte(data)}}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		d, err := dialect.New("native", dialect.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ask, err := d.Read(httptest.NewRequest(http.MethodGet, "/comet/a?as=sse", nil))
		if err != nil {
			t.Fatal(err)
		}
		to := &slate{rung: make(chan struct{}, 1)}
		way := &Hold{Hub: h, Channels: ask.Channels, Answer: ask.Answer, Heartbeat: time.Hour}
		c, _, err := way.open(hub.Since{}, to)
		if err != nil {
			t.Fatal(err)
		}
		c.begin()
		c.flushed()
		<-to.rung
		c.news()
		publish("first")
		<-to.rung
		c.news()
		publish("second")
		publish("third")
		c.stop()
		time.Sleep(StopSpread)
		c.flushed()
		c.due()
		c.flushed()
		for _, part := range []string{"first", "second", "third", "retry: "} {
			if _, rest, ok := strings.Cut(to.parts, part); ok {
				to.parts = rest
			} else {
				t.Fatalf("the rest is %q, without %q", to.parts, part)
			}
		}
		if len(to.reports) != 1 || to.reports[0].Outcome != Stopped || to.reports[0].Events != 3 {
			t.Errorf("ended with %+v", to.reports)
		}
	})
}
