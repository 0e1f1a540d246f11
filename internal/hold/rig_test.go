package hold_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/log"
)

// rig is a hub whose requests are held by this package.
type rig struct {
	*testing.T
	hub *hub.Hub
	// fanouts counts the publishes whose last receiver has written.
	fanouts      atomic.Int64
	stop, retire chan struct{}
	// change, if there is one, has the last word on each hold.
	change func(*hold.Hold)
}

const heartbeat = 20 * time.Second

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, stop: make(chan struct{}), retire: make(chan struct{})}
	limits := hub.DefaultLimits()
	limits.HistoryCount = 10_000
	h, err := hub.New(hub.Config{
		Log: log.NewMemory(nil), Limits: limits,
		OnFanout: func(time.Duration) { r.fanouts.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.hub = h
	return r
}

// bubble runs f in fake time.
func bubble(t *testing.T, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newRig(t)) })
}

func (r *rig) publish(channel, data string) {
	r.Helper()
	if _, err := r.hub.Publish(context.Background(), []hub.Draft{{Channel: channel, Data: []byte(data)}}); err != nil {
		r.Fatal(err)
	}
}

// say publishes what the file of a chat holds from now on.
func (r *rig) say(text string) {
	r.Helper()
	draft := hub.Draft{Channel: "chat", Data: []byte(text), ContentType: "text/plain", State: true, Kept: true}
	if _, err := r.hub.Publish(context.Background(), []hub.Draft{draft}); err != nil {
		r.Fatal(err)
	}
}

// hold reads a request, in the dialect that the path says.
func (r *rig) hold(req *http.Request) *hold.Hold {
	r.Helper()
	name, options := "native", dialect.Options{JSONP: true, Heartbeat: heartbeat}
	switch first, _, _ := strings.Cut(req.URL.Path[1:], "/"); first {
	case "comet.php":
		name, options = "novcomet", dialect.Options{}
	case "backend.php":
		name, options = "filechat", dialect.Options{Channels: []string{"chat"}}
	case "doorbell":
		name, options = "doorbell", dialect.Options{}
	}
	d, err := dialect.New(name, options)
	if err != nil {
		r.Fatal(err)
	}
	ask, err := d.Read(req)
	if err != nil {
		r.Fatal(err)
	}
	h := &hold.Hold{
		Hub: r.hub, Channels: ask.Channels, Since: ask.Since, Answer: ask.Answer,
		Wait: 25 * time.Second, Heartbeat: heartbeat,
		Ends: hold.Ends{Stop: r.stop, Retire: r.retire},
	}
	if ask.Wait != dialect.Default {
		h.Wait = ask.Wait
	}
	if r.change != nil {
		r.change(h)
	}
	return h
}

// held is a request on its way, in a bubble.
type held struct {
	*client
	hang func() // hangs up

	done   chan struct{}
	took   time.Duration
	report hold.Report
	err    error
}

// serve holds the request of a client that reads everything, until it settles.
func (r *rig) serve(target string) *held { return r.serveTo(newClient(), get(target)) }

func (r *rig) serveTo(c *client, req *http.Request) *held {
	r.Helper()
	ctx, cancel := context.WithCancel(r.Context())
	h := &held{client: c, hang: cancel, done: make(chan struct{})}
	way := r.hold(req)
	began := time.Now()
	go func() {
		defer close(h.done)
		h.report, h.err = way.Serve(c, req.WithContext(ctx))
		h.took = time.Since(began)
	}()
	synctest.Wait()
	return h
}

func get(target string) *http.Request { return httptest.NewRequest(http.MethodGet, target, nil) }

func (h *held) over() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

// ended waits for the end, and wants that it was this one and left nothing.
func (r *rig) ended(h *held, want hold.Outcome, events int) {
	r.Helper()
	<-h.done
	synctest.Wait()
	if h.err != nil || h.report.Outcome != want || h.report.Events != events {
		r.Errorf("got %+v, %v; want %s with %d events", h.report, h.err, want, events)
	}
}

func (r *rig) wantHolds(want int) {
	r.Helper()
	if got := r.hub.Stats().Holds; got != want {
		r.Errorf("%d are held, want %d", got, want)
	}
}

func (r *rig) wantFanouts(want int64) {
	r.Helper()
	if got := r.fanouts.Load(); got != want {
		r.Errorf("%d fan-outs are over, want %d", got, want)
	}
}

// client is a [http.ResponseWriter] whose reader may be slow or gone.
type client struct {
	mu       sync.Mutex
	header   http.Header
	status   int
	body     []byte
	flushed  int // how much of the body
	writes   int
	deadline time.Time

	// takes is how many writes succeed before the connection breaks, -1 for all.
	takes int
	// stuck blocks writes until it is closed or the deadline has passed.
	stuck chan struct{}
	// breaks: the connection breaks when stuck is closed.
	breaks bool
}

func newClient() *client { return &client{header: make(http.Header), takes: -1} }

func (c *client) Header() http.Header { return c.header }

func (c *client) WriteHeader(status int) { c.status = status }

func (c *client) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writes++; c.takes >= 0 && c.writes > c.takes {
		return 0, errors.New("connection reset")
	}
	if c.stuck != nil {
		var late <-chan time.Time
		if !c.deadline.IsZero() {
			late = time.After(time.Until(c.deadline))
		}
		select {
		case <-c.stuck:
			if c.breaks {
				return 0, errors.New("connection reset")
			}
		case <-late:
			return 0, os.ErrDeadlineExceeded
		}
	}
	c.body = append(c.body, b...)
	return len(b), nil
}

// FlushError is found by [http.ResponseController].
func (c *client) FlushError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushed = len(c.body)
	return nil
}

// SetWriteDeadline is found by [http.ResponseController].
func (c *client) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return nil
}

// read returns what was flushed.
func (c *client) read() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.body[:c.flushed]
}

// answer is a native poll's.
type answer struct {
	Cursor string
	Gap    bool
	Events []struct{ Cursor, Data string }
}

func (r *rig) answer(c *client) (a answer) {
	r.Helper()
	if err := json.Unmarshal(c.body, &a); err != nil {
		r.Fatalf("%v in %q", err, c.body)
	}
	return a
}

// data is all events' data in one text.
func (a answer) data() (all string) {
	for _, e := range a.Events {
		all += e.Data
	}
	return all
}
