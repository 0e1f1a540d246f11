package caddymodule

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestASiteMayEndItsWorkWhenTheVisitorIsGone(t *testing.T) {
	type rig struct {
		leave, cancel  func()
		answered, stop chan struct{}
	}
	for name, c := range map[string]struct {
		do    func(r rig)
		after time.Duration
	}{
		"until it has answered":           {func(r rig) { r.leave(); time.Sleep(time.Second); close(r.answered) }, time.Second},
		"but not for ever":                {func(r rig) { r.leave() }, afterVisitor},
		"not when the server ends":        {func(r rig) { r.leave(); time.Sleep(time.Second); close(r.stop) }, time.Second},
		"not when it has answered before": {func(r rig) { close(r.answered); time.Sleep(time.Minute); r.leave() }, time.Minute},
		"nor when the handler is over":    {func(r rig) { r.leave(); time.Sleep(time.Second); r.cancel() }, time.Second},
		"and the visitor may stay":        {func(r rig) { time.Sleep(time.Hour); r.cancel() }, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				type key struct{}
				visitor, leave := context.WithCancel(context.WithValue(t.Context(), key{}, "kept"))
				defer leave()
				r := rig{leave: leave, answered: make(chan struct{}), stop: make(chan struct{})}
				ctx, cancel := outlive(visitor, r.answered, r.stop)
				defer cancel()
				r.cancel = cancel
				again, cancelAgain := outlive(ctx, r.answered, r.stop) // one comet_backend in another
				defer cancelAgain()
				if ctx.Value(key{}) != "kept" || again.Value(key{}) != "kept" {
					t.Error("it lost its values")
				}
				began := time.Now()
				go c.do(r)
				<-ctx.Done()
				if took := time.Since(began); took != c.after {
					t.Errorf("it ended after %s; want %s", took, c.after)
				}
			})
		})
	}
}

// TestNothingIsLostWhenTheVisitorHangsUp: PHP works on, and what it publishes at
// its end arrives. Without publish the proxy ends its request as ever.
func TestNothingIsLostWhenTheVisitorHangsUp(t *testing.T) {
	for _, flags := range []string{"publish", "publish\npiggyback", "piggyback"} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", strings.ReplaceAll(flags, "\n", " "), h2), func(t *testing.T) {
				name := unique("gone")
				working, gone, ended := make(chan struct{}), make(chan struct{}), make(chan bool, 1)
				site := behind(t, func(w http.ResponseWriter, r *http.Request) {
					close(working)
					select {
					case <-gone:
						w.Header().Set(publishHeader, name)
						_ = http.NewResponseController(w).Flush()
						<-r.Context().Done() // as soon as it has answered
						ended <- true
					case <-r.Context().Done():
						ended <- false
					}
				})
				s := start(t, "servers {\nprotocols h1 h2c\n}", around(flags, site))
				ctx, hangUp := context.WithCancel(t.Context())
				defer hangUp()
				client := plain
				if h2 {
					client = h2Client(true)
				}
				over := make(chan struct{})
				go func() {
					defer close(over)
					r, _ := http.NewRequestWithContext(ctx, "GET", "http://"+s.site, nil)
					r.Header.Set("Comet-Since", "")
					if res, err := client.Do(r); err == nil {
						res.Body.Close()
						t.Error("answered")
					}
				}()
				receive(t, working)
				hangUp()
				<-over
				if flags == "piggyback" {
					if receive(t, ended) {
						t.Error("it worked on")
					}
					return
				}
				select {
				case <-ended:
					t.Fatal("the site's request ended with the visitor's")
				case <-time.After(200 * time.Millisecond): // what would end it is on its way at once
				}
				close(gone)
				if !receive(t, ended) {
					t.Error("it did not work on")
				}
				if n := len(s.events(name).Events); n != 1 {
					t.Errorf("%d events", n)
				}
			})
		}
	}
}

// TestAStreamEndsWithItsVisitor once its header has come.
func TestAStreamEndsWithItsVisitor(t *testing.T) {
	ended := make(chan struct{})
	site := behind(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(ended)
	})
	s := start(t, "", around("publish", site))
	res, err := plain.Get("http://" + s.site)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	receive(t, ended)
}

// TestAHoldInsideEndsWithItsVisitor: a handle block puts comet there.
func TestAHoldInsideEndsWithItsVisitor(t *testing.T) {
	name := unique("inside")
	s := start(t, "", "http://:PORT {\nbind 127.0.0.1\ncomet_backend {\npublish\n}\nhandle /comet/* {\ncomet\n}\n}")
	c, _ := dial(t, s.site, "GET /comet/"+name+" HTTP/1.1\r\nHost: "+s.site+"\r\n\r\n")
	held(t, defaultHub, name, 1)
	began := time.Now()
	c.Close()
	held(t, defaultHub, name, 0)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it ended after %s", took)
	}
}

// TestAStopDoesNotWaitForASiteWhoseVisitorIsGone, though there is no hold.
func TestAStopDoesNotWaitForASiteWhoseVisitorIsGone(t *testing.T) {
	working, done := make(chan struct{}), make(chan struct{})
	site := behind(t, func(w http.ResponseWriter, r *http.Request) {
		close(working)
		<-r.Context().Done()
		close(done)
	})
	s := newServer(t)
	config := s.dir + "/config.json"
	sites := "http://SITE {\nbind 127.0.0.1\ncomet_backend {\npublish\n}\nhandle /slow {\nreverse_proxy " + site + "\n}\n}"
	text := strings.Replace(string(s.adapt("", sites)), `"grace_period":5000000000`, `"grace_period":60000000000`, 1)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := s.process(config)
	c, _ := dial(t, s.site, "GET /slow HTTP/1.1\r\nHost: "+s.site+"\r\n\r\n")
	receive(t, working)
	c.Close()
	select {
	case <-done:
		t.Fatal("the site's request ended with the visitor's")
	case <-time.After(200 * time.Millisecond):
	}
	began := time.Now()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if err := receive(t, p.done); err != nil {
		t.Errorf("the process ended with %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the process ended after %s", took)
	}
}

// TestReloadsDoNotLoseWhatASitePublishes: the answer comes when the directive
// is gone from the configuration.
func TestReloadsDoNotLoseWhatASitePublishes(t *testing.T) {
	name := unique("reload")
	working, reloaded := make(chan struct{}), make(chan struct{})
	var asked atomic.Bool
	site := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Swap(true) {
			return // this one only looks who serves
		}
		close(working)
		<-reloaded
		w.Header().Set(publishHeader, name)
	})
	s := start(t, "", around("publish", site))
	a := holding("http://" + s.site)
	receive(t, working)
	go func() { // the reload waits for what the old configuration serves
		for end := time.Now().Add(deadline); get("http://"+s.site).body != "the site" && time.Now().Before(end); {
		}
		close(reloaded)
	}()
	s.reload("", simple)
	if got := receive(t, a); got.status != 200 || got.comet() != "" {
		t.Errorf("got %d %v %v", got.status, got.header, got.err)
	}
	if n := len(s.events(name).Events); n != 1 {
		t.Errorf("%d events", n)
	}
}
