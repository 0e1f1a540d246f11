package caddymodule

import (
	"crypto/tls"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestWhereParkingWouldChangeTheAnswerItDoesNotPark, and elsewhere it does: under
// each dressing, in clear text, over TLS and on a Unix socket, polls and streams.
func TestWhereParkingWouldChangeTheAnswerItDoesNotPark(t *testing.T) {
	hub := unique("where")
	s := start(t, overTLS+"metrics\ncomet {\nhub "+hub+"\nhub "+hub+"full\n}", everywhere(dressed(hub)))
	s.waitForTLS()
	for _, d := range dressings {
		for _, network := range networks {
			t.Run(d.name+" "+network, func(t *testing.T) {
				name := unique("ch")
				poll, stream := s.dial(network), s.dial(network)
				poll.asks("/"+d.name+"/n/"+name, d.asks...)
				stream.asks("/"+d.name+"/n/"+name+"?as=sse", d.asks...)
				held(t, hub, name, 2)
				want := 0
				if d.parks {
					want = 2
				}
				parks(t, hub, 2, want)
				publishes(t, hub, event(name, "here"))
				for _, r := range []reply{poll.hears().wants(t, "200", `"here"`), stream.hearsUntil("data: here\n").wants(t, "200", "id: ")} {
					if d.has != "" && !strings.Contains(r.String(), "\n"+d.has+"\n") {
						t.Errorf("no %q in %s", d.has, shortened(r.String()))
					}
				}
				poll.c.Close()
				stream.c.Close()
				parks(t, hub, 0, 0)
			})
		}
	}
}

// TestWhatServersParkAndWhatNot by their settings and their protocols.
func TestWhatServersParkAndWhatNot(t *testing.T) {
	hub := unique("servers")
	site := "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub " + hub + "\n}\nrespond \"the site\"\n}"
	globals := "comet {\nhub " + hub + "\n}\n"
	host := "Host: 127.0.0.1\r\n"
	for _, c := range []struct {
		name, globals, site, request string
		parks                        bool
	}{
		{name: "as it is", parks: true},
		{name: "h1 only", globals: "servers {\nprotocols h1\n}\n", parks: true},
		{name: "h1 and h2c", globals: "servers {\nprotocols h1 h2c\n}\n", parks: true},
		{name: "timeouts", globals: "servers {\ntimeouts {\nread_body 5s\nread_header 5s\nidle 5s\n}\n}\n", parks: true},
		{name: "logged", site: strings.Replace(site, "bind", "log {\noutput discard\n}\nbind", 1), parks: true},
		{name: "two addresses", site: strings.Replace(site, "127.0.0.1", "127.0.0.1 ::1", 1), parks: true},
		{name: "every address", site: strings.Replace(strings.Replace(site, "SITE", ":PORT", 1), "bind 127.0.0.1", "", 1), parks: true},
		{name: "listener wrappers", globals: "servers {\nlistener_wrappers {\nproxy_protocol {\nallow 10.0.0.0/8\n}\n}\n}\n"},
		{name: "off", globals: "OFF"},
		{name: "HTTP/1.0", request: "GET /comet/NAME HTTP/1.0\r\n" + host + "\r\n"},
		{name: "HTTP/1.0 with keep-alive", request: "GET /comet/NAME HTTP/1.0\r\n" + host + "Connection: keep-alive\r\n\r\n"},
		{name: "a body", request: "GET /comet/NAME HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nhi"},
		{name: "a body in chunks", request: "GET /comet/NAME HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
		{name: "an empty body", request: "GET /comet/NAME HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", parks: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			if c.name == "every address" {
				s.everywhere()
			}
			all := globals + c.globals
			if c.globals == "OFF" {
				all = strings.Replace(globals, "comet {", "comet {\npark off", 1)
			}
			s.reload(all, or(c.site, site))
			name := unique("ch")
			w := connect(t, "tcp", s.site)
			w.say(strings.ReplaceAll(or(c.request, request("/comet/NAME")), "NAME", name))
			held(t, hub, name, 1)
			want := 0
			if c.parks {
				want = 1
			}
			parks(t, hub, 1, want)
			publishes(t, hub, event(name, "here"))
			if strings.Contains(c.request, "HTTP/1.0") {
				r, err := w.head()
				if err != nil || !strings.Contains(r.status, " 200 ") {
					t.Errorf("got %s %v", r, err)
				}
			} else {
				w.hears().wants(t, "200", `"here"`)
				w.asks("/")
				w.hears().wants(t, "200", "the site")
			}
			parks(t, hub, 0, 0)
		})
	}
}

// TestHTTP2DoesNotPark in clear text nor over TLS.
func TestHTTP2DoesNotPark(t *testing.T) {
	hub := unique("two")
	s := start(t, overTLS+"servers {\nprotocols h1 h2 h2c\n}\ncomet {\nhub "+hub+"\nhub "+hub+"full\n}", everywhere(dressed(hub)))
	for scheme, base := range map[string]string{"h2c": "http://" + s.site, "h2": "https://localhost:" + s.tlsPort} {
		client := h2Client(scheme == "h2c")
		defer client.CloseIdleConnections()
		if scheme == "h2" {
			s.waitForTLS()
		}
		name, got := unique("ch"), make(chan answer, 1)
		go func() { got <- send(client, "GET", base+"/bare/n/"+name, "") }()
		held(t, hub, name, 1)
		parks(t, hub, 1, 0)
		publishes(t, hub, event(name, "here"))
		receive(t, got).wants(t, 200, `"here"`)
		parks(t, hub, 0, 0)
	}
}

// TestAParkedStreamOutlivesDeadlinesOfItsHandlers: the directive timeouts takes
// its own back when its handler returns, which it has by then, and with that sets
// the server's once more.
func TestAParkedStreamOutlivesDeadlinesOfItsHandlers(t *testing.T) {
	hub := unique("deadlines")
	s := newServer(t)
	config := string(s.adapt(overTLS+"comet {\nhub "+hub+"\nhub "+hub+"full\n}", strings.Replace(everywhere(dressed(hub)), "handle /bare/* {", "handle /bare/* {\ntimeouts {\nwrite_timeout 20s\n}", 1)))
	const idle = 500 * time.Millisecond
	if err := loadJSON(strings.ReplaceAll(config, `"listen":[`, `"write_idle_timeout":"`+idle.String()+`","listen":[`)); err != nil {
		t.Fatal(err)
	}
	s.waitForTLS()
	for _, network := range networks {
		name := unique("ch")
		w := s.dial(network)
		w.asks("/bare/n/" + name + "?as=sse")
		parks(t, hub, 1, 1)
		time.Sleep(idle + idle/5) // the time that must not matter
		publishes(t, hub, event(name, "late"))
		w.hearsUntil("data: late\n").wants(t, "200", "id: ")
		w.c.Close()
		parks(t, hub, 0, 0)
	}
}

// TestParkedConnectionsCostNoGoroutine, whatever protocols the server speaks.
func TestParkedConnectionsCostNoGoroutine(t *testing.T) {
	for _, protocols := range []string{"h1", "h1 h2", "h1 h2c"} {
		hub := unique("cost")
		s := start(t, overTLS+"servers {\nprotocols "+protocols+"\n}\ncomet {\nhub "+hub+"\n}", threeServers(hub, "page"))
		s.waitForHandshakes()
		before := runtime.NumGoroutine()
		const n = 30
		for i := range n {
			s.dial(networks[i%3]).asks("/n/a")
		}
		parks(t, hub, n, n)
		eventually(t, protocols+": as many goroutines as before", func() bool { return runtime.NumGoroutine() < before+n/3 })
	}
}

// waitForHandshakes until Caddy has made its certificate, in any protocol.
func (s *server) waitForHandshakes() {
	s.t.Helper()
	eventually(s.t, "Caddy has made its certificate", func() bool {
		c, err := tls.Dial("tcp", "127.0.0.1:"+s.tlsPort, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}
