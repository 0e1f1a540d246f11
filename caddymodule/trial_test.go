package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	acts.Store("late", func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		if err := next.ServeHTTP(w, r); err != nil {
			return err
		}
		return caddyhttp.Error(500, errors.New("too late"))
	})
	acts.Store("latewords", func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		err := next.ServeHTTP(w, r)
		_, _ = io.WriteString(w, "too late")
		_ = http.NewResponseController(w).Flush()
		if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
			panic("hijacked what is taken")
		}
		return err
	})
	acts.Store("latepanic", func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		_ = next.ServeHTTP(w, r)
		panic("too late")
	})
}

// What a handler does after the hold was parked in it changes nothing: the
// connection is not its request's any more.
func TestWhatComesAfterAPollWasParkedSaysNothing(t *testing.T) {
	s, hub := acting(t, "", "")
	for _, act := range []string{"late", "latewords", "latepanic"} {
		w := s.taped("tcp")
		w.polled(hub, "/n/a", "a")
		before := triedOf(act)
		for i := range 4 {
			w.asks("/n/a?act=" + act)
			parks(t, hub, 1, 1)
			publishes(t, hub, event("a", fmt.Sprint(act, i)))
			w.hears().wants(t, "200", fmt.Sprint(act, i))
		}
		wanted(t, act, before)
		w.asks("/n/a?act=small")
		w.hears().wants(t, "200", "doctype")
		w.c.Close()
	}
	parks(t, hub, 0, 0)
}

// A stream that begins where polls were tried goes on from there, and so does the
// next request of a poll whose connection went away and came back.
func TestATriedRequestMayBeginAStream(t *testing.T) {
	s, hub := acting(t, "", "")
	for _, as := range []string{"sse", "stream", "multipart"} {
		w := s.taped("tcp")
		w.polled(hub, "/n/a", "a")
		w.asks("/n/a?as=" + as)
		parks(t, hub, 1, 1)
		publishes(t, hub, event("a", "streamed"))
		w.hearsUntil("streamed").wants(t, "200", "streamed")
		w.c.Close()
		parks(t, hub, 0, 0)
	}
	for range 2 {
		w := s.taped("tcp")
		w.polled(hub, "/n/a", "a")
		for range 3 {
			w.asks("/n/a?act=small")
			w.hears().wants(t, "200", "doctype")
			w.polled(hub, "/n/a", "a")
			w.say("GET /n/a?act=small HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Other: y\r\n\r\n")
			w.hears().wants(t, "200", "doctype")
			w.polled(hub, "/n/a", "a")
		}
		w.c.Close()
	}
	parks(t, hub, 0, 0)
}

// The handler of a client that hangs up is told, before anything was written and
// after that.
func TestTheHandlerOfAClientThatHangsUpIsTold(t *testing.T) {
	gates := make(chan *gate, 1)
	for act, begins := range map[string]bool{"waits": false, "beginsandwaits": true} {
		does(t, act, func(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
			if begins {
				_, _ = io.WriteString(w, "begun")
				_ = http.NewResponseController(w).Flush()
			}
			g := <-gates
			if g.pass(r) {
				_, _ = io.WriteString(w, "passed")
			} else {
				g.release()
			}
			return nil
		})
	}
	s, hub := acting(t, "", "")
	for _, network := range []string{"tcp", "unix"} {
		for _, act := range []string{"waits", "beginsandwaits"} {
			for how, leave := range map[string]func(*wire){"close": func(w *wire) { _ = w.c.Close() }, "reset": (*wire).reset} {
				w := s.taped(network)
				w.polled(hub, "/n/a", "a")
				g, before := newGate(), triedOf(act)
				gates <- g
				w.asks("/n/a?act=" + act)
				if act == "beginsandwaits" {
					_, _ = w.until("begun")
				}
				receive(t, g.came)
				leave(w.wire)
				select {
				case <-g.open:
				case <-time.After(deadline):
					t.Errorf("%s, %s, %s: not told", network, act, how)
				}
				g.release()
				wanted(t, act, before)
			}
		}
	}
	parks(t, hub, 0, 0)
}

// A backend is told as well, and a client that waits gets its answer.
func TestTheBackendOfAClientThatHangsUpIsTold(t *testing.T) {
	gates := make(chan *gate, 1)
	told := make(chan struct{}, 10)
	backend := backendOf(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.RawQuery, "begin") {
			_, _ = io.WriteString(w, "begun")
			_ = http.NewResponseController(w).Flush()
		}
		if g := <-gates; g.pass(r) {
			_, _ = io.WriteString(w, "passed")
		} else {
			told <- struct{}{}
		}
	})
	s, hub := acting(t, "", "reverse_proxy /v "+backend+" {\nflush_interval -1\n}")
	for _, query := range []string{"publish=1", "publish=begin"} {
		for _, hangsUp := range []bool{true, false} {
			w := s.taped("tcp")
			w.polled(hub, "/v?subscribed[a]=0", "a")
			g, before := newGate(), triedOf("")
			gates <- g
			w.asks("/v?" + query)
			receive(t, g.came)
			if hangsUp {
				_ = w.c.Close()
				receive(t, told)
				continue
			}
			g.release()
			w.hears().wants(t, "200", "passed")
			wanted(t, "", before)
			w.polled(hub, "/v?subscribed[a]=0", "a")
		}
	}
}

// What a client sends while its request is tried is answered behind it.
func TestRequestsThatComeMeanwhileAreAnsweredInOrder(t *testing.T) {
	g := newGate()
	does(t, "gate", func(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
		g.pass(r)
		if r.URL.Query().Get("then") == "hold" {
			return next.ServeHTTP(w, r)
		}
		_, _ = io.WriteString(w, "passed")
		return nil
	})
	s, hub := acting(t, "", "respond page")
	for _, then := range []string{"answer", "hold"} {
		g = newGate()
		w := s.taped("tcp")
		w.polled(hub, "/n/a", "a")
		before := triedOf("gate")
		w.asks("/n/a?act=gate&then=" + then)
		receive(t, g.came)
		w.say(request("/") + request("/n/a?act=small") + request("/n/b"))
		g.release()
		if then == "hold" {
			held(t, hub, "a", 1)
			publishes(t, hub, event("a", "passed"))
		}
		w.hears().wants(t, "200", "passed")
		w.hears().wants(t, "200", "page")
		w.hears().wants(t, "200", "doctype")
		held(t, hub, "b", 1)
		publishes(t, hub, event("b", "last"))
		w.hears().wants(t, "200", "last")
		wanted(t, "gate", before)
		w.c.Close()
	}
	parks(t, hub, 0, 0)
}
