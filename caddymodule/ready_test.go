package caddymodule

import (
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/caddyserver/caddy/v2"
)

// TestNobodyIsGivenAPlaceAheadOfTheWatches: the server may serve before the files
// are watched, and a line that is there at the first look is no news. So whoever was
// given a cursor before the line was appended must be told of it.
func TestNobodyIsGivenAPlaceAheadOfTheWatches(t *testing.T) {
	hub := unique("early")
	s := newServer(t)
	config := s.adapt("comet {\nhub "+hub+" {\nwatch DIR/*.log lines\n}\n}", `
http://SITE {
	bind 127.0.0.1
	comet /comet/* {
		hub `+hub+`
	}
	comet_backend /page {
		hub `+hub+`
		piggyback
	}
	respond "a page"
}
http://PUBLISH {
	bind 127.0.0.1
	comet_publish `+hub+` {
		key 0123456789abcdef
	}
}`)
	for n, way := range []struct {
		url, names string
		header     []string
	}{
		{url: "http://" + s.site + "/comet/a?since="},
		{url: "http://" + s.site + "/page", header: []string{"Comet-Since", "now", "Comet-Channels", "a"}},
		{url: "http://" + s.publish + "/", header: []string{"Authorization", "Bearer 0123456789abcdef"}},
	} {
		for early := false; !early; { // apps start in random order
			if err := os.WriteFile(s.dir+"/a.log", []byte("before\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			process.mu.Lock() // keeps comet from its start
			started := make(chan error, 1)
			go func() { started <- caddy.Load(config, true) }()
			eventually(t, "comet's start", func() bool { return running("caddymodule.(*App).Start(") || len(started) > 0 })
			c, err := net.Dial("tcp", strings.Split(way.url, "/")[2])
			answered := make(chan answer, 1)
			if early = err == nil; early {
				c.Close()
				go func() { answered <- send(new(http.Client), "GET", way.url, "", way.header...) }()
				eventually(t, "an answer, or that it is waited with", func() bool {
					return len(answered) > 0 || running("caddymodule.(*App).awaitReady(")
				})
				if len(answered) > 0 {
					t.Errorf("way %d: a cursor is given ahead of the watches", n)
				}
			}
			process.mu.Unlock()
			if err := receive(t, started); err != nil {
				t.Fatal(err)
			}
			if early {
				if a := receive(t, answered); a.status != http.StatusOK {
					t.Errorf("way %d: %+v", n, a)
				}
			}
			if err := caddy.Stop(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the server's end", func() bool { return listening(s.site) == 0 && listening(s.publish) == 0 })
		}
	}
}

// TestAConfigurationThatFailsKeepsNobodyWaiting: its server may serve before another
// app fails, and Caddy waits for those whom it serves.
func TestAConfigurationThatFailsKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &App{generation: generation{ready: make(chan struct{}), retire: make(chan struct{})}}
		waiting := true
		go func() { a.awaitReady(t.Context()); waiting = false }()
		synctest.Wait()
		if !waiting {
			t.Error("it did not wait")
		}
		_ = a.Stop() // it has never started
		synctest.Wait()
		if waiting {
			t.Error("it still waits")
		}
	})
}

// running reports whether a goroutine is in a function.
func running(function string) bool {
	b := make([]byte, 1<<22)
	return strings.Contains(string(b[:runtime.Stack(b, true)]), function)
}

// readyApp is one whose watches are there, for handlers without a configuration.
func readyApp() *App {
	a := &App{generation: generation{ready: make(chan struct{})}}
	a.setReady()
	return a
}
