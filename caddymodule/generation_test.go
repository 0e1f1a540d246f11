package caddymodule

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// TestAFailedReloadChangesNothing: neither one that fails before it starts nor
// one that fails while it starts touches limits, watches, history or holds.
func TestAFailedReloadChangesNothing(t *testing.T) {
	hub := unique("kept")
	sites := "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub " + hub + "\n}\n}\n"
	s := start(t, "comet {\nhub "+hub+" {\nmax_holds 7\nwatch DIR/*.comet\n}\n}", sites)
	h, _ := findHub(hub)
	before, watches := h.Limits(), len(watching())
	poll := holding("http://" + s.site + "/comet/x")
	held(t, hub, "x", 1)
	occupied := listen(t).Addr().String()
	worse := "comet {\nhub " + hub + " {\nmax_holds 1\nwatch DIR/*.comet\nwatch DIR/*.other\n}\nhub " + unique("new") + "\n}"

	for i := range 12 { // apps start in random order
		for name, c := range map[string]struct{ globals, sites, want string }{
			"Start":     {worse, sites + "http://" + occupied + " {\nbind 127.0.0.1\nrespond ok\n}", "address already in use"},
			"Provision": {worse, sites + ":1 {\ncomet {\nhub nosuchhub\n}\n}", "is not declared"},
			"finishing": {worse, sites, "remote admin"},
		} {
			config := string(s.adapt(c.globals, c.sites))
			if name == "finishing" { // Caddy's last step, after all apps have started
				config = strings.Replace(config, `"admin":{`, `"admin":{"remote":{"listen":"127.0.0.1:0"},`, 1)
			}
			if err := loadJSON(config); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%s: the error is %v", name, err)
			}
			if now, ok := findHub(hub); !ok || now != h || h.Limits() != before || len(runningHubs()) != 1 {
				t.Fatalf("%d %s: the running hub is %v with %+v of %d", i, name, ok, h.Limits(), len(runningHubs()))
			}
			if n := len(watching()); n != watches {
				t.Fatalf("%d %s: %d watches; want %d", i, name, n, watches)
			}
		}
	}
	if err := os.WriteFile(s.dir+"/x.comet", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, poll).poll(t); len(got.Events) != 1 {
		t.Errorf("the held poll got %+v", got)
	}
}

// TestCometThatWasAwayHasLostNothing: the directive is removed and comes back.
func TestCometThatWasAwayHasLostNothing(t *testing.T) {
	s := start(t, "", simple)
	name := unique("away")
	cursor := s.must(name, "before")
	s.must(name, "after")
	waited := unique("held")
	poll := holding("http://" + s.site + "/comet/" + waited)
	held(t, defaultHub, waited, 1)
	s.reload("", "http://SITE {\nbind 127.0.0.1\nrespond \"no comet\"\n}")
	get("http://"+s.site+"/comet/"+name).wants(t, 200, "no comet")
	if _, ok := findHub(defaultHub); ok {
		t.Error("a hub that no configuration mentions is served")
	}
	send(s.admin(), "GET", "http://127.0.0.1/comet/", "").wants(t, 200, `"hubs":[]`)
	s.reload("", simple)
	got := get("http://" + s.site + "/comet/" + name + "?since=" + cursor).poll(t)
	if got.Gap || len(got.Events) != 1 || string(got.Events[0].Data) != `"after"` {
		t.Errorf("got %+v", got)
	}
	select {
	case a := <-poll:
		t.Errorf("the held poll was dropped: %+v", a)
	default:
	}
}

// TestAHubThatNobodyMentionsEndsAfterItsHistory, so that names of the past cost
// nothing.
func TestAHubThatNobodyMentionsEndsAfterItsHistory(t *testing.T) {
	hub := unique("short")
	s := start(t, "comet {\nhub "+hub+" {\nhistory 1s\n}\n}", "http://SITE {\nbind 127.0.0.1\ncomet {\nhub "+hub+"\n}\n}")
	began := time.Now()
	s.reload("", simple)
	if n, ok := hubs.References(hub); (!ok || n != 1) && time.Since(began) < time.Second {
		t.Errorf("%d references", n)
	}
	eventually(t, "the hub ends", func() bool { _, ok := hubs.References(hub); return !ok })
}

// TestReloadsLeaveNoGoroutines behind.
func TestReloadsLeaveNoGoroutines(t *testing.T) {
	globals := "comet {\nhub " + unique("many") + " {\nwatch DIR/*.comet\n}\n}"
	hub := strings.Fields(globals)[3]
	sites := "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub " + hub + "\n}\n}"
	s := start(t, globals, sites)
	settle := func(atMost int, patience time.Duration) (least int) { // what ends by itself has some time to
		least = runtime.NumGoroutine()
		for end := time.Now().Add(patience); time.Now().Before(end) && least > atMost; time.Sleep(20 * time.Millisecond) {
			least = min(least, runtime.NumGoroutine())
		}
		return least
	}
	s.reload(globals, sites)
	s.reload(globals, sites)
	before := settle(0, time.Second)
	for range 50 {
		s.reload(globals, sites)
		// A reload may reset a connection that no server had accepted yet.
		eventually(t, "an answer", func() bool { return get("http://"+s.site+"/comet/a?wait=0").status == 200 })
	}
	if after := settle(before+2, deadline); after > before+2 {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines; it were %d\n%s", after, before, buf[:runtime.Stack(buf, true)])
	}
	if n := len(runningHubs()); n != 1 {
		t.Errorf("%d hubs run", n)
	}
	_ = caddy.Stop()
	if n := len(watching()); n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

// TestAGenerationThatEndsTellsItsStreams, also one that never came to start:
// its server may have held some already.
func TestAGenerationThatEndsTellsItsStreams(t *testing.T) {
	retired := func(a *App) bool {
		select {
		case <-a.retire:
			return true
		default:
			return false
		}
	}
	s := start(t, "", simple)
	old := process.running[0]
	if retired(old) {
		t.Error("the running generation is retired")
	}
	s.reload("", simple)
	if !retired(old) || retired(process.running[0]) {
		t.Errorf("the old generation: %v, the new one: %v", retired(old), retired(process.running[0]))
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	failed := new(App)
	if err := failed.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	for range 2 {
		if err := failed.Cleanup(); err != nil {
			t.Fatal(err)
		}
	}
	if !retired(failed) {
		t.Error("streams of a generation that never started go on for ever")
	}
	if err := new(App).Cleanup(); err != nil {
		t.Error(err)
	}
}
