package caddymodule

import (
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// A request that is tried has the line in the access log that it has on a connection
// of its own.
func TestATriedRequestIsLoggedAsAnyOther(t *testing.T) {
	s, hub := acting(t, "", "")
	s.reload("comet {\nhub "+hub+"\n}", strings.Replace(actingSite(hub, ""), "bind 127.0.0.1\n", "bind 127.0.0.1\nlog {\noutput file DIR/access {\nroll_disabled\n}\n}\n", 1))
	publishes(t, hub, event("a", "kept"))
	want := 0
	// line is the one that is written next.
	line := func() string {
		t.Helper()
		want++
		var all []string
		eventually(t, "a line of the log", func() bool {
			all = lines(t, s.dir+"/access")
			return len(all) >= want
		})
		if len(all) > want {
			t.Errorf("%d lines, want %d", len(all), want)
		}
		return all[want-1]
	}
	for _, query := range []string{"act=small", "act=nothing", "act=error", "act=large", "act=204", "act=hints", "since=all", "since=%zz"} {
		tried, own := s.taped("tcp"), s.taped("tcp")
		for range 2 {
			tried.pollsOnce(hub, "/n/a", "a")
			_ = line()
		}
		act := ""
		if strings.HasPrefix(query, "act=") {
			act = query[len("act="):]
		}
		before := triedOf(act)
		var logged []string
		for _, w := range []taped{tried, own} {
			w.asks("/n/a?" + query)
			if r, err := w.until(""); err == nil && strings.Contains(r.status, " 103 ") {
				_, _ = w.until("")
			}
			logged = append(logged, line())
			w.c.Close()
		}
		wanted(t, act, before)
		if logged[0] != logged[1] {
			t.Errorf("%s\ntried:     %s\nnot tried: %s", query, logged[0], logged[1])
		}
	}
}

// A connection whose polls were tried may become another protocol's.
func TestATriedConnectionMayBeUpgraded(t *testing.T) {
	backend := backendOf(t, func(w http.ResponseWriter, _ *http.Request) {
		c, b, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(c, b)
	})
	s, hub := acting(t, "", "reverse_proxy /v "+backend)
	for _, lines := range [][]string{{"Connection: Upgrade", "Upgrade: echo"}} {
		w := s.taped("tcp")
		for range 2 {
			w.polled(hub, "/v?subscribed[a]=0", "a")
		}
		w.asks("/v?publish=1", lines...)
		if r, err := w.head(); err != nil || !strings.Contains(r.status, " 101 ") {
			t.Fatalf("%v %v", r, err)
		}
		for range 3 {
			w.say("an echo\r\n")
			if text, err := w.line(); err != nil || text != "an echo" {
				t.Fatalf("%q %v", text, err)
			}
		}
		w.c.Close()
	}
}

// Trials of all kinds leave no goroutine and no descriptor behind.
func TestTrialsLeakNothing(t *testing.T) {
	g := newGate()
	does(t, "gate", func(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
		g.pass(r)
		_, _ = io.WriteString(w, "passed")
		return nil
	})
	s, hub := acting(t, "", "")
	globals := "comet {\nhub " + hub + "\n}"
	round := func(n int) {
		g = newGate()
		var wires []taped
		for range 10 {
			w := s.taped([]string{"tcp", "unix"}[len(wires)%2])
			w.polled(hub, "/n/a", "a")
			wires = append(wires, w)
		}
		for i, w := range wires {
			w.asks("/n/a?act=" + []string{"gate", "small", "aborts", "hijacks", "large", "gate"}[i%6])
		}
		for range 3 { // are at the gate
			receive(t, g.came)
		}
		if n%2 == 0 {
			s.reload(globals, actingSite(hub, "respond "+strings.Repeat("x", n+1)))
		}
		_ = wires[0].c.Close()
		g.release()
		for _, w := range wires[1:] {
			_, _ = w.until("")
			_ = w.c.Close()
		}
	}
	figures := func() (goroutines, files int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("this system does not list them")
		}
		for _, e := range entries {
			if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.Contains(target, ":[") {
				files++
			}
		}
		return runtime.NumGoroutine(), files
	}
	for n := range 4 {
		round(n)
	}
	goroutines, files := figures()
	for n := range 20 {
		round(n)
	}
	for end := time.Now().Add(deadline); ; time.Sleep(10 * time.Millisecond) {
		g, f := figures()
		if g <= goroutines+coreCrew() && f <= files+3 {
			return
		}
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines and %d descriptors; it were %d and %d\n%s", g, f, goroutines, files, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
