package caddymodule

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// TestAPublishAnswersThePollsOfBothDialects goes the whole way: hold, publish,
// answer.
func TestAPublishAnswersThePollsOfBothDialects(t *testing.T) {
	s := start(t, "", `
http://SITE {
	bind 127.0.0.1
	comet /comet/*
	comet /comet.php novcomet
}
http://PUBLISH {
	bind 127.0.0.1
	comet_publish
}`)
	name := unique("orders")
	native := holding("http://" + s.site + "/comet/" + name + ",unused")
	nov := holding("http://" + s.site + "/comet.php?&subscribed[" + name + "]=0&1795242599")
	held(t, defaultHub, name, 2)

	a := send(plain, "POST", "http://"+s.publish+"/"+name, `{"id":42}`, "Comet-Type", "sale")
	var p published
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != 200 || p.Channel != name || p.Receivers != 2 || p.Cursor == "" {
		t.Fatalf("the publisher got %d %q", a.status, a.body)
	}
	got := receive(t, native).poll(t)
	if len(got.Events) != 1 || string(got.Events[0].Data) != `{"id":42}` || got.Events[0].Type != "sale" || got.Events[0].Channel != name || got.Cursor != p.Cursor {
		t.Errorf("the native poll got %+v", got)
	}
	n := receive(t, nov)
	n.wants(t, 200, `{"s":1,"k":{"`+name+`":`)
	if ct := n.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("novcomet's Content-Type is %q", ct)
	}
	// A dialect's publish request goes to the site.
	get("http://"+s.site+"/comet.php?&publish="+name).wants(t, 200, "")
}

// TestWhatAPublisherSendsIsAnsweredClearly has names, headers and bodies.
func TestWhatAPublisherSendsIsAnsweredClearly(t *testing.T) {
	s := start(t, "comet {\nmax_event 1KiB\n}", simple)
	long := strings.Repeat("x", 256)
	for _, c := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		want                     string
	}{
		{"no channel", "POST", "/", "x", nil, 405, "POST is not for this address; use GET, HEAD"},
		{"another method", "PUT", "/a", "x", nil, 405, "PUT is not for this address; use POST, GET, HEAD, DELETE"},
		{"options", "OPTIONS", "/a", "", nil, 405, "OPTIONS is not"},
		{"a kept name", "POST", "/_x", "x", nil, 404, `the name \"_x\" is kept for the endpoint itself`},
		{"a kept name among others", "POST", "/a,_x", "x", nil, 404, `\"_x\" is kept`},
		{"publish is kept", "POST", "/a,publish", "x", nil, 404, `\"publish\" is kept`},
		{"publish is for items", "POST", "/publish", "x", nil, 400, `it is not valid JSON`},
		{"and for nothing else", "GET", "/publish/", "", nil, 405, `use POST`},
		{"an empty name", "POST", "/a,", "x", nil, 400, "not a channel name: it is empty"},
		{"a comma alone", "POST", "/,", "x", nil, 400, "it is empty"},
		{"control character", "POST", "/a%00b", "x", nil, 400, "control character U+0000"},
		{"line break", "POST", "/a%0Ab", "x", nil, 400, "control character U+000A"},
		{"not UTF-8", "POST", "/a%ff", "x", nil, 400, "it is not UTF-8"},
		{"too long", "POST", "/" + long, "x", nil, 400, "it has 256 bytes, and 255 are allowed"},
		{"ten kilobytes", "POST", "/" + strings.Repeat("y", 10<<10), "x", nil, 400, "it has 10240 bytes"},
		{"too many", "POST", "/" + strings.Repeat("a,", 1000) + "a", "x", nil, 400, "1001 channels in one request; the limit is 1000"},
		{"up a directory", "POST", "/a/../", "x", nil, 405, "is not for this address"},
		{"JSON that is none", "POST", "/j", "{oops", []string{"Content-Type", "application/json"}, 400, "says JSON, and the body is none; encode it with json_encode()"},
		{"JSON by suffix that is none", "POST", "/j", "oops", []string{"Content-Type", "application/ld+json; charset=utf-8"}, 400, "says JSON"},
		{"a type too long", "POST", "/j", "x", []string{"Comet-Type", strings.Repeat("t", 129)}, 400, "Comet-Type has 129 bytes; the limit is 128"},
		{"a type that is no UTF-8", "POST", "/j", "x", []string{"Comet-Type", "a\xff"}, 400, "Comet-Type must be UTF-8 without control characters"},
		{"an ID too long", "POST", "/j", "x", []string{"Comet-Id", strings.Repeat("t", 129)}, 400, "Comet-Id has 129 bytes"},
		{"a media type too long", "POST", "/j", "x", []string{"Content-Type", "text/" + long}, 400, "the Content-Type has 261 bytes"},
		{"too large", "POST", "/j", strings.Repeat("z", 1025), nil, 413, "the body is too large: the limit is 1024 bytes (max_event)"},
		{"just not too large", "POST", "/j", strings.Repeat("z", 1024), nil, 200, `"receivers":0`},
		{"an info of none", "GET", "/" + unique("none"), "", nil, 404, "nothing is kept of it and nobody follows it"},
		{"deleting none", "DELETE", "/" + unique("none"), "", nil, 404, "there is no channel"},
		{"deleting two", "DELETE", "/a,b", "", nil, 400, "one channel at a time"},
		{"info of two", "GET", "/a,b", "", nil, 400, "one channel at a time"},
		{"a wrong cursor", "GET", "/a?since=yesterday", "", nil, 400, "a cursor is what an earlier answer gave"},
		{"the present cursor", "GET", "/a?since=", "", nil, 200, `"events":[]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := send(plain, c.method, "http://"+s.publish+c.path, c.body, c.header...)
			a.wants(t, c.status, c.want)
			if !json.Valid([]byte(a.body)) {
				t.Errorf("the answer is no JSON: %q", a.body)
			}
			if c.status == 405 && a.header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
}

// TestWhatIsPublishedArrivesAsItWasSent: names that are split and decoded,
// media types, repetitions.
func TestWhatIsPublishedArrivesAsItWasSent(t *testing.T) {
	s := start(t, "", simple)
	door := "http://" + s.publish + "/"
	cases := []struct{ contentType, body, want string }{
		{"application/x-www-form-urlencoded", `{"a":1}`, `{"a":1}`}, // curl -d
		{"application/x-www-form-urlencoded", `a=1&b=2`, `"a=1\u0026b=2"`},
		{"", `[1]`, `[1]`},
		{"text/plain", `[1]`, `"[1]"`},
		{"application/json", `"x"`, `"x"`},
		{"application/json", ``, `""`}, // a touch by PHP that always sends this type
		{"", ``, `""`},
		{"", "\xff\x00", `"/wA="`},
	}
	name := unique("types")
	since := s.must(name, "first")
	for _, c := range cases {
		header := []string{"Content-Type", c.contentType}
		if c.contentType == "" {
			header = nil
		}
		send(plain, "POST", door+name, c.body, header...).wants(t, 200, name)
	}
	got := get("http://" + s.site + "/comet/" + name + "?since=" + since).poll(t)
	if len(got.Events) != len(cases) {
		t.Fatalf("%d events of %d", len(got.Events), len(cases))
	}
	for i, c := range cases {
		if string(got.Events[i].Data) != c.want {
			t.Errorf("%q as %q arrived as %s", c.body, c.contentType, got.Events[i].Data)
		}
	}

	t.Run("several channels at once", func(t *testing.T) {
		x, y := unique("x"), unique("y")
		a := send(plain, "POST", door+"some/where/"+x+"%2Cx,"+y+"%2F..", "d")
		var p []published
		if err := json.Unmarshal([]byte(a.body), &p); err != nil || len(p) != 2 || p[0].Channel != x+",x" || p[1].Channel != y+"/.." {
			t.Errorf("got %q", a.body)
		}
		get(door+x+"%2Cx").wants(t, 200, `"history":1`)
	})
	t.Run("a retry is harmless", func(t *testing.T) {
		name := unique("retry")
		first := send(plain, "POST", door+name, "once", "Comet-Id", "n1")
		again := send(plain, "POST", door+name, "once", "Comet-Id", "n1")
		var p, q published
		_ = json.Unmarshal([]byte(first.body), &p)
		_ = json.Unmarshal([]byte(again.body), &q)
		if p.Repeated || !q.Repeated || p.Cursor != q.Cursor || p.Cursor == "" {
			t.Errorf("first %q, again %q", first.body, again.body)
		}
		get(door+name).wants(t, 200, `"history":1`)
	})
	t.Run("forgetting", func(t *testing.T) {
		name := unique("forget")
		cursor := s.must(name, "1")
		s.must(name, "2")
		send(plain, "DELETE", door+name, "").wants(t, 200, `"deleted":true`)
		got := get("http://" + s.site + "/comet/" + name + "?wait=0&since=" + cursor).poll(t)
		if !got.Gap {
			t.Errorf("the loss was not told: %+v", got)
		}
		get(door+name).wants(t, 404, "there is no channel")
	})
}

// TestTheListingIsBounded: ten thousand channels are listed as a thousand and
// how many more there are.
func TestTheListingIsBounded(t *testing.T) {
	hub := unique("many")
	s := start(t, "comet {\nhub "+hub+"\n}", "http:// {\nbind unix/SOCKET\ncomet_publish "+hub+"\n}")
	door := overSocket(s.socket)
	for i := range 10 {
		names := make([]string, 1000)
		for j := range names {
			names[j] = fmt.Sprintf("c%05d", i*1000+j)
		}
		if a := send(door, "POST", "http://x/"+strings.Join(names, ","), "d"); a.status != 200 {
			t.Fatalf("%d %q %v", a.status, shortened(a.body), a.err)
		}
	}
	a := send(door, "GET", "http://x/", "")
	var l struct {
		Hub      string
		Cursor   string
		More     int
		Channels []figures.Channel
	}
	if err := json.Unmarshal([]byte(a.body), &l); err != nil || l.Hub != hub || l.More != 9000 || len(l.Channels) != 1000 ||
		l.Channels[999].Channel != "c00999" || !strings.HasSuffix(l.Cursor, ".10000") || !strings.HasSuffix(l.Channels[7].Cursor, ".8") {
		t.Errorf("got %s %v", shortened(a.body), err)
	}
	if b := send(door, "HEAD", "http://x/", ""); b.status != 200 || b.body != "" {
		t.Errorf("HEAD: %d %q", b.status, b.body)
	}
	send(door, "GET", "http://x/c05000", "").wants(t, 200, `{"channel":"c05000","held":0,"cursor":"`)
}

// TestTooManyChannelsAre503 with a time to come back.
func TestTooManyChannelsAre503(t *testing.T) {
	hub := unique("few")
	s := start(t, "comet {\nhub "+hub+" {\nmax_channels 2\n}\n}", "http:// {\nbind unix/SOCKET\ncomet_publish "+hub+"\n}")
	a := send(overSocket(s.socket), "POST", "http://x/a,b,c", "d")
	a.wants(t, 503, "too many channels: the limit is 2; raise max_channels")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// TestOnlyThisMachinePublishes has every way in.
func TestOnlyThisMachinePublishes(t *testing.T) {
	shared, err := referHub(unique("peers"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer releaseHub(shared.name, 0)
	unix := &net.UnixAddr{Name: "/run/x.sock", Net: "unix"}
	tcp := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2020}
	const key = "0123456789abcdef"
	ready := readyApp()
	withKey := &Publish{app: ready, use: &hubUse{hub: shared}, Keys: []string{"fedcba9876543210", key}}
	if err := withKey.readKeys(); err != nil {
		t.Fatal(err)
	}
	withUser := &Publish{app: ready, use: &hubUse{hub: shared}, users: []uint32{1003, 0}}
	withBoth := &Publish{app: ready, use: &hubUse{hub: shared}, users: []uint32{1003}, keyring: withKey.keyring}
	peer := func(uid uint32) context.Context { return context.WithValue(t.Context(), peerKey{}, uid) }
	keyless := &Publish{app: ready, use: &hubUse{hub: shared}}
	tenants := &Publish{app: ready, use: &hubUse{hub: shared}, onlySockets: true}
	for _, c := range []struct {
		name    string
		publish *Publish
		local   net.Addr
		remote  string
		host    string
		header  [2]string
		status  int
		peer    context.Context
	}{
		{"loopback", keyless, tcp, "127.0.0.1:5000", "127.0.0.1:2020", [2]string{}, 200, nil},
		{"all of 127/8", keyless, tcp, "127.9.9.9:5000", "localhost", [2]string{}, 200, nil},
		{"IPv6 loopback", keyless, tcp, "[::1]:5000", "[::1]:2020", [2]string{}, 200, nil},
		{"IPv4 in IPv6", keyless, tcp, "[::ffff:127.0.0.1]:5000", "LOCALHOST:2020", [2]string{}, 200, nil},
		{"a socket", keyless, unix, "@", "anything.example", [2]string{}, 200, nil},
		{"a socket without a peer's name", keyless, unix, "", "x", [2]string{}, 200, nil},
		{"the network", keyless, tcp, "192.0.2.9:5000", "127.0.0.1:2020", [2]string{}, 403, nil},
		{"the network, a forged host", keyless, tcp, "192.0.2.9:5000", "localhost", [2]string{}, 403, nil},
		{"IPv6 network", keyless, tcp, "[2001:db8::1]:5000", "localhost", [2]string{}, 403, nil},
		{"IPv4 network in IPv6", keyless, tcp, "[::ffff:192.0.2.9]:1", "localhost", [2]string{}, 403, nil},
		{"says it is loopback", keyless, tcp, "192.0.2.9:5000", "localhost", [2]string{"X-Forwarded-For", "127.0.0.1"}, 403, nil},
		{"a peer that is none", keyless, tcp, "@", "localhost", [2]string{}, 403, nil},
		{"no peer", keyless, nil, "", "localhost", [2]string{}, 403, nil},
		{"a rebound name", keyless, tcp, "127.0.0.1:5000", "evil.example:2020", [2]string{}, 403, nil},
		{"a name that begins so", keyless, tcp, "127.0.0.1:5000", "127.0.0.1.evil.example", [2]string{}, 403, nil},
		{"no host", keyless, tcp, "127.0.0.1:5000", "", [2]string{}, 403, nil},
		{"through a proxy", keyless, tcp, "127.0.0.1:5000", "localhost", [2]string{"X-Forwarded-For", "192.0.2.9"}, 403, nil},
		{"through nginx", keyless, tcp, "127.0.0.1:5000", "localhost", [2]string{"X-Real-IP", "192.0.2.9"}, 403, nil},
		{"through Via", keyless, tcp, "127.0.0.1:5000", "localhost", [2]string{"Via", "1.1 x"}, 403, nil},
		{"through Forwarded", keyless, tcp, "127.0.0.1:5000", "localhost", [2]string{"Forwarded", "for=192.0.2.9"}, 403, nil},
		{"through a proxy to a socket", keyless, unix, "@", "localhost", [2]string{"X-Forwarded-For", "192.0.2.9"}, 403, nil},
		{"a page elsewhere", keyless, tcp, "127.0.0.1:5000", "localhost", [2]string{"Origin", "https://evil.example"}, 403, nil},
		{"a page from a file", keyless, tcp, "127.0.0.1:5000", "localhost", [2]string{"Origin", "null"}, 403, nil},
		{"a form", keyless, tcp, "127.0.0.1:5000", "localhost", [2]string{"Sec-Fetch-Site", "cross-site"}, 403, nil},
		{"a page over a socket", keyless, unix, "@", "x", [2]string{"Origin", "https://evil.example"}, 403, nil},
		{"tenants: loopback", tenants, tcp, "127.0.0.1:5000", "localhost", [2]string{}, 403, nil},
		{"tenants: a socket", tenants, unix, "@", "x", [2]string{}, 200, nil},
		{"key: right", withKey, tcp, "192.0.2.9:5000", "site.example", [2]string{"Authorization", "Bearer " + key}, 200, nil},
		{"key: the other", withKey, tcp, "192.0.2.9:5000", "site.example", [2]string{"Authorization", "bearer fedcba9876543210"}, 200, nil},
		{"key: through a proxy", withKey, tcp, "127.0.0.1:5000", "site.example", [2]string{"Authorization", "Bearer " + key}, 200, nil},
		{"key: none", withKey, tcp, "127.0.0.1:5000", "localhost", [2]string{}, 401, nil},
		{"key: none over a socket", withKey, unix, "@", "x", [2]string{}, 401, nil},
		{"key: wrong", withKey, tcp, "127.0.0.1:5000", "localhost", [2]string{"Authorization", "Bearer 0123456789abcdeF"}, 401, nil},
		{"key: half", withKey, tcp, "127.0.0.1:5000", "localhost", [2]string{"Authorization", "Bearer 01234567"}, 401, nil},
		{"key: empty", withKey, tcp, "127.0.0.1:5000", "localhost", [2]string{"Authorization", "Bearer "}, 401, nil},
		{"key: another scheme", withKey, tcp, "127.0.0.1:5000", "localhost", [2]string{"Authorization", "Basic " + key}, 401, nil},
		{"key: a page has it", withKey, tcp, "127.0.0.1:5000", "localhost", [2]string{"Origin", "https://site.example"}, 403, nil},
		{"user: the one", withUser, unix, "@", "x", [2]string{}, 200, peer(1003)},
		{"user: the other, who is root", withUser, unix, "@", "x", [2]string{}, 200, peer(0)},
		{"user: root where he is not named", withBoth, unix, "@", "x", [2]string{}, 403, peer(0)},
		{"user: another", withUser, unix, "@", "x", [2]string{}, 403, peer(1004)},
		{"user: not known", withUser, unix, "@", "x", [2]string{}, 403, nil},
		{"user: a port", withUser, tcp, "127.0.0.1:5000", "localhost", [2]string{}, 403, nil},
		{"user: through a proxy", withUser, unix, "@", "x", [2]string{"X-Forwarded-For", "192.0.2.9"}, 403, peer(1003)},
		{"user: a page", withUser, unix, "@", "x", [2]string{"Origin", "https://evil.example"}, 403, peer(1003)},
		{"user: another says who he is", withUser, unix, "@", "x", [2]string{"Authorization", "Bearer 1003"}, 403, peer(1004)},
		{"user or key: the user", withBoth, unix, "@", "x", [2]string{}, 200, peer(1003)},
		{"user or key: the key, by another", withBoth, unix, "@", "x", [2]string{"Authorization", "Bearer " + key}, 200, peer(1004)},
		{"user or key: the key at a port", withBoth, tcp, "192.0.2.9:5000", "x", [2]string{"Authorization", "Bearer " + key}, 200, nil},
		{"user or key: a wrong key of the user", withBoth, unix, "@", "x", [2]string{"Authorization", "Bearer wrong"}, 401, peer(1003)},
		{"user or key: neither", withBoth, tcp, "127.0.0.1:5000", "localhost", [2]string{}, 403, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/"+unique("peer"), strings.NewReader("x"))
			if c.peer != nil {
				r = r.WithContext(c.peer)
			}
			r.RemoteAddr, r.Host = c.remote, c.host
			if c.header[0] != "" {
				r.Header.Set(c.header[0], c.header[1])
			}
			if c.local != nil {
				r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, c.local))
			}
			w := httptest.NewRecorder()
			if err := c.publish.ServeHTTP(w, r, nil); err != nil {
				t.Fatal(err)
			}
			if w.Code != c.status || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%d %s; want %d", w.Code, w.Body, c.status)
			}
			if (w.Header().Get("WWW-Authenticate") != "") != (w.Code == 401) {
				t.Error("WWW-Authenticate goes with 401")
			}
		})
	}
}

// TestTheDoorIsShutForTheNetwork asks a wildcard listener from an address of
// this machine that is not loopback.
func TestTheDoorIsShutForTheNetwork(t *testing.T) {
	_, port, _ := net.SplitHostPort(freeAddress(t))
	s := start(t, "", "http://:"+port+" {\ncomet_publish\n}\nhttp:// {\nbind unix/SOCKET\ncomet_publish\n}")
	name := unique("door")
	send(plain, "POST", "http://127.0.0.1:"+port+"/"+name, "x").wants(t, 200, name)
	send(overSocket(s.socket), "POST", "http://whatever/"+name, "x").wants(t, 200, name)
	outside := outsideAddress(t)
	for _, host := range []string{"localhost", "127.0.0.1:" + port, outside} {
		send(plain, "POST", "http://"+net.JoinHostPort(outside, port)+"/"+name, "x", "Host", host).
			wants(t, 403, "only programs on this machine may publish here; for others set a key")
	}
}

func outsideAddress(t *testing.T) string {
	t.Helper()
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("CI needs an address beside loopback")
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

// TestWhatIsTooMuchToPublishIsRefused: data that is still arriving, and one event
// for so many channels that nothing else would be kept. Once there is room again,
// it is taken.
func TestWhatIsTooMuchToPublishIsRefused(t *testing.T) {
	const half = 8 << 10
	s := start(t, "comet {\nmax_event 16KiB\nmax_in_flight 64KiB\nmax_history 32KiB\n}", simple)
	h, _ := findHub(defaultHub)
	door, body := "http://"+s.publish+"/", strings.Repeat("z", half+1)
	slow, err := net.Dial("tcp", s.publish)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprintf(slow, "POST /slow HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", s.publish, half+1, body[:half])
	eventually(t, "half of it is there", func() bool { return h.Stats().InFlight == half })

	a := send(plain, "POST", door+"a", body)
	a.wants(t, 503, "too much is being published at once: the limit is 16384 bytes; publish again in a moment, or raise max_in_flight")
	if a.header.Get("Retry-After") != "3" {
		t.Errorf("header %v", a.header)
	}
	send(plain, "POST", door+"a", body[:half]).wants(t, 200, "receivers")
	fmt.Fprint(slow, "z")
	if line, err := bufio.NewReader(slow).ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
		t.Errorf("got %q, %v", line, err)
	}
	send(plain, "POST", door+"a", body).wants(t, 200, "receivers")
	eventually(t, "nothing is on its way", func() bool { return h.Stats().InFlight == 0 })

	send(plain, "POST", door+"a,b,c,d", body[:half]).wants(t, 200, "receivers")
	for _, chunked := range []bool{false, true} {
		var r io.Reader = strings.NewReader(body)
		if chunked {
			r = io.MultiReader(r)
		}
		res, err := plain.Post(door+"a,b,c,d", "text/plain", r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if want := "the body is too large for 4 channels: all that a hub keeps are 32768 bytes (max_history); publish a reference instead"; res.StatusCode != 413 || !strings.Contains(string(b), want) {
			t.Errorf("%d %s", res.StatusCode, b)
		}
	}
}

// TestEachPublisherHasHisRate: who is over it is told when to come back, and nobody
// else hears of it.
func TestEachPublisherHasHisRate(t *testing.T) {
	const one, two = "0123456789abcdef", "fedcba9876543210"
	s := start(t, "", "http://PUBLISH {\nbind 127.0.0.1\ncomet_publish {\nkey "+one+" "+two+"\nrate 1/h burst 3\nmax_event 8\n}\n}")
	name, door := unique("rate"), "http://"+s.publish+"/"
	as := func(key, method, path, body string) answer {
		return send(plain, method, door+path, body, "Authorization", "Bearer "+key)
	}
	before := metric(t, "caddy_comet_denied_total", defaultHub)
	as(one, "POST", name+","+name+"b", "x").wants(t, 200, "receivers")
	a := as(one, "POST", name+","+name+"b", "x")
	a.wants(t, 429, "this publisher publishes faster than its rate; try again in 3600 s, or raise the rate of comet_publish")
	if a.header.Get("Retry-After") != "3600" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	as(one, "GET", name, "").wants(t, 200, `"history":1`)
	as(one, "GET", name, "").wants(t, 429, "try again in 3600 s")
	as("", "POST", name, "x").wants(t, 401, "a key is needed") // whoever has no key has no rate
	a = as(two, "POST", "a,b,c,d", "x")
	a.wants(t, 413, "4 events at one go are more than the rate has room for, which is 3; publish fewer at once, or raise its burst")
	if a.header.Get("Retry-After") != "" {
		t.Error("it will never do")
	}
	as(two, "POST", name, "12345678").wants(t, 200, "receivers")
	as(two, "POST", name, "123456789").wants(t, 413, "the limit is 8 bytes (max_event)")
	if n := metric(t, "caddy_comet_denied_total", defaultHub) - before; n != 4 {
		t.Errorf("%v are counted as denied", n)
	}
}

// TestNothingButAPostPublishes, whatever the request says: what a page can have a
// browser send without asking is a GET, or says whence it comes.
func TestNothingButAPostPublishes(t *testing.T) {
	s := start(t, "", simple)
	door := "http://" + s.publish + "/"
	for _, path := range []string{"NAME", "NAME?data=x", "NAME?publish=x", "publish?channel=NAME&data=x", "NAME?_method=POST", "NAME?since=", "NAME/"} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "POSTS", "post"} {
			name := unique("get")
			a := send(plain, method, door+strings.ReplaceAll(path, "NAME", name), "", "X-HTTP-Method-Override", "POST")
			if a.err != nil || a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s: %d %v %v", method, path, a.status, a.header, a.err)
			}
			get(door+name).wants(t, 404, "there is no channel")
		}
	}
	for _, contentType := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		name := unique("form")
		send(plain, "POST", door+name, "a=b", "Content-Type", contentType, "Origin", "https://evil.example").wants(t, 403, "browsers may not publish here (Origin is set)")
		send(plain, "POST", door+name, "a=b", "Content-Type", contentType, "Origin", "null").wants(t, 403, "browsers may not publish here")
		send(plain, "POST", door+name, "a=b", "Content-Type", contentType, "Sec-Fetch-Site", "same-site").wants(t, 403, "browsers may not publish here (Sec-Fetch-Site is set)")
		get(door+name).wants(t, 404, "there is no channel")
	}
}
