package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

// TestStreamsAreJudgedByTheirTimes and by nothing else.
func TestStreamsAreJudgedByTheirTimes(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time {
		if ms < 0 {
			return time.Time{}
		}
		return start.Add(time.Duration(ms) * time.Millisecond)
	}
	for _, c := range []struct {
		name    string
		got     [beats]int // ms after the start; -1 never
		verdict Verdict
		seen    string
	}{
		{"at once", [beats]int{1, 201, 402, 601, 801}, OK, "one by one, 1ms to 2ms"},
		{"far away", [beats]int{900, 1100, 1300, 1520, 1700}, OK, "one by one"},
		{"at the end", [beats]int{1400, 1400, 1400, 1400, 1401}, Fail, "all came within 1ms, 1.4s after the first was published"},
		{"with the last one", [beats]int{801, 801, 801, 802, 802}, Fail, "all came within"},
		{"never", [beats]int{-1, -1, -1, -1, -1}, Fail, "none came"},
		{"in part", [beats]int{1, 201, -1, -1, -1}, Fail, "only 2 came"},
		{"the last lost", [beats]int{-1, -1, -1, -1, 801}, Fail, "only 1 came"},
		{"in bunches", [beats]int{601, 601, 601, 602, 1401}, Warn, "an event took 601ms on the way, though another took only 2ms"},
	} {
		var seen [beats]beat
		for i := range seen {
			seen[i] = beat{at(200 * i), at(c.got[i])}
		}
		finds(t, []Finding{judge(seen[:], " by nginx", "proxy_buffering off;")}, c.verdict, c.seen, map[bool]string{true: "", false: "proxy_buffering off;"}[c.verdict == OK])
	}
}

// TestProxiesAreKnownByWhatTheySay of themselves.
func TestProxiesAreKnownByWhatTheySay(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"Server", "nginx/1.22.1", "nginx"}, {"Server", "Apache/2.4", "Apache"}, {"Server", "cloudflare", "Cloudflare"}, {"X-Varnish", "32770", "Varnish"},
		{"Via", "1.1 varnish (Varnish/7.1)", "Varnish"}, {"Server", "Caddy", ""}, {"Server", "gws", "a proxy that calls itself gws"}, {"Date", "", ""},
	} {
		name, ok := known(http.Header{c.name: {c.value}})
		if ok != (c.want != "") || ok && name != c.want {
			t.Errorf("%s: %s is %q %v, want %q", c.name, c.value, name, ok, c.want)
		}
	}
}

// TestWhatPHPSeesIsToldFromTheArrival.
func TestWhatPHPSeesIsToldFromTheArrival(t *testing.T) {
	fpm, told := Site{Hubs: []string{"h"}}, Site{Hubs: []string{"h"}, Env: map[string]string{"REMOTE_ADDR": "{http.vars.client_ip}", "HTTPS": "{https}"}}
	apache := Site{Hubs: []string{"h"}, Proxy: true, Dial: []string{"127.0.0.1:8080"}}
	direct := Arrival{Hub: "h", Peer: "203.0.113.9", Client: "203.0.113.9", TLS: true, Host: "example.com"}
	behind := Arrival{Hub: "h", Peer: "10.0.0.1", Client: "10.0.0.1", ForwardedFor: "203.0.113.9", ForwardedProto: "https", Host: "example.com"}
	trusted, silent, renamed := behind, behind, direct
	trusted.Client = "203.0.113.9"
	silent.ForwardedFor, silent.ForwardedProto = "", ""
	renamed.Host = "backend:8080"
	near := Arrival{Hub: "h", Peer: "127.0.0.1", Client: "127.0.0.1", ForwardedFor: "127.0.0.1", Host: "example.com"}
	ported, usual := direct, direct
	ported.Host, usual.Host = "example.com:8080", "Example.com:443"
	socket := behind
	socket.Peer, socket.Client = "@", ""
	for _, c := range []struct {
		name    string
		arrival Arrival
		site    *Site
		server  string
		verdict Verdict
		seen    string
		cure    string
		told    *Arrival
	}{
		{"direct", direct, &fpm, "Caddy", OK, "the visitor's address, 203.0.113.9", "", nil},
		{"direct", direct, &fpm, "Caddy", OK, "visitors have https, and so does PHP", "", nil},
		{"a proxy that is not believed", behind, &fpm, "nginx", Warn, "PHP sees the address 10.0.0.1 for every visitor", "trusted_proxies static 10.0.0.1 }", nil},
		{"a proxy that is not believed", behind, &fpm, "nginx", Warn, "PHP sees http, and visitors have https", "env HTTPS {https}", nil},
		{"a socket that is not believed", socket, &fpm, "nginx", Warn, "PHP sees the address the Unix socket", "trusted_proxies_unix", nil},
		{"a proxy that is believed, and PHP not told", trusted, &fpm, "nginx", Warn, "PHP sees the address 10.0.0.1", "env REMOTE_ADDR {client_ip}", nil},
		{"a proxy that is believed, and PHP told", trusted, &told, "nginx", OK, "203.0.113.9, and not the proxy's", "", nil},
		{"a proxy that is believed, and PHP told", trusted, &told, "nginx", OK, "visitors have https, and so does PHP", "", nil},
		{"a proxy that says nothing", silent, &told, "nginx", Warn, "the proxy at 10.0.0.1 (nginx) does not say who", "X-Forwarded-For", nil},
		{"a proxy that says nothing", silent, &told, "nginx", Warn, "PHP sees http", "X-Forwarded-Proto $scheme", nil},
		{"Apache behind", direct, &apache, "Caddy", Unknown, "whether PHP there sees it is not known", "RemoteIPHeader", nil},
		{"nothing behind", direct, nil, "Caddy", Unknown, "no PHP stands behind", "", nil},
		{"another port", ported, &fpm, "nginx", Warn, "PHP sees the host example.com:8080", "proxy_set_header Host", nil},
		{"the usual port", usual, &fpm, "Caddy", OK, "as visitors have it", "", nil},
		{"another name", renamed, &fpm, "nginx", Warn, "PHP sees the host backend:8080, and visitors have example.com", "proxy_set_header Host", nil},
		{"the proxy's own address, which it adds", near, &told, "nginx", OK, "127.0.0.1, and not the proxy's", "", &Arrival{Client: somewhere, ForwardedFor: somewhere + ", 127.0.0.1"}},
		{"the proxy's own address, which it does not believe", near, &told, "nginx", Warn, "PHP sees the address 127.0.0.1", "trusted_proxies static 127.0.0.1", &Arrival{Client: "127.0.0.1", ForwardedFor: somewhere + ", 127.0.0.1"}},
		{"the proxy's own address, and nothing else", near, &told, "nginx", Unknown, "have the same address, 127.0.0.1", "from another machine", &Arrival{Client: "127.0.0.1", ForwardedFor: "127.0.0.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			setup := new(Setup)
			if c.site != nil {
				setup.Sites = []Site{*c.site}
			}
			o := &Outside{URL: &url.URL{Scheme: "https", Host: "example.com"}, Setup: setup, header: http.Header{"Server": {c.server}}}
			finds(t, o.Seen(&c.arrival, c.told), c.verdict, c.seen, c.cure)
		})
	}
}

// TestSessionsAreJudged by how long a page takes alone and twice.
func TestSessionsAreJudged(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		alone, ofOne, ofTwo time.Duration
		verdict             Verdict
		seen                string
	}{
		{200 * ms, 210 * ms, 205 * ms, OK, "do not wait for each other"},
		{200 * ms, 400 * ms, 210 * ms, Warn, "two requests of one visitor to /a.php wait for each other: one took 200ms, together they took 400ms"},
		{200 * ms, 400 * ms, 400 * ms, Warn, "whoever sends them"},
		{20 * ms, 40 * ms, 20 * ms, Unknown, "too quick"},
	} {
		finds(t, []Finding{judgeSession("/a.php", c.alone, c.ofOne, c.ofTwo)}, c.verdict, c.seen, "")
	}
}

// TestThePathOfALineIsFound for an address that has none.
func TestThePathOfALineIsFound(t *testing.T) {
	setup := &Setup{Lines: []Line{
		{Dialect: "native", Paths: []string{"/any/*"}},
		{Dialect: "novcomet", Hosts: []string{"shop.example:8080"}, Paths: []string{"/comet.php*"}},
		{Dialect: "native", Hosts: []string{"*.forum.example"}, Paths: []string{"/live/*", "/more/*"}},
		{Dialect: "native", Hosts: []string{"everything.example"}},
	}}
	for site, want := range map[string]string{
		"https://shop.example": "/comet.php", "https://shop.example/own/": "/own/", "https://a.forum.example/": "/live/doctor",
		"https://else.example": "/any/doctor", "example.com/comet/x?token=1": "/comet/x",
	} {
		u, bad := ParseURL(site)
		if bad != nil {
			t.Fatal(bad)
		}
		if Aim(u, setup); u.Path != want {
			t.Errorf("%s: %s, want %s", site, u.Path, want)
		}
	}
	u, _ := ParseURL("https://else.example")
	if Aim(u, nil); u.Path != "/comet/doctor" {
		t.Errorf("without a configuration: %s", u.Path)
	}
	for _, site := range []string{"", "ftp://a", "http://", "https://user:secret@a", "https://a b", "http://[::1"} {
		if _, bad := ParseURL(site); bad == nil {
			t.Errorf("%q is an address", site)
		}
	}
}

// TestErrorsAreExplained that a test cannot have happen as they do.
func TestErrorsAreExplained(t *testing.T) {
	u := &url.URL{Scheme: "https", Host: "shop.example"}
	cert := &x509.Certificate{DNSNames: []string{"other.example", "www.other.example"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(86400, 0)}
	for _, c := range []struct {
		err        error
		seen, cure string
	}{
		{fmt.Errorf("get: %w", x509.HostnameError{Certificate: cert, Host: "shop.example"}), "the certificate at shop.example is for other.example, www.other.example", "shop.example {"},
		{fmt.Errorf("get: %w", x509.CertificateInvalidError{Cert: cert, Reason: x509.Expired}), "is good from 1970-01-01 to 1970-01-02", "date; "},
		{context.DeadlineExceeded, "https://shop.example gives no answer within 10s", "curl"},
		{fmt.Errorf("read: connection reset by peer"), "the request to https://shop.example failed: connection reset by peer", "curl"},
	} {
		finds(t, []Finding{explain(c.err, u)}, Fail, c.seen, c.cure)
	}
}

// TestSilenceIsBounded by what cuts it, or not.
func TestSilenceIsBounded(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "nginx")
		w.WriteHeader(http.StatusGatewayTimeout)
	}))
	defer site.Close()
	u, _ := url.Parse(site.URL)
	o := &Outside{URL: u, Client: site.Client(), Facts: &Facts{Hubs: []Hub{{Name: "h", Hold: 50 * time.Second, Heartbeat: 20 * time.Second}}}, Wait: time.Second}
	finds(t, []Finding{o.Silence("h")}, Fail, "(504 Gateway Timeout), and polls are silent for up to 1m0s", "proxy_read_timeout 5m;")
	finds(t, []Finding{silent(time.Minute, 30*time.Second, "")}, OK, "silent for 1m0s was not cut", "")
	finds(t, []Finding{silent(5*time.Second, 30*time.Second, "http://a")}, Unknown, "silent for 5s", "--wait 35s http://a")
	if got := shorter(60 * time.Second); got != "40s" {
		t.Errorf("a hold below 60s: %s", got)
	}
}

// TestTheStatusOfWorkersIsRead from what php-fpm says.
func TestTheStatusOfWorkersIsRead(t *testing.T) {
	body := ""
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "json" {
			fmt.Fprint(w, body)
		}
	}))
	defer site.Close()
	for _, c := range []struct {
		body    string
		verdict Verdict
		seen    string
	}{
		{`{"pool":"www","listen queue":0,"idle processes":3,"active processes":1,"total processes":4,"max children reached":0}`, OK, "has 4 workers, 1 at work and 3 idle"},
		{`{"pool":"www","listen queue":7,"idle processes":0,"active processes":5,"total processes":5,"max children reached":1}`, Warn, "all 5 workers of the pool www are busy, and 7 requests wait"},
		{`{"pool":"www","idle processes":1,"total processes":2,"max children reached":9}`, Warn, "has reached its pm.max_children 9 times"},
		{`<html>`, Unknown, "what is there is not php-fpm's status"}, {`{}`, Unknown, "is not php-fpm's status"},
	} {
		body = c.body
		finds(t, Status(site.URL), c.verdict, c.seen, "")
	}
	finds(t, Status("/status"), Unknown, "its address begins with http:// or https://", "")
}
