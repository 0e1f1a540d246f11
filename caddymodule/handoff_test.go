package caddymodule

import (
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/bcrypt"
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
		publish
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
			if n, all := metric(t, "caddy_comet_asks_total", hub, askAgain, askAnswered), metric(t, "caddy_comet_asks_total", hub); n != 2 || all != 2 {
				t.Errorf("that it was asked again is counted %v times, with all else %v", n, all)
			}
		})
	}
}

// TestAStreamGoesOn behind what the site has said, of any size, with a sign of life, and
// ends where its time or a gap says so.
func TestAStreamGoesOn(t *testing.T) {
	large := strings.Repeat("0123456789", 15_000)
	s, hub := handed(t, "", func(w http.ResponseWriter, r *http.Request) {
		body := "open\n"
		if r.URL.Path == "/large" {
			body = large
		}
		says(body, "Comet-Hold", "stream", "Comet-Channel", "a", "Comet-Keep-Alive", `beat\n; format=cstring; timeout=1`, "Content-Type", "text/event-stream", "Content-Length", fmt.Sprint(len(body)))(w, r)
	})
	for _, path := range []string{"/small", "/large"} {
		c := s.dial("tcp")
		c.asks(path)
		parks(t, hub, 1, 1)
		publishes(t, hub, event("a", "first\n"))
		r := c.hearsUntil("first\nbeat\n")
		if !strings.HasPrefix(r.body, map[bool]string{true: large, false: "open\n"}[path == "/large"]) || r.value("Cache-Control") != "no-store, no-transform" || r.value("Content-Type") != "text/event-stream" {
			t.Errorf("%s: %s", path, shortened(r.String()))
		}
		s.posts("/publish/", `{"items":[{"channel":"a","formats":{"http-stream":{"action":"close"}}}]}`).wants(t, 200, "")
		if err := c.more(&r, ""); err != nil {
			t.Error(err)
		}
		parks(t, hub, 0, 0)
	}
}

// TestTheSiteSaysHowAStreamGoesOn by its links: after a hint and after some time without
// an event. It learns what the client has, and nobody else is asked.
func TestTheSiteSaysHowAStreamGoesOn(t *testing.T) {
	var lasts atomic.Value
	s, hub := handed(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/dir/stream":
			says("open\n", "Grip-Hold", "stream", "Grip-Channel", "a; prev-id=1", "Grip-Link", "<next?after=1>; rel=next; timeout=100")(w, r)
		case "/dir/next":
			lasts.Store(r.Header.Get("Grip-Last") + " " + r.Header.Get("Cookie"))
			says("next\n", "Grip-Hold", "stream", "Grip-Channel", "a; prev-id=9", "Grip-Link", "</last>; rel=next; timeout=1")(w, r)
		case "/last":
			says("last\n")(w, r)
		case "/elsewhere":
			says("open\n", "Grip-Hold", "stream", "Grip-Channel", "a", "Grip-Link", "<http://127.0.0.2/>; rel=next; timeout=1")(w, r)
		}
	})
	c := s.dial("tcp")
	c.asks("/dir/stream", "Cookie: mine")
	parks(t, hub, 1, 0)
	s.posts("/publish/", `{"items":[{"channel":"a","id":"2","http-stream":{"content":"two\n"}},{"channel":"a","http-stream":{"action":"hint"}}]}`).wants(t, 200, "")
	r := c.hears()
	if r.body != "open\ntwo\nnext\nlast\n" || lasts.Load() != "a; last-id=2 mine" {
		t.Errorf("got %s, and the site heard %v", r, lasts.Load())
	}
	if n, all := metric(t, "caddy_comet_asks_total", hub, askLink, askAnswered), metric(t, "caddy_comet_asks_total", hub); n != 2 || all != 2 {
		t.Errorf("the links are counted %v times, with all else %v", n, all)
	}
	d := s.dial("tcp")
	d.asks("/elsewhere")
	if r, err := d.until(""); err == nil || r.body != "open\n" || !strings.Contains(s.logs(), "leads to another host") {
		t.Errorf("got %s %v\n%s", r, err, s.logs())
	}
}

// TestNothingIsLostBetweenTheSitesReadAndTheHold: what happens while the site works, or
// since the position or the ID that it names.
func TestNothingIsLostBetweenTheSitesReadAndTheHold(t *testing.T) {
	var s *server
	var name, since string
	var asks atomic.Int32
	s, _ = handed(t, "", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/meanwhile":
			s.posts("/"+name, "meanwhile").wants(t, 200, "")
			says("own", "Comet-Hold", "response", "Comet-Channel", name)(w, r)
		case "/since":
			says("own", "Comet-Hold", "response", "Comet-Channel", "none, "+name, "Comet-Since", since)(w, r)
		case "/each":
			says("own", "Comet-Hold", "response", "Comet-Channel", name+"; since="+since+", none")(w, r)
		case "/prev":
			says("own", "Grip-Hold", "response", "Grip-Channel", name+"; prev-id=2")(w, r)
		case "/lost":
			if asks.Add(1) > 1 {
				says("asked with "+r.Header.Get("Grip-Last"))(w, r)
				return
			}
			says("own", "Grip-Hold", "response", "Grip-Channel", name+`; prev-id="0"`)(w, r)
		case "/own":
			says("own", "Comet-Hold", "response", "Comet-Channel", name, "Comet-Since", since, "Comet-Timeout", "1")(w, r)
		}
	})
	name = unique("race")
	get("http://"+s.site+"/meanwhile").wants(t, 200, "meanwhile")
	s.posts("/"+name, "one", "Comet-Id", "1")
	a := s.posts("/"+name, "two", "Comet-Id", "2")
	since = regexpCursor.FindString(a.body)
	s.posts("/"+name, "three", "Comet-Id", "3")
	s.posts("/"+name, "four", "Comet-Id", "4")
	for _, path := range []string{"/since", "/each", "/prev"} {
		get("http://"+s.site+path).wants(t, 200, "three")
	}
	get("http://"+s.site+"/lost").wants(t, 200, "asked with "+name+"; last-id=0")
	b := get("http://" + s.site + "/since")
	since = b.header.Get("Comet-Cursor")
	get("http://"+s.site+"/since").wants(t, 200, "four")
	since = get("http://" + s.site + "/comet/" + name + "?since=").poll(t).Cursor
	b = get("http://" + s.site + "/own")
	b.wants(t, 200, "own")
	if b.header.Get("Comet-Cursor") != since {
		t.Errorf("the cursor %q, want %s", b.header.Get("Comet-Cursor"), since)
	}
}

var regexpCursor = regexp.MustCompile(`[a-z0-9]+\.[0-9]+`)

// TestAKickFindsWhatIsHandedOver by its channel, also while the site is still being
// asked, and by the user whom Caddy has let in.
func TestAKickFindsWhatIsHandedOver(t *testing.T) {
	asked, goOn := make(chan bool), make(chan bool)
	s, hub := handed(t, "", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("slow") {
			asked <- true
			<-goOn
		}
		says("own", "Comet-Hold", r.URL.Query().Get("hold"), "Comet-Channel", "news, user-7", "Comet-User", r.URL.Query().Get("user"))(w, r)
	})
	kick := func(query string, ended int) {
		t.Helper()
		send(overSocket(s.socket), "DELETE", "http://localhost/_holds?"+query, "").wants(t, 200, fmt.Sprintf(`"ended":%d`, ended))
	}
	for _, mode := range []string{"response", "stream"} {
		waits := s.getting("/?hold=" + mode)
		held(t, hub, "user-7", 1)
		kick("channel=user-7", 1)
		receive(t, waits).wants(t, 200, "own")
		waits = s.getting("/?user=7&hold=" + mode)
		held(t, hub, "user-7", 1)
		kick("user=8", 0)
		kick("user=7", 1)
		a := receive(t, waits)
		a.wants(t, 200, "own")
		if told := a.header.Get("Comet-User"); told != "" {
			t.Errorf("the visitor is told that he is %q", told)
		}
		slow := s.getting("/?slow=1&hold=" + mode)
		<-asked
		kick("channel=user-7", 0)
		goOn <- true
		receive(t, slow).wants(t, 503, "taken back")
	}
	password, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	site := behind(t, says("own", "Comet-Hold", "response", "Comet-Channel", "news"))
	s.reload("comet {\nhub "+hub+"\n}", strings.Replace(handedSite(hub, site), "bind 127.0.0.1", "bind 127.0.0.1\nbasic_auth {\nanna "+string(password)+"\n}", 1))
	waits := s.getting("/", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("anna:secret")))
	held(t, hub, "news", 1)
	kick("user=bert", 0)
	kick("user=anna", 1)
	receive(t, waits).wants(t, 200, "own")
}

// TestNobodyElseInstructs: neither can a client, nor does it see how the site does.
func TestNobodyElseInstructs(t *testing.T) {
	s, _ := handed(t, "", func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			w.Header()[name] = values
		}
		w.Header().Set("Trailer", "Grip-Hold")
		w.WriteHeader(200)
		w.Header().Set("Grip-Hold", "stream")
		w.Header().Set(http.TrailerPrefix+"Comet-Hold", "stream")
	})
	a := get("http://"+s.site+"/", "Comet-Hold", "response", "Grip-Hold", "response", "Grip-Channel", "a", "comet-channel", "a", "Grip-Sig", "x", "Comet-Status", "500", "X-Mine", "kept")
	a.wants(t, 200, "")
	for name := range a.header {
		if strings.HasPrefix(name, "Grip-") || strings.HasPrefix(name, "Comet-") {
			t.Errorf("the client sees %s", name)
		}
	}
	if a.header.Get("X-Mine") != "kept" {
		t.Errorf("got %v", a.header)
	}
}

// TestWhatIsNoInstructionIsTheSitesMistake, told in its log and not to the visitor.
func TestWhatIsNoInstructionIsTheSitesMistake(t *testing.T) {
	const hold, channel = "Comet-Hold", "Comet-Channel"
	var header []string
	var body string
	s, _ := handed(t, "", func(w http.ResponseWriter, r *http.Request) { says(body, header...)(w, r) })
	const instructs = "application/grip-instruct"
	for _, c := range []struct {
		want, body string
		header     []string
	}{
		{"response, stream or retry", "", []string{hold, "forever", channel, "a"}},
		{"it is sent twice", "", []string{hold, "response", hold, "response", channel, "a"}},
		{"mean the same; send one of them", "", []string{hold, "response", "Grip-Hold", "response", channel, "a"}},
		{"no channel is named", "", []string{hold, "response"}},
		{"but not how to hold", "", []string{channel, "a"}},
		{"named twice", "", []string{hold, "response", channel, "a, a"}},
		{"more than 100 channels", "", []string{hold, "response", channel, numbered("c%d,", 101)}},
		{"there are no filters here", "", []string{hold, "stream", "Grip-Channel", "a; filter=skip-self"}},
		{"a parameter is not known", "", []string{hold, "response", channel, "a; sinse=1"}},
		{"a cursor is what", "", []string{hold, "response", channel, "a; since=x"}},
		{"quotes are not closed", "", []string{hold, "response", channel, `a; prev-id="x`}},
		{"whole seconds", "", []string{hold, "response", channel, "a", "Comet-Timeout", "soon"}},
		{"a stream has no Timeout", "", []string{hold, "stream", channel, "a", "Comet-Timeout", "5"}},
		{"are for streams", "", []string{hold, "response", channel, "a", "Comet-Keep-Alive", "x"}},
		{"is for streams", "", []string{hold, "response", channel, "a", "Comet-Link", "</x>; rel=next"}},
		{"in angle brackets", "", []string{hold, "stream", channel, "a", "Comet-Link", "/x; rel=next"}},
		{"a status from 200", "", []string{hold, "response", channel, "a", "Comet-Status", "99"}},
		{"Comet-User: it is sent twice", "", []string{hold, "response", channel, "a", "Comet-User", "7", "Comet-User", "8"}},
		{"Comet-User: the user's name", "", []string{hold, "response", channel, "a", "Comet-User", strings.Repeat("7", 2000)}},
		{"cannot be read here", "x", []string{hold, "stream", channel, "a", "Content-Encoding", "br"}},
		{"and is not", "x", []string{hold, "stream", channel, "a", "Content-Encoding", "gzip"}},
		{"only streams may be larger", strings.Repeat("x", 100_001), []string{hold, "response", channel, "a"}},
		{"bytes; 65536 are allowed", "", []string{hold, "response", channel, strings.Repeat("x", 65536)}},
		{"not valid JSON", "{", []string{"Content-Type", instructs}},
		{"channels: not a channel name", `{"hold":{"channels":[{"name":""}]}}`, []string{"Content-Type", instructs}},
		{"a hold in the headers as well", `{"hold":{"channels":[{"name":"a"}]}}`, []string{"Content-Type", instructs, hold, "response", channel, "a"}},
	} {
		header, body = c.header, c.body
		before := len(s.logs())
		a := get("http://" + s.site + "/")
		if a.status != http.StatusBadGateway || a.body != "" || !strings.Contains(s.logs()[before:], c.want) {
			t.Errorf("%v: got %d %q, want 502 and %q in\n%s", c.header, a.status, shortened(a.body), c.want, s.logs()[before:])
		}
	}
}

// TestAnInstructionMayBeTheBody, also of a PHP that compresses all it says.
func TestAnInstructionMayBeTheBody(t *testing.T) {
	const instruct = `{"hold":{"mode":"response","channels":[{"name":"fruit","prev-id":""}],"timeout":1},
		"response":{"code":203,"reason":"x","headers":[["X-Own","a"],["X-Own","b"]],"body":"nothing new"}}`
	s, _ := handed(t, "", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grip-instruct")
		w.Header().Set("X-Carrier", "gone")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, instruct)
		_ = z.Close()
	})
	a := get("http://"+s.site+"/", "Accept-Encoding", "gzip")
	a.wants(t, 203, "nothing new")
	if strings.Join(a.header["X-Own"], "") != "ab" || a.header.Get("X-Carrier") != "" || a.header.Get("Content-Encoding") != "" {
		t.Errorf("got %v", a.header)
	}
}

// TestAHandedOverRequestOutlivesTheConfiguration, and is asked again by the new one; at
// the server's end it gets the site's own answer.
func TestAHandedOverRequestOutlivesTheConfiguration(t *testing.T) {
	asks := make(chan string, 9)
	site := func(label string) string {
		return behind(t, func(w http.ResponseWriter, r *http.Request) {
			asks <- label
			if len(r.URL.Query().Get("hold")) > 0 && label == "old" {
				says("own", "Comet-Hold", r.URL.Query().Get("hold"), "Comet-Channel", "a")(w, r)
				return
			}
			says(label)(w, r)
		})
	}
	hub := unique("handed")
	globals := "comet {\nhub " + hub + "\n}"
	s := start(t, globals, handedSite(hub, site("old")))
	retry, response, posted := s.dial("tcp"), s.dial("tcp"), make(chan answer, 1)
	retry.asks("/?hold=retry")
	response.asks("/?hold=response")
	go func() { posted <- send(plain, "POST", "http://"+s.site+"/?hold=retry", "x") }()
	parks(t, hub, 3, 2)
	s.reload(globals, handedSite(hub, site("new")))
	publishes(t, hub, event("a", "event"))
	retry.hears().wants(t, "200", "new")
	response.hears().wants(t, "200", "event")
	receive(t, posted).wants(t, 200, "new")

}
