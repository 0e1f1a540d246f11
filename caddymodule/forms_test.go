package caddymodule

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/doctor"
)

// form is a way in which the native dialect answers.
type form struct {
	name, query, contentType, transport string
	stream                              bool
}

var forms = []form{
	{"poll", "as=poll", "application/json", "poll", false},
	{"jsonp", "callback=f", "text/javascript; charset=utf-8", "jsonp", false},
	{"sse", "as=sse", "text/event-stream", "sse", true},
	{"stream", "as=stream", "text/plain; charset=utf-8", "stream", true},
	{"multipart", "as=multipart", "multipart/x-mixed-replace; boundary=comet-", "multipart", true},
	{"frame", "as=frame&callback=parent.f", "text/html; charset=utf-8", "frame", true},
}

// reading is an answer that is read as it comes.
type reading struct {
	t    *testing.T
	res  *http.Response
	text chan string
}

func read(t *testing.T, client *http.Client, url string, header ...string) *reading {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	reading := &reading{t, res, make(chan string, 100)}
	go func() {
		defer close(reading.text)
		buf := make([]byte, 1<<20)
		for {
			n, err := res.Body.Read(buf)
			select {
			case reading.text <- string(buf[:n]):
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return reading
}

// until reads up to a text.
func (r *reading) until(want string) {
	r.t.Helper()
	var all string
	for !strings.Contains(all, want) {
		piece := receive(r.t, r.text)
		if piece == "" {
			r.t.Fatalf("it ended before %q: %q", want, shortened(all))
		}
		all += piece
	}
}

// every is a site with all that is native, and what else is held.
const every = `
	bind 127.0.0.1
	comet /comet/* {
		jsonp
	}
	comet /chat filechat {
		channel NAME
	}
	comet /doorbell/* doorbell
}
`

// TestEveryFormGoesThroughWhatIsInFrontAtOnce: encode changes nothing and holds
// nothing back, over HTTP/1.1, h2c, HTTP/2 and HTTP/3, and each is counted as what it
// is.
func TestEveryFormGoesThroughWhatIsInFrontAtOnce(t *testing.T) {
	const zip = "\nlog\nencode {\ngzip\nminimum_length 1\nmatch {\nheader Content-Type *\n}\n}"
	name := unique("form")
	s := start(t, "storage file_system DIR\nskip_install_trust\nlocal_certs\nservers {\nprotocols h1 h2 h2c h3\n}\ncomet {\nheartbeat 1s\n}",
		strings.ReplaceAll("http://:PORT {"+zip+every+"https://localhost:TLS {\ntls internal"+zip+every+"http://PUBLISH {\nbind 127.0.0.1\ncomet_publish\n}", "NAME", name))
	clients := map[string]*http.Client{"http": plain, "h2c": h2Client(true), "h2": h2Client(false), "h3": h3Client(t)}
	eventually(t, "Caddy has made its certificate", func() bool {
		return send(clients["h2"], "HEAD", "https://localhost:"+s.tlsPort, "").err == nil
	})
	majors := map[string]int{"http": 1, "h2c": 2, "h2": 2, "h3": 3}
	before := metric(t, "caddy_comet_held", defaultHub)
	for protocol, client := range clients {
		base := "http://" + s.site
		if protocol == "h2" || protocol == "h3" {
			base = "https://localhost:" + s.tlsPort
		}
		for _, f := range forms {
			t.Run(protocol+" "+f.name, func(t *testing.T) {
				channel := unique("c")
				url := base + "/comet/" + channel + "?" + f.query
				if !f.stream {
					a := make(chan answer, 1)
					go func() { a <- send(client, "GET", url, "", "Accept-Encoding", "gzip") }()
					held(t, defaultHub, channel, 1)
					s.must(channel, strings.Repeat("news ", 1000))
					got := receive(t, a)
					if got.wants(t, 200, "news news"); got.header.Get("Content-Encoding") != "" || got.header.Get("Content-Type") != f.contentType {
						t.Errorf("%v", got.header)
					}
					return
				}
				r := read(t, client, url, "Accept-Encoding", "gzip")
				held(t, defaultHub, channel, 1)
				if h := r.res.Header; h.Get("Content-Encoding") != "" || !strings.HasPrefix(h.Get("Content-Type"), f.contentType) || r.res.ProtoMajor != majors[protocol] {
					t.Errorf("%s %v", r.res.Proto, h)
				}
				s.must(channel, "first")
				r.until("first")
				s.must(channel, "second")
				r.until("second")
				r.res.Body.Close()
				held(t, defaultHub, channel, 0)
			})
		}
	}
	for _, path := range []string{"/chat?timestamp=9", "/doorbell/" + name[len("form"):]} {
		r := read(t, plain, "http://"+s.site+path, "Accept-Encoding", "gzip")
		if receive(t, r.text) != "\n" || r.res.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %v", path, r.res.Header)
		}
		r.res.Body.Close()
	}
	eventually(t, "nothing is held", func() bool { return metric(t, "caddy_comet_held", defaultHub) == before })
	text := send(s.admin(), "GET", "http://127.0.0.1/metrics", "").body
	for _, f := range forms {
		outcome := "event"
		if f.stream {
			outcome = "client_gone"
		}
		for _, want := range []string{
			`caddy_comet_opened_total{dialect="native",hub="default",transport="` + f.transport + `"}`,
			`caddy_comet_answered_total{dialect="native",hub="default",outcome="` + outcome + `",transport="` + f.transport + `"}`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("missing: %s", want)
			}
		}
	}
}

// TestHEADOfEveryFormTellsItsHeaderAndHoldsNothing.
func TestHEADOfEveryFormTellsItsHeaderAndHoldsNothing(t *testing.T) {
	name := unique("head")
	s := start(t, "", strings.ReplaceAll("http://:PORT {"+every, "NAME", name))
	for _, f := range append([]form{
		{"chat", "", "application/json", "", false},
		{"doorbell", "", "text/javascript; charset=utf-8", "", false},
	}, forms...) {
		path := map[string]string{"chat": "/chat", "doorbell": "/doorbell/12"}[f.name]
		if path == "" {
			path = "/comet/" + name + "?" + f.query
		}
		a := send(plain, "HEAD", "http://"+s.site+path, "")
		a.wants(t, 200, "")
		if !strings.HasPrefix(a.header.Get("Content-Type"), f.contentType) || a.header.Get("Cache-Control") != "no-store, no-transform" {
			t.Errorf("%s: %v", f.name, a.header)
		}
	}
	held(t, defaultHub, name, 0)
}

// TestFixedChannelsAreThoseOfEveryRequest, whatever its path is.
func TestFixedChannelsAreThoseOfEveryRequest(t *testing.T) {
	a, b := unique("fixed"), unique("fixed")
	s := start(t, "", strings.Replace(simple, "comet /comet/*", "comet /clock.php {\nchannel "+a+" "+b+"\n}", 1))
	poll := holding("http://" + s.site + "/clock.php?as=poll")
	held(t, defaultHub, a, 1)
	held(t, defaultHub, b, 1)
	s.must(b, "news")
	if got := receive(t, poll).poll(t); len(got.Events) != 1 || got.Events[0].Channel != b {
		t.Errorf("got %+v", got)
	}
}

// TestJSONPIsForWhoSetItsFlag.
func TestJSONPIsForWhoSetItsFlag(t *testing.T) {
	s := start(t, "", strings.Replace(simple, "comet /comet/*", "comet /comet/*\ncomet /open/* {\njsonp\n}", 1))
	name := unique("jsonp")
	since := s.must(name, "</script>\u2028")
	get("http://"+s.site+"/comet/"+name+"?callback=f").wants(t, 400, "the flag jsonp")
	a := get("http://"+s.site+"/open/"+name+"?callback=a.b&since=all", "Origin", "https://other.example")
	if a.wants(t, 200, `/**/a.b({"cursor":"`+since+`"`); strings.Contains(a.body, "</script>") || strings.Contains(a.body, "\u2028") ||
		a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
		t.Errorf("%q %v", a.body, a.header)
	}
	get("http://"+s.site+"/open/"+name+"?callback=alert(1)").wants(t, 400, "no name of a function")
	get("http://"+s.site+"/open/"+name+"?since=all", "Origin", "https://other.example").wants(t, 403, "origin") // the flag opens JSONP alone
}

// TestAFrameIsForPagesOfThisSite, whatever the site says of its other pages.
func TestAFrameIsForPagesOfThisSite(t *testing.T) {
	for _, before := range []string{"", "header {\nX-Frame-Options DENY\nContent-Security-Policy \"default-src 'none'\"\n}"} {
		s := start(t, "", strings.Replace(simple, "comet /comet/*", before+"\ncomet /comet/*", 1))
		url := "http://" + s.site + "/comet/" + unique("frame") + "?as=frame&callback=parent.f"
		h := read(t, plain, url, "Sec-Fetch-Dest", "iframe").res.Header
		if h.Get("X-Frame-Options") != "SAMEORIGIN" || len(h.Values("X-Frame-Options")) != 1 ||
			len(h.Values("Content-Security-Policy")) != 1 || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'self'") {
			t.Errorf("%v", h)
		}
		get(url, "Sec-Fetch-Dest", "document").wants(t, 400, "it is no page by itself")
	}
}

// TestPagesOfOtherSitesAreRefused unless who runs the site lets them in.
func TestPagesOfOtherSitesAreRefused(t *testing.T) {
	closed := start(t, "", simple)
	name := unique("origin")
	url := "http://" + closed.site + "/comet/" + name + "?wait=0"
	for _, c := range []struct {
		origin string
		status int
	}{
		{"http://" + closed.site, 200},
		{"https://" + closed.site, 200}, // TLS may end in front of us
		{"http://" + strings.ToUpper(closed.site), 200},
		{"http://127.0.0.1", 403}, // another port is another site
		{"https://other.example", 403},
		{"http://" + closed.site + ".evil.example", 403},
		{"null", 403},
		{"http://%zz", 403},
	} {
		for _, query := range []string{"", "&as=sse", "&as=stream", "&as=multipart", "&as=frame&callback=f"} {
			if c.status == 200 && query != "" {
				continue
			}
			a := get(url+query, "Origin", c.origin)
			if a.status != c.status || a.status == 403 && !strings.Contains(a.body, "origins <origin>, in the block of comet") {
				t.Errorf("%s %s: %d %q", c.origin, query, a.status, a.body)
			}
		}
	}
	// Proxies that pass $host:$server_port on name a port that no browser does.
	for _, c := range []struct {
		origin, host string
		status       int
	}{
		{"https://127.0.0.1", "127.0.0.1:443", 200},
		{"http://127.0.0.1", "127.0.0.1:80", 200},
		{"https://127.0.0.1", "127.0.0.1:80", 403},
		{"http://127.0.0.1", "127.0.0.1:443", 403},
		{"https://127.0.0.1", "127.0.0.1:4430", 403},
	} {
		if a := get(url, "Origin", c.origin, "Host", c.host); a.status != c.status {
			t.Errorf("%s at %s: %d %q", c.origin, c.host, a.status, a.body)
		}
	}
	if n := metric(t, "caddy_comet_denied_total", defaultHub); n == 0 {
		t.Error("nothing is counted")
	}
	for _, header := range []string{"header Access-Control-Allow-Origin https://other.example", "header {\nAccess-Control-Allow-Origin *\nX-Other x\n}"} {
		s := start(t, "", strings.Replace(simple, "comet /comet/*", header+"\ncomet /comet/*", 1))
		a := get("http://"+s.site+"/comet/"+name+"?wait=0", "Origin", "https://other.example")
		if a.wants(t, 200, "events"); a.header.Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("%v", a.header)
		}
	}
}

// TestMaxHoldsIsForEveryForm: who comes too late gets an answer that his kind of
// client survives, and who goes makes room.
func TestMaxHoldsIsForEveryForm(t *testing.T) {
	name := unique("max")
	s := start(t, "comet {\nhub "+name+" {\nmax_holds 1\n}\n}", "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub "+name+"\njsonp\n}\ncomet /chat filechat {\nhub "+name+"\nchannel a\n}\n}")
	first := read(t, plain, "http://"+s.site+"/comet/a?as=sse")
	held(t, name, "a", 1)
	for _, f := range forms {
		a := get("http://" + s.site + "/comet/a?" + f.query)
		status := 503
		switch f.name {
		case "sse":
			status = 200
			a.wants(t, status, "retry: ")
		case "frame":
			status = 200
			a.wants(t, status, "again(")
		default:
			a.wants(t, status, "too many held requests: the limit is 1; raise max_holds")
		}
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", f.name)
		}
	}
	get("http://"+s.site+"/chat").wants(t, 503, "too many held requests")
	if n := strings.Count(s.logs(), fullHolds); n != seldomLines {
		t.Errorf("%d lines say that the hub is full, want %d", n, seldomLines)
	}
	if !strings.Contains(s.logs(), `"hub":"`+name+`","limit":1`) {
		t.Error("no line names the hub and its limit")
	}
	if told := facts().Hubs; !slices.ContainsFunc(told, func(h doctor.Hub) bool { return h.Name == name && h.NoHolds == uint64(len(forms)+1) }) {
		t.Errorf("the doctor is told %+v", told)
	}
	first.res.Body.Close()
	held(t, name, "a", 0)
	for _, f := range forms {
		if f.stream {
			r := read(t, plain, "http://"+s.site+"/comet/a?"+f.query)
			held(t, name, "a", 1)
			r.res.Body.Close()
		} else {
			get("http://"+s.site+"/comet/a?wait=0&"+f.query).wants(t, 200, "events")
		}
		held(t, name, "a", 0)
	}
	eventually(t, "nothing is held", func() bool { return metric(t, "caddy_comet_held", name) == 0 })
	if n := metric(t, "caddy_comet_denied_total", name); n != float64(len(forms)+1) {
		t.Errorf("%v denied", n)
	}
}

// TestALongStreamIsRecycled: it ends by itself, and the metrics tell why.
func TestALongStreamIsRecycled(t *testing.T) {
	name := unique("long")
	s := start(t, "comet {\nhub "+name+" {\nmax_event 2MiB\nhistory 2 16MiB\n}\n}", "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub "+name+"\n}\n}")
	admin := "http://127.0.0.1/comet/" + name + "/"
	for _, as := range []string{"stream", "frame&callback=f"} {
		channel := unique("c")
		r := read(t, plain, "http://"+s.site+"/comet/"+channel+"?as="+as)
		held(t, name, channel, 1)
		send(s.admin(), "POST", admin+channel, strings.Repeat("x", 1<<20)).wants(t, 200, `"receivers":1`)
		var all strings.Builder
		for piece := range r.text {
			all.WriteString(piece)
		}
		tail := all.String()[max(0, all.Len()-100):]
		if !strings.Contains(tail, `"retry":0}`) && !strings.Contains(tail, "again(0)") {
			t.Errorf("%s ended with %q", as, tail)
		}
	}
	for _, transport := range []string{"stream", "frame"} {
		want := fmt.Sprintf(`caddy_comet_answered_total{dialect="native",hub=%q,outcome="recycled",transport=%q} 1`, name, transport)
		eventually(t, want, func() bool {
			return strings.Contains(send(s.admin(), "GET", "http://127.0.0.1/metrics", "").body, want)
		})
	}
}

// TestGoneReadersOfEveryFormAreNoticed while nothing happens.
func TestGoneReadersOfEveryFormAreNoticed(t *testing.T) {
	name := unique("gone")
	s := start(t, "comet {\nhub "+name+"\n}", "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub "+name+"\njsonp\n}\n}")
	for _, f := range forms {
		conn, r := dial(t, s.site, "GET /comet/a?"+f.query+" HTTP/1.1\r\nHost: "+s.site+"\r\n\r\n")
		held(t, name, "a", 1)
		if f.stream {
			if _, err := http.ReadResponse(r, nil); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		conn.Close()
		held(t, name, "a", 0)
		if waited := time.Since(began); waited > 2*time.Second {
			t.Errorf("%s: noticed after %s", f.name, waited)
		}
	}
	eventually(t, "nothing is held", func() bool { return metric(t, "caddy_comet_held", name) == 0 })
}
