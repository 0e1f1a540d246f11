package caddymodule

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// leasing is a client that polls on one connection.
type leasing struct {
	*wire
	hub, channel string
	cursor       string
	n            int
}

func (s *server) leasing(t *testing.T, network, hub string) *leasing {
	t.Helper()
	return &leasing{wire: s.dial(network), hub: hub, channel: unique("ch"), cursor: "now"}
}

// poll asks, publishes, and wants the one event, with or without a lease.
func (l *leasing) poll(leased bool, query string, lines ...string) reply {
	l.t.Helper()
	before := metric(l.t, "caddy_comet_leased_total", l.hub)
	l.asks("/n/"+l.channel+"?since="+l.cursor+query, lines...)
	held(l.t, l.hub, l.channel, 1)
	l.n++
	publishes(l.t, l.hub, event(l.channel, fmt.Sprint(l.n)))
	var p poll
	r := l.hears()
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || len(p.Events) != 1 || string(p.Events[0].Data) != fmt.Sprintf(`"%d"`, l.n) {
		l.t.Fatalf("poll %d: %s", l.n, r)
	}
	l.cursor = p.Cursor
	if got := metric(l.t, "caddy_comet_leased_total", l.hub) > before; got != leased {
		l.t.Errorf("poll %d %s %q: by a lease %v, want %v", l.n, query, lines, got, leased)
	}
	return r
}

// learn polls until there is a lease: a new connection's third poll is the first.
func (l *leasing) learn(query string, lines ...string) {
	l.t.Helper()
	for _, leased := range []bool{false, false, true} {
		l.poll(leased, query, lines...)
	}
}

// From its third poll on, a connection's polls pass Caddy's routes only where they
// differ from the last.
func TestALeasedPollIsTheSameHoldGoingOn(t *testing.T) {
	s, hub := serving(t, "lease 1m", "")
	l := s.leasing(t, "tcp", hub)
	first := l.poll(false, "")
	l.poll(false, "")
	for range 5 {
		if r := l.poll(true, ""); strings.Join(r.head[2:], "\n") != strings.Join(first.head[2:], "\n") && r.value("Server") != first.value("Server") {
			t.Errorf("got %s; want a head as in %s", r, first)
		}
	}
	l.poll(false, "", "Cookie: other=1")
	l.poll(true, "", "Cookie: other=1")
	l.poll(false, "&wait=20", "Cookie: other=1")
	l.poll(true, "&wait=20", "Cookie: other=1")
	l.poll(false, "&wait=20&_=1", "Cookie: other=1")
	l.poll(true, "&wait=20&_=2", "Cookie: other=1")
	l.channel = unique("other")
	l.poll(false, "&wait=20&_=2", "Cookie: other=1")
	l.asks("/")
	l.hears().wants(t, "200", "page")
	l.learn("")
	parks(t, hub, 0, 0)
}

// What was pipelined behind a request is answered, in order, and leases nothing.
func TestPipelinedRequestsGoTheLongWay(t *testing.T) {
	s, hub := serving(t, "lease 1m", "")
	l := s.leasing(t, "tcp", hub)
	l.learn("")
	leased := metric(t, "caddy_comet_leased_total", hub)
	for range 3 {
		two := request("/n/" + l.channel + "?since=" + l.cursor)
		l.say(two + two)
		held(t, hub, l.channel, 1)
		publishes(t, hub, event(l.channel, "twice"))
		first := l.hears().wants(t, "200", `"twice"`)
		second := l.hears().wants(t, "200", `"twice"`)
		var p poll
		if json.Unmarshal([]byte(second.body), &p) != nil || first.body != second.body {
			t.Errorf("got %s and %s", first, second)
		}
		l.cursor = p.Cursor
	}
	if got := metric(t, "caddy_comet_leased_total", hub); got != leased {
		t.Errorf("%v of them were leased", got-leased)
	}
}

// A reload voids all leases, and with them the sockets that the loops keep come
// back to the new configuration.
func TestAReloadVoidsLeases(t *testing.T) {
	hub := unique("void")
	globals := overTLS + "comet {\nhub " + hub + " {\nlease 1m\n}\n}"
	s := start(t, globals, threeServers(hub, "old"))
	l := s.leasing(t, "tcp", hub)
	l.learn("")
	s.reload(globals, threeServers(hub, "new"))
	l.poll(false, "")
	l.poll(true, "")
	s.reload(overTLS+"comet {\nhub "+hub+"\n}", threeServers(hub, "newest"))
	l.poll(false, "")
	l.poll(false, "")
	l.poll(false, "")
	l.asks("/")
	l.hears().wants(t, "200", "newest")
}

// A leased poll is told of a gap, of a limit and of nothing, as any other.
func TestALeasedPollIsAnsweredAsAnyOther(t *testing.T) {
	s, hub := serving(t, "lease 1m\nmax_holds 1\nhistory 2", "")
	l := s.leasing(t, "tcp", hub)
	l.learn("&wait=1")
	leased := metric(t, "caddy_comet_leased_total", hub)
	path := "/n/" + l.channel + "?since=" + l.cursor + "&wait=1"
	l.asks(path)
	l.hears().wants(t, "200", `"events":[]`)
	other := s.dial("tcp")
	other.asks("/n/other")
	parks(t, hub, 1, 1)
	l.asks(path)
	l.hears().wants(t, "503", "the limit is 1")
	other.c.Close()
	parks(t, hub, 0, 0)
	if got := metric(t, "caddy_comet_leased_total", hub); got != leased+1 {
		t.Errorf("%v were leased, want 1", got-leased)
	}
}

// A lease is no way around what each visitor may hold.
func TestALeasedPollTakesOfItsVisitorsShare(t *testing.T) {
	s, hub := serving(t, "lease 1m\nmax_holds_per_ip 1", "")
	l := s.leasing(t, "tcp", hub)
	l.learn("")
	parks(t, hub, 0, 0)
	h, _ := findHub(hub)
	free := func() { t.Helper(); eventually(t, "nothing is counted any more", h.shares.Empty) }
	free()
	other := s.dial("tcp")
	other.asks("/n/other")
	parks(t, hub, 1, 1)
	l.asks("/n/" + l.channel + "?since=" + l.cursor)
	l.hears().wants(t, "503", "1 requests are held for you")
	other.c.Close()
	free()
	l.poll(false, "")
	free()
	l.poll(false, "")
	l.poll(true, "")
	free()
}

// Who is sent away between two polls is not leased the next.
func TestAKickVoidsTheLease(t *testing.T) {
	name := unique("kicked")
	s := start(t, overTLS+"comet {\nhub "+name+" {\nlease 1m\n}\n}", everywhere("comet /n/* {\nhub "+name+"\ntoken {\nkey "+tokenKey+"\n}\n}"))
	l := s.leasing(t, "tcp", name)
	cookie := "Cookie: comet_token=" + tokenOf(t, tokenKey, name, "anna", l.channel)
	l.learn("", cookie)
	parks(t, name, 0, 0)
	h, _ := findHub(name)
	if _, err := h.Kick(hub.Kick{User: "anna"}); err != nil {
		t.Fatal(err)
	}
	leased := metric(t, "caddy_comet_leased_total", name)
	publishes(t, name, event(l.channel, "secret"))
	l.asks("/n/"+l.channel+"?since="+l.cursor, cookie)
	if r := l.hears().wants(t, "401", "taken back"); strings.Contains(r.body, "secret") {
		t.Errorf("got %s", r)
	}
	if got := metric(t, "caddy_comet_leased_total", name); got != leased {
		t.Error("it was leased")
	}
}

// Where the site rewrites the query, the position that a client names is not what
// counts, so that there is no lease.
func TestARewrittenQueryIsNotLeased(t *testing.T) {
	for rewrite, leases := range map[string]bool{"{path}?wait=20": false, "{path}?{query}": true} {
		hub := unique("rewritten")
		s := start(t, overTLS+"comet {\nhub "+hub+" {\nlease 1m\n}\n}", everywhere("rewrite /n/* "+rewrite+"\ncomet /n/* {\nhub "+hub+"\n}"))
		l := s.leasing(t, "tcp", hub)
		for i := range 4 {
			l.poll(leases && i > 1, "")
		}
		l.c.Close()
	}
}

// What makes no query, or another one, is no noise.
func TestOnlyWhatMeansNothingIsNoise(t *testing.T) {
	s, hub := serving(t, "lease 1m", "")
	l := s.leasing(t, "tcp", hub)
	l.poll(false, "&_=1")
	l.poll(false, "&_=2")
	l.poll(true, "&_=0.5316298465")
	for _, noise := range []string{"1;wait=0", "%zz"} {
		l.asks("/n/" + l.channel + "?since=" + l.cursor + "&_=" + noise)
		l.hears().wants(t, "400", "the query cannot be read")
		l.poll(false, "&_=3")
		l.poll(false, "&_=4")
		l.poll(true, "&_=5")
	}
}

// A lease goes with connections of every kind.
func TestLeasesOfAllNetworks(t *testing.T) {
	s, hub := serving(t, "lease 1m", "")
	for _, network := range networks {
		l := s.leasing(t, network, hub)
		for i := range 6 {
			l.poll(i > 1, "")
		}
		l.c.Close()
	}
	parks(t, hub, 0, 0)
}

// An answer that sets a cookie is no lease's: the next request may bring it.
func TestAnAnswerWithACookieIsNotLeased(t *testing.T) {
	hub := unique("cookie")
	s := start(t, overTLS+"comet {\nhub "+hub+" {\nlease 1m\n}\n}", everywhere("header Set-Cookie a=b\ncomet /n/* {\nhub "+hub+"\n}"))
	l := s.leasing(t, "tcp", hub)
	for range 4 {
		l.poll(false, "")
	}
}
