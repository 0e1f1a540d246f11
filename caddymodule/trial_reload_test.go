package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// A request that is tried when a reload comes is answered by the configuration that
// it came to, whatever becomes of its address; the next one meets the new one.
func TestAReloadWaitsForWhatIsTried(t *testing.T) {
	g := newGate()
	does(t, "gate", func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		if r.URL.Query().Get("begin") != "" {
			_, _ = io.WriteString(w, "begun")
			_ = http.NewResponseController(w).Flush()
		}
		if !g.pass(r) {
			return errors.New("told to end")
		}
		return next.ServeHTTP(w, r)
	})
	s, hub := acting(t, "", "respond /n/* never\nrespond old")
	globals := "comet {\nhub " + hub + "\n}"
	site := actingSite(hub, "respond new")
	for _, c := range []struct{ name, globals, site, query string }{
		{"the same address", globals, site, ""},
		{"the same address, begun", globals, site, "&begin=1"},
		{"no server there", globals, "http://PUBLISH {\nbind 127.0.0.1\ncomet {\nhub " + hub + "\n}\n}", ""},
		{"no server there, begun", globals, "http://PUBLISH {\nbind 127.0.0.1\ncomet {\nhub " + hub + "\n}\n}", "&begin=1"},
		{"no comet", "", "http://:PORT {\nbind 127.0.0.1\nrespond new\n}", ""},
		{"no parking", strings.Replace(globals, "comet {", "comet {\npark off", 1), site, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.t = t
			g = newGate()
			s.reload(globals, site)
			w, _ := s.settled()
			w.polled(hub, "/n/a", "a")
			publishes(t, hub, event("a", "kept"))
			before := triedOf("gate")
			w.asks("/n/a?act=gate&since=all" + c.query)
			receive(t, g.came)
			s.reload(c.globals, c.site)
			g.release()
			w.hearsUntil("kept").wants(t, "200", "kept")
			wanted(t, "gate", before)
			if strings.HasPrefix(c.name, "the same") {
				_, r := s.settled()
				r.wants(t, "200", "new")
			}
		})
	}
	s.t = t
}

// The process ends when what is tried has been answered.
func TestTheEndOfTheProcessWaitsForWhatIsTried(t *testing.T) {
	gates := make(chan *gate, 1)
	backend := backendOf(t, func(w http.ResponseWriter, r *http.Request) {
		g := <-gates
		if strings.Contains(r.URL.RawQuery, "begin") {
			_, _ = io.WriteString(w, "begun")
			_ = http.NewResponseController(w).Flush()
		}
		if g.pass(r) {
			_, _ = io.WriteString(w, "passed")
		}
	})
	for _, query := range []string{"publish=1", "publish=begin"} {
		s := newServer(t)
		config := s.dir + "/config.json"
		site := "http://SITE {\nbind 127.0.0.1\ncomet /comet/*\ncomet /v novcomet\nreverse_proxy /v " + backend + "\n}\nhttp://PUBLISH {\nbind 127.0.0.1\ncomet_publish\n}"
		if err := os.WriteFile(config, s.adapt("", site), 0o644); err != nil {
			t.Fatal(err)
		}
		p := s.process(config)
		w, other := s.taped("tcp"), s.taped("tcp")
		for _, w := range []taped{w, other} {
			for range 2 {
				w.asks("/v?subscribed[stops]=0")
				s.admits("stops", 1)
				s.must("stops", "here")
				w.hears().wants(t, "200", "stops")
			}
		}
		g := newGate()
		gates <- g
		w.asks("/v?" + query)
		receive(t, g.came)
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		// It has noticed when it closes the connections that wait for nothing.
		ended(t, other.wire)
		g.release()
		w.hears().wants(t, "200", "passed")
		if err := receive(t, p.done); err != nil {
			t.Errorf("the process ended with %v", err)
		}
	}
}

// A connection whose polls are tried by a new configuration keeps its rules.
func TestATriedConnectionGoesOnByTheNewRules(t *testing.T) {
	s, hub := acting(t, "servers {\ntimeouts {\nidle 1h\n}\n}\n", "")
	w := s.taped("tcp")
	w.polled(hub, "/n/a", "a")
	s.reload("servers {\ntimeouts {\nidle 1s\n}\n}\ncomet {\nhub "+hub+"\n}", actingSite(hub, ""))
	before := triedOf("")
	w.asks("/n/a")
	held(t, hub, "a", 1)
	publishes(t, hub, event("a", "here"))
	w.hears().wants(t, "200", "here")
	wanted(t, "", before)
	if rest := w.ends(); rest != "" {
		t.Errorf("it said %q", rest)
	}
}
