package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// keptSites is a site and a door of a hub, which the test names.
func keptSites(hub string) string {
	return strings.NewReplacer("comet_publish", "comet_publish "+hub+" {\n\t\tkey 0123456789abcdef\n\t}", "comet /comet/*", "comet /comet/* {\n\t\thub "+hub+"\n\t}\n\tcomet /bell/* doorbell {\n\t\thub "+hub+"\n\t}").Replace(simple)
}

func keptHub(hub, settings string) string {
	return "comet {\nhub " + hub + " {\n" + settings + "\n}\n}"
}

// keyed publishes through the door.
func (s *server) keyed(method, path, body string, header ...string) answer {
	return send(plain, method, "http://"+s.publish+"/"+path, body, append(header, "Authorization", "Bearer 0123456789abcdef")...)
}

// surely publishes as a publisher does who must not lose: a listener that a reload
// was just closing may take his connection.
func (s *server) surely(channel, data, id string) {
	s.t.Helper()
	a := s.keyed("POST", channel, data, "Comet-Id", id)
	for range 5 {
		if !lostByReload(a.err) {
			break
		}
		a = s.keyed("POST", channel, data, "Comet-Id", id)
	}
	a.wants(s.t, http.StatusOK, "cursor")
}

// cursorOf is the cursor that a publisher was told.
func cursorOf(t *testing.T, a answer) string {
	t.Helper()
	var p published
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != http.StatusOK {
		t.Fatalf("got %d %q, %v", a.status, a.body, a.err)
	}
	return p.Cursor
}

// crash forgets a hub that no configuration mentions any more, as the end of the
// process does.
func crash(t *testing.T, name string) {
	t.Helper()
	eventually(t, "the hub to be gone", func() bool {
		_, there := hubs.References(name)
		if there {
			_, _ = hubs.Delete(name)
		}
		return !there
	})
}

func stopAll(t *testing.T, names ...string) {
	t.Helper()
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		crash(t, name)
	}
}

// A hub with a store goes on after it has left memory: cursors, numbers, IDs and
// event variables.
func TestAHubGoesOnAfterItsEnd(t *testing.T) {
	name := unique("kept")
	s := start(t, keptHub(name, "store DIR/store"), keptSites(name))
	first := cursorOf(t, s.keyed("POST", "a", "one"))
	second := cursorOf(t, s.keyed("POST", "a", "two", "Comet-Id", "x"))
	s.keyed("POST", "b", "other").wants(t, 200, "cursor")
	send(plain, "POST", "http://"+s.site+"/bell/7", "").wants(t, 200, "set")
	for _, file := range []string{name + ".db", name + "@doorbell.db"} {
		if info, err := os.Stat(s.dir + "/store/" + file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	stopAll(t, name, name+"/doorbell")

	s.reload(keptHub(name, "store DIR/store"), keptSites(name))
	p := get("http://" + s.site + "/comet/a?since=" + first).poll(t)
	if p.Gap || len(p.Events) != 1 || p.Events[0].Cursor != second {
		t.Errorf("got %+v", p)
	}
	s.keyed("POST", "a", "two", "Comet-Id", "x").wants(t, 200, `"repeated":true`)
	get("http://"+s.site+"/bell/7").wants(t, 200, "doorbell(7);")
	if third := cursorOf(t, s.keyed("POST", "a", "three")); third != strings.TrimSuffix(first, "1")+"4" {
		t.Errorf("the fourth event is %s, the first was %s", third, first)
	}
}

// Caddy starts its apps in no order: who comes before the store is open waits for
// it, and is told of no gap.
func TestWhoComesBeforeTheStoreIsOpenWaits(t *testing.T) {
	name, store := unique("early"), Settings{Store: t.TempDir()}
	var cursor hub.Cursor
	for life := range 2 {
		synctest.Test(t, func(t *testing.T) {
			shared, err := referHub(name, true)
			if err != nil {
				t.Fatal(err)
			}
			defer releaseHub(name, 0)
			result := make(chan hub.Result, 1)
			go func() {
				r, err := shared.Publish(t.Context(), []hub.Draft{{Channel: "a", Data: []byte("x")}})
				if err != nil {
					t.Error(err)
				}
				result <- r[0]
			}()
			synctest.Wait()
			if len(result) > 0 {
				t.Error("it did not wait")
			}
			if err := shared.keepIn(store.store(name)); err != nil {
				t.Fatal(err)
			}
			r := <-result
			if life == 1 && r.Cursor != (hub.Cursor{Epoch: cursor.Epoch, Seq: 2}) {
				t.Errorf("the second event is %v, the first was %v", r.Cursor, cursor)
			}
			cursor = r.Cursor
		})
	}
}

// Without a store it is as it was: a new epoch, and a gap.
func TestWithoutAStoreAnEndIsAGap(t *testing.T) {
	name := unique("unkept")
	s := start(t, keptHub(name, "store off"), keptSites(name))
	first := cursorOf(t, s.keyed("POST", "a", "one"))
	stopAll(t, name)
	s.reload(keptHub(name, ""), keptSites(name))
	if p := get("http://" + s.site + "/comet/a?since=" + first).poll(t); !p.Gap {
		t.Errorf("got %+v", p)
	}
	if _, err := os.Stat(s.dir + "/store"); err == nil {
		t.Error("there is a store")
	}
}

// While the store is the same, another, taken away and brought back, a publisher
// and a follower notice nothing.
func TestReloadsOfAStoreLoseNothing(t *testing.T) {
	name := unique("moved")
	one, two, none := keptHub(name, "store DIR/one"), keptHub(name, "store DIR/two\nmax_holds 99"), keptHub(name, "")
	s := start(t, one, keptSites(name))
	begin := cursorOf(t, s.keyed("POST", "a", "first"))
	const events = 150
	f := &follower{url: "http://" + s.site + "/comet/a", cursor: begin}
	var wg sync.WaitGroup
	wg.Go(func() { f.follow("last") })
	var published atomic.Int64
	wg.Go(func() {
		for n := range events {
			for s.keyed("POST", "a", fmt.Sprint(n), "Comet-Id", fmt.Sprint(n)).status != 200 {
			}
			published.Store(int64(n + 1))
		}
	})
	reloads := []string{one, two, two, none, one, none, two, one}
	for i, globals := range reloads {
		target := int64(i * events / len(reloads))
		eventually(t, "events between the reloads", func() bool { return published.Load() >= target })
		s.reload(globals, keptSites(name))
		for dir, want := range map[string]bool{"one": globals == one, "two": globals == two} {
			if _, err := os.Stat(s.dir + "/" + dir + "/" + name + ".db"); (err == nil) != want {
				t.Errorf("reload %d: %s: %v", i, dir, err)
			}
		}
	}
	eventually(t, "all events", func() bool { return published.Load() == events })
	s.surely("a", "last", "last")
	wg.Wait()
	if len(f.got) != events+1 || f.gaps > 0 || f.lost > 0 && len(f.got) != events+1 {
		t.Errorf("%d events, %d gaps", len(f.got), f.gaps)
	}
	stopAll(t, name)
	s.reload(one, keptSites(name))
	if p := get("http://" + s.site + "/comet/a?since=" + f.cursor).poll(t); p.Gap || len(p.Events) == 0 || string(p.Events[len(p.Events)-1].Data) != `"last"` {
		t.Errorf("after the restart: %+v", p)
	}
}

// A reload that fails leaves the store where it was, whichever app's start fails.
func TestAReloadThatFailsLeavesTheStore(t *testing.T) {
	name := unique("stays")
	s := start(t, keptHub(name, "store DIR/one"), keptSites(name))
	begin := cursorOf(t, s.keyed("POST", "a", "0"))
	if err := os.WriteFile(s.dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.load(keptHub(name, "store DIR/file/x"), keptSites(name)); err == nil || !strings.Contains(err.Error(), ": store "+s.dir+"/file/x/"+name) {
		t.Errorf("got %v", err)
	}
	taken := "\nhttp://PUBLISH, http://203.0.113.7:81 {\n\tbind 203.0.113.7\n}\n" // not our address
	for n := range 6 {                                                            // apps start in no order
		if err := s.load(keptHub(name, "store DIR/two"), keptSites(name)+taken); err == nil {
			t.Fatal("it should not start")
		}
		s.surely("a", "x", fmt.Sprint(n))
		_, one := os.Stat(s.dir + "/one/" + name + ".db")
		_, two := os.Stat(s.dir + "/two/" + name + ".db")
		if one != nil || two == nil {
			t.Errorf("one: %v, two: %v", one, two)
		}
	}
	stopAll(t, name)
	s.reload(keptHub(name, "store DIR/one"), keptSites(name))
	if p := get("http://" + s.site + "/comet/a?since=" + begin).poll(t); p.Gap || len(p.Events) != 6 {
		t.Errorf("got %+v", p)
	}
}

// Two hubs share a directory, and a file that another process has is told.
func TestAStoreInUseIsAnErrorThatSaysSo(t *testing.T) {
	a, b := unique("a"), unique("b")
	s := start(t, "comet {\nstore DIR/store\nhub "+a+"\nhub "+b+"\n}", keptSites(a))
	s.keyed("POST", "x", "1").wants(t, 200, "cursor")
	h, ok := findHub(b)
	if !ok {
		t.Fatal("no second hub")
	}
	other, err := referHub(unique("other"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer releaseHub(other.name, 0)
	store := Settings{Store: s.dir + "/store"}.store(h.name)
	if err := other.keepIn(store); err == nil || !strings.Contains(err.Error(), "is in use by another process") {
		t.Errorf("got %v", err)
	}
}

// breakStore has the store fail: a directory stands where its file was.
func (s *server) breakStore(name string) (mend func()) {
	s.t.Helper()
	file := s.dir + "/store/" + name + ".db"
	next := file + ".new"
	if err := os.Remove(file); err != nil {
		s.t.Fatal(err)
	}
	if err := os.MkdirAll(next+"/full", 0o700); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(next); err != nil {
			s.t.Fatal(err)
		}
	}
}

// A store that fails is told to every kind of publisher; files wait; readers are
// served; and when it works again nothing is missing.
func TestAStoreThatFailsIsToldAndWaitedFor(t *testing.T) {
	name := unique("broken")
	s := newServer(t)
	if err := os.Mkdir(s.dir+"/in", 0o700); err != nil {
		t.Fatal(err)
	}
	s.reload(keptHub(name, "store DIR/store\nwatch DIR/in/*.log lines"), keptSites(name))
	begin := cursorOf(t, s.keyed("POST", "a", "0"))
	line := func(text string) {
		f, err := os.OpenFile(s.dir+"/in/log.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(f, text)
		f.Close()
	}
	mend := s.breakStore(name)
	a := s.keyed("POST", "a", "1")
	a.wants(t, http.StatusServiceUnavailable, hub.ErrUnkept.Error())
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	s.keyed("DELETE", "a", "").wants(t, http.StatusServiceUnavailable, "deleted in memory, but not on the disk")
	line("one")
	line("two")
	if got := metric(t, "caddy_comet_store_up", name); got != 0 {
		t.Errorf("the store is up: %v", got)
	}
	if metric(t, "caddy_comet_store_failures_total", name) == 0 || metric(t, "caddy_comet_denied_total", name) == 0 {
		t.Error("no failure is counted")
	}
	if log := s.logs(); !strings.Contains(log, "the store cannot be written, so events are refused") {
		t.Error("nothing is in the log")
	}
	send(s.admin(), "GET", "http://127.0.0.1/comet/", "").wants(t, 200, `"error":"the hub's store cannot be written`)
	mend()
	f := &follower{url: "http://" + s.site + "/comet/log", cursor: begin}
	f.follow("two")
	if got := strings.Join(f.got, " "); got != "one two" || f.gaps > 0 {
		t.Errorf("the lines are %q, %d gaps", got, f.gaps)
	}
	s.keyed("POST", "a", "2").wants(t, 200, "cursor")
	if got := metric(t, "caddy_comet_store_up", name); got != 1 {
		t.Errorf("the store is not up: %v", got)
	}
	if metric(t, "caddy_comet_store_commits_total", name) == 0 || metric(t, "caddy_comet_store_bytes", name) == 0 {
		t.Error("no commit is counted")
	}
}

// What files bring while the disk takes nothing queues up to a bound. Beyond it
// the channels are told of a gap, at its place in the order.
func TestAFeederIsBoundedAndTellsWhatItLoses(t *testing.T) {
	shared, err := referHub(unique("fed"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer releaseHub(shared.name, 0)
	f := &feeder{hub: shared, wake: make(chan struct{}, 1)} // not yet running
	big := make([]byte, 1_000_000)
	line := func(channel string, data []byte) []hub.Draft {
		return []hub.Draft{{Channel: channel, Data: data, ContentType: "text/plain", Source: hub.FileSource}}
	}
	for range 16 {
		f.bring(line("much", big))
	}
	f.bring(line("a", nil))
	f.bring(line("b", nil))
	for range 1000 {
		f.bring(line("a", big)) // lost
		f.bring(line("c", big)) // lost
	}
	f.gone("c")
	f.bring(line("b", nil)) // and this has room, behind the loss
	if len(f.queue) != 16+2+1+1+1 || f.bytes > maxFeed {
		t.Errorf("%d in the queue, %d bytes", len(f.queue), f.bytes)
	}
	if err := shared.keepIn(Settings{Store: t.TempDir()}.store(shared.name)); err != nil {
		t.Fatal(err)
	}
	begin := hub.Cursor{Epoch: shared.Cursor().Epoch}
	go f.run()
	eventually(t, "all is brought", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.queue) == 0 && f.bytes == 0
	})
	for channel, want := range map[string]string{"a": "1 events, gap true", "b": "2 events, gap false", "c": "0 events, gap true"} {
		sub, err := shared.Subscribe(hub.SubConfig{Channels: []string{channel}, Since: hub.After(begin)})
		if err != nil {
			t.Fatal(err)
		}
		events, gap := 0, false
		for d := sub.Next(); d != nil; d = sub.Next() {
			events, gap = events+len(d.Events), gap || d.Gap
		}
		sub.Close()
		if got := fmt.Sprintf("%d events, gap %v", events, gap); got != want {
			t.Errorf("%s: %s, want %s", channel, got, want)
		}
	}
}
