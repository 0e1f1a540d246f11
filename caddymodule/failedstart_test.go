package caddymodule

import (
	"encoding/json"
	"errors"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// other is a Caddy app that does at its start as the test says.
type other struct{}

var otherStarts func() error

func init() { caddy.RegisterModule(new(other)) }

func (*other) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "test_other", New: func() caddy.Module { return new(other) }}
}

func (*other) Start() error { return otherStarts() }
func (*other) Stop() error  { return nil }

// TestWhoComesToAStartThatFailsIsAnswered, though Caddy lets requests in before comet
// has begun, and never begins it where another app fails.
func TestWhoComesToAStartThatFailsIsAnswered(t *testing.T) {
	s := newServer(t)
	hub := unique("unbegun")
	var config map[string]any
	site := "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub " + hub + "\n}\n}"
	if err := json.Unmarshal(s.adapt("comet {\nhub "+hub+"\n}", site), &config); err != nil {
		t.Fatal(err)
	}
	apps := config["apps"].(map[string]any)
	apps["test_other"] = struct{}{}
	apps["http"].(map[string]any)["grace_period"] = 0
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	failed := errors.New("this app does not start")
	begun := func() bool {
		process.mu.Lock()
		defer process.mu.Unlock()
		return slices.ContainsFunc(process.running, func(a *App) bool { return a.uses[hub] != nil })
	}
	for answers := make(chan answer, 1); ; {
		_ = caddy.Stop() // nobody else is to answer there
		asked := false
		otherStarts = func() error {
			c, err := net.Dial("tcp", s.site)
			if err != nil || begun() {
				return nil // Caddy starts its apps in any order, and this is another one
			}
			_ = c.Close()
			asked = true
			go func() { answers <- get("http://" + s.site + "/comet/a?wait=0") }()
			eventually(t, "the request waits for comet", func() bool {
				all := make([]byte, 4<<20)
				return strings.Contains(string(all[:runtime.Stack(all, true)]), "(*App).awaitReady")
			})
			return failed
		}
		err := caddy.Load(text, true)
		if !asked {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), failed.Error()) {
			t.Errorf("the start failed with %v", err)
		}
		select {
		case a := <-answers: // from a hub that may be closed by now
			if a.err != nil || a.status != 200 && a.status != 503 {
				t.Errorf("the request got %d, %v", a.status, a.err)
			}
		case <-time.After(deadline):
			t.Fatal("the request waits for ever")
		}
		return
	}
}
