package caddymodule

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// answersWith is a site's routes with comet, whose page says which configuration
// it is of.
func answersWith(hub, page string) string {
	return "comet /n/* {\nhub " + hub + "\n}\nrespond \"" + page + "\"\n"
}

// threeServers are the three of everywhere with the same routes.
func threeServers(hub, page string) string { return everywhere(answersWith(hub, page)) }

// ended reports whether a connection ends without a word, whether or not its last
// request still reached it.
func ended(t *testing.T, w *wire) {
	t.Helper()
	_ = w.c.SetReadDeadline(time.Now().Add(deadline))
	b, err := io.ReadAll(w.r)
	if len(b) > 0 || err != nil && !lostByReload(err) {
		t.Errorf("the connection said %q and ended with %v", shortened(string(b)), err)
	}
}

// TestParkedConnectionsOutliveReloads, of the same configuration and of another:
// polls and streams get what happens, and the next request meets what is new.
func TestParkedConnectionsOutliveReloads(t *testing.T) {
	hub := unique("outlives")
	globals := overTLS + "comet {\nhub " + hub + "\n}"
	s := start(t, globals, threeServers(hub, "old"))
	s.waitForTLS()
	for _, network := range networks {
		name := unique("ch")
		first, idle, stream := s.dial(network), s.dial(network), s.dial(network)
		first.asks("/n/" + name)
		idle.asks("/n/" + name + "idle")
		stream.asks("/n/" + name + "?as=sse")
		parks(t, hub, 3, 3)
		publishes(t, hub, event(name+"idle", "here"))
		idle.hears().wants(t, "200", "here") // waits for its client's next word from here on
		for i := range 3 {
			s.reload(globals, threeServers(hub, []string{"old", "new", "new"}[i]))
		}
		parks(t, hub, 2, 2)
		publishes(t, hub, event(name, "after"))
		if r := first.hears().wants(t, "200", `"after"`); r.value("Connection") != "" {
			t.Errorf("%s: %s", network, r)
		}
		stream.hearsUntil("data: after\n").wants(t, "200", "id: ")
		for _, w := range []*wire{first, idle} {
			w.asks("/")
			w.hears().wants(t, "200", "new")
			w.asks("/n/" + name)
			parks(t, hub, 2, 2)
			publishes(t, hub, event(name, "again"))
			w.hears().wants(t, "200", `"again"`)
			w.c.Close()
		}
		stream.c.Close()
		parks(t, hub, 0, 0)
		s.reload(globals, threeServers(hub, "old"))
	}
}

// TestAParkedConnectionLandsOnlyOnAServerOfItsAddressAndItsRules. Else it is
// closed when its client asks for more, and what was held is answered.
func TestAParkedConnectionLandsOnlyOnAServerOfItsAddressAndItsRules(t *testing.T) {
	hub := unique("lands")
	globals := overTLS + "comet {\nhub " + hub + "\n}"
	config := threeServers(hub, "old")
	swap := func(old, with string) string {
		changed := strings.ReplaceAll(strings.ReplaceAll(config, "respond \"old\"", "respond \"new\""), old, with)
		if old != "" && !strings.Contains(config, old) {
			t.Fatalf("%q is not there", old)
		}
		return changed
	}
	for _, c := range []struct {
		name, network, globals, config string
		stays                          bool
	}{
		{"the same", "tcp", globals, swap("respond", "respond"), true},
		{"every address instead", "tcp", globals, swap("http://:PORT {\n\tbind 127.0.0.1", "http://:PORT {\n\tbind 0.0.0.0"), false},
		{"another address instead, with the same port", "tcp", globals, swap("http://:PORT {\n\tbind 127.0.0.1", "http://:PORT {\n\tbind 127.0.0.2"), false},
		{"the server is gone", "unix", globals, swap("http:// {\n\tbind unix/SOCKET\n\timport routes\n}", ""), false},
		{"another socket", "unix", globals, swap("unix/SOCKET", "unix/SOCKET2"), false},
		{"parking is off", "tcp", strings.Replace(globals, "comet {", "comet {\npark off", 1), swap("respond", "respond"), false},
		{"comet is gone, but for its settings", "tcp", globals, swap("comet /n/* {\nhub "+hub+"\n}\n", ""), true},
		{"comet is gone", "tcp", overTLS, swap("comet /n/* {\nhub "+hub+"\n}\n", ""), false},
		{"TLS stays", "tls", globals, swap("respond", "respond"), true},
		{"TLS of another version", "tls", globals, swap("tls internal", "tls internal {\nprotocols tls1.3\n}"), false},
		{"TLS for another name", "tls", globals, swap("https://localhost:TLS, https://127.0.0.1:TLS {\n\tbind 127.0.0.1\n\ttls internal", "https://127.0.0.1:TLS {\nbind 127.0.0.1\ntls internal\nimport routes\n}\nhttps://localhost:TLS {\n\tbind 127.0.0.1\n\ttls internal {\nalpn http/1.1\n}"), false},
		{"TLS that asks for a certificate", "tls", globals, swap("tls internal", "tls internal {\nclient_auth {\nmode require\n}\n}"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			s.everywhere()
			s.reload(globals, config)
			s.waitForTLS()
			name := unique("ch")
			held, idle := s.dial(c.network), s.dial(c.network)
			held.asks("/n/" + name)
			idle.asks("/n/" + name + "idle")
			parks(t, hub, 2, 2)
			h, _ := findHub(hub)
			publishes(t, hub, event(name+"idle", "here"))
			idle.hears().wants(t, "200", "here")
			s.reload(c.globals, c.config)
			if _, err := h.Publish(t.Context(), drafts(event(name, "after"))); err != nil {
				t.Fatal(err)
			}
			if r := held.hears().wants(t, "200", `"after"`); (r.value("Connection") == "close") == c.stays {
				t.Errorf("what becomes of the connection is not said: %s", r)
			}
			for _, w := range []*wire{held, idle} {
				_, err := io.WriteString(w.c, request("/"))
				switch {
				case c.stays && err != nil:
					t.Error(err)
				case c.stays:
					w.hears().wants(t, "200", "new")
				default:
					ended(t, w)
				}
			}
		})
	}
}

// TestClientsThatATLSServerTrustedAreTrustedByNoOther: what it trusts may stand in
// a file, which the configuration does not show.
func TestClientsThatATLSServerTrustedAreTrustedByNoOther(t *testing.T) {
	hub := unique("trusts")
	globals := overTLS + "comet {\nhub " + hub + "\n}"
	site := strings.Replace(threeServers(hub, "old"), "tls internal", "tls internal {\nclient_auth {\nmode request\n}\n}", 1)
	s := start(t, globals, site)
	s.waitForTLS()
	w := s.dial("tls")
	w.say(strings.Replace(request("/n/a"), "127.0.0.1", "localhost", 1))
	parks(t, hub, 1, 1)
	s.reload(globals, strings.Replace(site, "old", "new", 1))
	publishes(t, hub, event("a", "here"))
	w.hears().wants(t, "200", "here")
	_, _ = io.WriteString(w.c, strings.Replace(request("/"), "127.0.0.1", "localhost", 1))
	ended(t, w)
}

// TestManyReloadsLeakNothing, with requests in flight.
func TestManyReloadsLeakNothing(t *testing.T) {
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("this system does not list them")
		}
		n := 0
		for _, e := range entries {
			// Caddy's log files stay open for a while.
			if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.Contains(target, ":[") {
				n++
			}
		}
		return n
	}
	hub := unique("leaks")
	globals := "comet {\nhub " + hub + "\n}"
	site := "http://SITE {\nbind 127.0.0.1\ncomet /n/* {\nhub " + hub + "\n}\nrespond page\n}"
	s := start(t, globals, site)
	round := func(n int) {
		wires := make([]*wire, 20)
		for i := range wires {
			wires[i] = s.dial("tcp")
			wires[i].asks("/n/a" + []string{"", "?as=sse"}[i%2])
		}
		parks(t, hub, len(wires), len(wires))
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 20 {
				_ = send(plain, "GET", "http://"+s.site+"/", "")
			}
		})
		s.reload(globals, strings.Replace(site, "respond page", fmt.Sprintf("respond page%d", n), 1))
		wg.Wait()
		publishes(t, hub, event("a", "here"))
		for i, w := range wires {
			w.hearsUntil("here").wants(t, "200", "here")
			if i%4 == 0 { // a poll: its connection goes on
				w.asks("/")
				w.hears().wants(t, "200", "page")
			}
			w.c.Close()
		}
		parks(t, hub, 0, 0)
	}
	for i := range 3 {
		round(i)
	}
	settle := func() (goroutines, fds int) {
		goroutines, fds = runtime.NumGoroutine(), descriptors()
		for range 20 {
			time.Sleep(20 * time.Millisecond) // what ends by itself has some time to
			goroutines, fds = min(goroutines, runtime.NumGoroutine()), min(fds, descriptors())
		}
		return goroutines, fds
	}
	goroutines, fds := settle()
	for i := range 20 {
		round(i)
	}
	for end := time.Now().Add(deadline); runtime.NumGoroutine() > goroutines+3 || descriptors() > fds+3; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines and %d descriptors; it were %d and %d\n%s", runtime.NumGoroutine(), descriptors(), goroutines, fds, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// TestAFailedReloadLeavesParkedConnectionsAlone.
func TestAFailedReloadLeavesParkedConnectionsAlone(t *testing.T) {
	hub := unique("fails")
	globals := "comet {\nhub " + hub + "\n}"
	site := "http://SITE {\nbind 127.0.0.1\ncomet /n/* {\nhub " + hub + "\n}\nrespond page\n}\n"
	s := start(t, globals, site)
	occupied := listen(t).Addr().String()
	w := s.dial("tcp")
	for i := range 5 {
		w.asks("/n/a")
		parks(t, hub, 1, 1)
		for _, more := range []string{"http://" + occupied + " {\nbind 127.0.0.1\n}", ":1 {\ncomet {\nhub nosuchhub\n}\n}"} {
			if s.load(globals, site+more) == nil {
				t.Fatal("it was loaded")
			}
		}
		publishes(t, hub, event("a", fmt.Sprint(i)))
		w.hears().wants(t, "200", fmt.Sprintf(`"data":"%d"`, i))
		w.asks("/")
		w.hears().wants(t, "200", "page")
	}
}

// TestEachAddressOfAPortKeepsItsConnections: of two servers on one port one is for
// this machine only.
func TestEachAddressOfAPortKeepsItsConnections(t *testing.T) {
	hub := unique("addresses")
	globals := "comet {\nhub " + hub + "\n}"
	site := func(n int) string {
		var b strings.Builder
		for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
			fmt.Fprintf(&b, "http://%s:PORT {\nbind %s\ncomet /n/* {\nhub %s\n}\nrespond \"%s of %d\"\n}\n", host, host, hub, host, n)
		}
		return b.String()
	}
	s := newServer(t)
	s.everywhere()
	s.reload(globals, site(0))
	wires := map[string]*wire{}
	for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
		wires[host] = connect(t, "tcp", strings.Replace(s.site, "127.0.0.1", host, 1))
	}
	for n := 1; n < 5; n++ {
		for host, w := range wires {
			w.say(strings.Replace(request("/n/a"), "127.0.0.1", host, 1))
		}
		parks(t, hub, 2, 2)
		s.reload(globals, site(n))
		publishes(t, hub, event("a", "here"))
		for host, w := range wires {
			w.hears().wants(t, "200", "here")
			w.say(strings.Replace(request("/"), "127.0.0.1", host, 1))
			w.hears().wants(t, "200", fmt.Sprintf("%s of %d", host, n))
		}
	}
}

// TestASocketsModeIsNoPartOfItsAddress.
func TestASocketsModeIsNoPartOfItsAddress(t *testing.T) {
	hub := unique("mode")
	globals := "comet {\nhub " + hub + "\n}"
	site := "http:// {\nbind unix/SOCKET|0222\n" + answersWith(hub, "page") + "}"
	s := start(t, globals, site)
	w := s.dial("unix")
	w.asks("/n/a")
	parks(t, hub, 1, 1)
	s.reload(globals, strings.Replace(site, "page", "new", 1))
	publishes(t, hub, event("a", "here"))
	w.hears().wants(t, "200", "here")
	w.asks("/")
	w.hears().wants(t, "200", "new")
}

// TestCometMayGoAndComeBackWhileConnectionsAreParked.
func TestCometMayGoAndComeBackWhileConnectionsAreParked(t *testing.T) {
	s := start(t, "", simple)
	name := unique("back")
	before := parkedOf(t, defaultHub)
	w, stream := s.dial("tcp"), s.dial("tcp")
	w.asks("/comet/" + name)
	stream.asks("/comet/" + name + "?as=sse")
	held(t, defaultHub, name, 2)
	eventually(t, "both are parked", func() bool { return parkedOf(t, defaultHub) == before+2 })
	s.reload("", "http://SITE {\nbind 127.0.0.1\nrespond \"no comet\"\n}")
	s.reload("", simple)
	held(t, defaultHub, name, 2)
	publishes(t, defaultHub, event(name, "here"))
	w.hears().wants(t, "200", `"here"`)
	stream.hearsUntil("data: here\n").wants(t, "200", "id: ")
	w.asks("/")
	w.hears().wants(t, "200", "the site")
}
