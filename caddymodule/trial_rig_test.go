package caddymodule

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() { aheadOfEncode(actor{}) }

// actor does what a request's query says, ahead of comet, and counts requests that
// are served while their connection stays parked.
type actor struct{}

func (actor) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.actor", New: func() caddy.Module { return new(actor) }}
}

// acts are what an actor can do, by name: each a func of the type deed.
var acts sync.Map

type deed = func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error

// does has an actor do something for as long as a test takes.
func does(t *testing.T, act string, do deed) {
	t.Helper()
	acts.Store(act, do)
	t.Cleanup(func() { acts.Delete(act) })
}

// triedCount counts the requests that were tried, by their act.
var triedCount struct {
	sync.Mutex
	of map[string]int
}

func triedOf(act string) int {
	triedCount.Lock()
	defer triedCount.Unlock()
	return triedCount.of[act]
}

func (actor) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	act := r.URL.Query().Get("act")
	if isAttempt(w) {
		triedCount.Lock()
		if triedCount.of == nil {
			triedCount.of = map[string]int{}
		}
		triedCount.of[act]++
		triedCount.Unlock()
	}
	if do, ok := acts.Load(act); ok {
		return do.(deed)(w, r, next)
	}
	return next.ServeHTTP(w, r)
}

func isAttempt(w http.ResponseWriter) bool {
	for {
		if _, ok := w.(*attempt); ok {
			return true
		}
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = inner.Unwrap()
	}
}

// taped is a wire that keeps all it has read.
type taped struct {
	*wire
	tape *bytes.Buffer
}

func (s *server) taped(network string) taped {
	s.t.Helper()
	w := s.dial(network)
	tape := new(bytes.Buffer)
	w.r = bufio.NewReader(io.TeeReader(w.c, tape))
	return taped{w, tape}
}

// settled is a connection on which a server has answered: a reload may reset one that
// no server had accepted yet.
func (s *server) settled() (w taped, r reply) {
	s.t.Helper()
	eventually(s.t, "a server answers", func() bool {
		w = s.taped("tcp")
		_, err := io.WriteString(w.c, request("/"))
		if err == nil {
			r, err = w.until("")
		}
		return err == nil && r.value("Connection") == ""
	})
	return w, r
}

var dates = regexp.MustCompile(`\r\nDate: [^\r]*`)

// said is what was read since the last time, without the date.
func (w taped) said() string {
	text := dates.ReplaceAllString(w.tape.String(), "\r\nDate")
	w.tape.Reset()
	return text
}

// polled has a connection's poll parked and answered as often as it takes for the
// next request to be tried.
func (w taped) polled(hubName, path, channel string) {
	w.t.Helper()
	for range 2 {
		w.pollsOnce(hubName, path, channel)
	}
	w.said()
}

// pollsOnce has a poll parked and answered. Until it is parked the server's own
// goroutine may answer.
func (w taped) pollsOnce(hubName, path, channel string) {
	w.t.Helper()
	allParked := func() bool { return parkedOf(w.t, hubName) == heldBy(hubName) }
	held(w.t, hubName, channel, 0)
	eventually(w.t, "what is held is parked", allParked)
	w.asks(path)
	held(w.t, hubName, channel, 1)
	eventually(w.t, "what is held is parked", allParked)
	publishes(w.t, hubName, event(channel, "here"))
	w.hears().wants(w.t, "200", "")
}

// acting is a site with an actor in front of comet, and what comet passes on.
func acting(t *testing.T, globals, more string) (s *server, hub string) {
	t.Helper()
	hub = unique("acting")
	return start(t, globals+"comet {\nhub "+hub+"\n}", actingSite(hub, more)), hub
}

// actingOverTLS is the same with a server for TLS.
func actingOverTLS(t *testing.T, globals, more string) (s *server, hub string) {
	t.Helper()
	hub = unique("acting")
	s = start(t, overTLS+globals+"comet {\nhub "+hub+"\n}", actingSite(hub, more)+
		"https://localhost:TLS, https://127.0.0.1:TLS {\nbind 127.0.0.1\ntls internal\nimport routes\n}\n")
	s.waitForTLS()
	return s, hub
}

// actingSite is its configuration.
func actingSite(hub, more string) string {
	return "(routes) {\nactor\ncomet /n/* {\nhub " + hub + "\n}\ncomet /v novcomet {\nhub " + hub + "\n}\ncomet /c filechat {\nhub " + hub +
		"\nchannel chat\n}\n" + more + "\n}\nhttp://:PORT {\nbind 127.0.0.1\nimport routes\n}\nhttp:// {\nbind unix/SOCKET\nimport routes\n}\n"
}

// wanted fails unless a request with that act was tried since.
func wanted(t *testing.T, act string, before int) {
	t.Helper()
	if triedOf(act) == before {
		t.Errorf("%q was not tried", act)
	}
}

// gate is where a handler waits for a test.
type gate struct {
	came chan struct{}
	open chan struct{}
	once sync.Once
}

func newGate() *gate { return &gate{came: make(chan struct{}, 10_000), open: make(chan struct{})} }

func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

// pass waits at the gate, or for the end of the request.
func (g *gate) pass(r *http.Request) (opened bool) {
	g.came <- struct{}{}
	select {
	case <-g.open:
		return true
	case <-r.Context().Done():
		return false
	case <-time.After(2 * deadline):
		panic("nobody opened")
	}
}
