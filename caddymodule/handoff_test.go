package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// handed is a site behind comet_backend { hold }, in a hub of its own.
func handed(t *testing.T, globals string, site http.HandlerFunc) (s *server, hub string) {
	t.Helper()
	hub = unique("handed")
	return start(t, globals+"comet {\nhub "+hub+"\n}", handedSite(hub, behind(t, site))), hub
}

func handedSite(hub, address string) string {
	return `
http://SITE {
	bind 127.0.0.1
	comet /comet/* {
		hub ` + hub + `
	}
	comet_backend {
		hold
		hub ` + hub + `
	}
	handle /other {
		respond "elsewhere"
	}
	handle {
		reverse_proxy ` + address + `
	}
}
http:// {
	bind unix/SOCKET
	comet_publish ` + hub + `
}
`
}

// posts publishes on the socket.
func (s *server) posts(path, body string, header ...string) answer {
	s.t.Helper()
	return send(overSocket(s.socket), "POST", "http://localhost"+path, body, header...)
}

// says is a site that answers with these headers and its own body.
func says(body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		_, _ = io.WriteString(w, body)
	}
}

// getting begins a request.
func (s *server) getting(path string, header ...string) <-chan answer {
	c := make(chan answer, 1)
	go func() { c <- get("http://"+s.site+path, header...) }()
	return c
}

// TestTheEventIsTheAnswer of a request that the site hands over, parked or not, in
// either language, with the site's headers below the event's.
func TestTheEventIsTheAnswer(t *testing.T) {
	for name, prefix := range map[string]string{"Comet": "Comet-", "GRIP": "Grip-"} {
		for _, parked := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s parked %v", name, parked), func(t *testing.T) {
				s, hub := handed(t, "", says("nothing new", prefix+"Hold", "response", prefix+"Channel", "orders, b", "X-Site", "kept", "ETag", `"1"`, "Content-Type", "text/x-own"))
				c := s.dial("tcp")
				lines := []string{}
				n := 1
				if !parked {
					lines, n = []string{"Content-Length: 2"}, 0
				}
				c.asks("/page", lines...)
				if !parked {
					c.say("ab")
				}
				parks(t, hub, 1, n)
				s.posts("/orders", "tea", "Content-Type", "text/plain").wants(t, 200, "receivers")
				a := c.hears().wants(t, "200", "tea")
				if a.body != "tea" || a.value("X-Site") != "kept" || a.value("Etag") != "" || a.value("Content-Type") != "text/plain" || a.value("Comet-Cursor") == "" {
					t.Errorf("got %s", a)
				}
				parks(t, hub, 0, 0)
				c.asks("/other")
				c.hears().wants(t, "200", "elsewhere")
			})
		}
	}
}

// TestTheSiteAnswersWhenTimeIsOver with what it had said, and its status.
func TestTheSiteAnswersWhenTimeIsOver(t *testing.T) {
	s, hub := handed(t, "", says("", "Grip-Hold", "response", "Grip-Channel", "orders", "Grip-Timeout", "1", "Grip-Status", "304", "ETag", `"17"`))
	c := s.dial("tcp")
	c.asks("/page")
	parks(t, hub, 1, 1)
	a, err := c.head()
	if err != nil || a.status != "HTTP/1.1 304 Not Modified" || a.value("Etag") != `"17"` || a.value("Content-Length") != "" || a.value("Grip-Hold") != "" || a.value("Comet-Cursor") == "" {
		t.Errorf("got %s %v", a, err)
	}
	c.asks("/other")
	c.hears().wants(t, "200", "elsewhere")
}

// TestTheSiteIsAskedAgain when something happens, through all its routes, with all that
// the client sent, and its answer is the client's.
func TestTheSiteIsAskedAgain(t *testing.T) {
	for name, c := range map[string]struct{ first, body string }{
		"parked":                  {"GET /page?a=%2F HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: s=1\r\nGrip-Last: forged\r\n\r\n", ""},
		"parked, the last one":    {"GET /page?a=%2F HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: s=1\r\nConnection: close\r\n\r\n", ""},
		"in its goroutine":        {"POST /page?a=%2F HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: s=1\r\nContent-Length: 4\r\n\r\nbody", "body"},
		"a body that comes later": {"POST /page?a=%2F HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: s=1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", "body"},
	} {
		t.Run(name, func(t *testing.T) {
			var state atomic.Value
			var asks atomic.Int32
			state.Store("")
			s, hub := handed(t, "", func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				asks.Add(1)
				if state.Load() == "" {
					w.Header().Set("Comet-Hold", "retry")
					w.Header().Set("Comet-Channel", "orders")
					w.Header().Set("Set-Cookie", "first=1")
				}
				fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", r.Host, " ", r.Header.Get("Cookie"), " ", r.Header.Get("Grip-Last"), string(body), state.Load())
			})
			w := s.dial("tcp")
			w.say(c.first)
			parks(t, hub, 1, map[bool]int{true: 1}[c.body == ""])
			publishes(t, hub, event("orders", "")) // of no use to the site
			eventually(t, "the site is asked again", func() bool { return asks.Load() == 2 })
			parks(t, hub, 1, map[bool]int{true: 1}[c.body == ""])
			state.Store("new")
			publishes(t, hub, event("orders", "x"))
			method, _, _ := strings.Cut(c.first, " ")
			a := w.hears().wants(t, "200", "")
			if want := method + " /page?a=%2F 127.0.0.1 s=1 " + c.body + "new"; a.body != want || a.value("Set-Cookie") != "" || a.value("Comet-Hold") != "" {
				t.Errorf("got %s, want %q", a, want)
			}
			parks(t, hub, 0, 0)
		})
	}
}
