package caddymodule

import (
	"bufio"
	"encoding/json"
	flags "flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func init() { aheadOfEncode(stranger{}) }

// aheadOfEncode makes a directive of a handler.
func aheadOfEncode(h interface {
	caddy.Module
	caddyhttp.MiddlewareHandler
}) {
	caddy.RegisterModule(h)
	name := h.CaddyModule().ID.Name()
	httpcaddyfile.RegisterHandlerDirective(name, func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) { return h, nil })
	httpcaddyfile.RegisterDirectiveOrder(name, httpcaddyfile.Before, "encode")
}

// stranger is a module that nobody here knows. It changes every answer on its
// way out.
type stranger struct{}

func (stranger) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.stranger", New: func() caddy.Module { return new(stranger) }}
}

func (stranger) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return next.ServeHTTP(&strangersWriter{&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}, r)
}

type strangersWriter struct {
	*caddyhttp.ResponseWriterWrapper
}

func (w *strangersWriter) WriteHeader(status int) {
	w.Header().Set("X-Stranger", "was here")
	w.ResponseWriterWrapper.WriteHeader(status)
}

// dressing is what stands around a comet directive.
type dressing struct {
	name string
	// lines are those of the Caddyfile. With inside, comet is in a block of its own
	// within.
	lines  string
	inside bool
	// parks: a hold below may be parked.
	parks bool
	// asks are lines of each request.
	asks []string
	// has is a line of each answer.
	has string
}

var dressings = []dressing{
	{name: "bare", parks: true, has: "Server: Caddy"},
	{name: "set", parks: true, has: "X-Two: a: b; c", lines: `
		header X-One 1
		header X-Two "a: b; c"
		header X-Empty ""
		header +X-Many a
		header +X-Many "b,  c"
		header Vary Cookie
		header x-lower {http.request.host}`},
	{name: "named", parks: true, has: "Server: somebody else", lines: `
		header Server "somebody else"
		header Alt-Svc clear`},
	{name: "shared", parks: true, has: "Access-Control-Allow-Origin: https://shop.example", asks: []string{"Origin: https://shop.example"},
		lines: "header Access-Control-Allow-Origin https://shop.example"},
	{name: "encoded", parks: true, has: "Cache-Control: no-store, no-transform", asks: []string{"Accept-Encoding: gzip, zstd"}, lines: "encode gzip zstd"},
	{name: "private", parks: true, has: "Server: Caddy", asks: []string{"Authorization: Basic Ym9iOnNlY3JldA=="},
		lines: "basic_auth {\nbob $2a$04$Nm85Rk6NhIMXKWOJqwH3nuI2exychqO/NDiO1uMEJK8auNgDOaFl2\n}"},
	{name: "mapped", parks: true, has: "X-Mapped: yes", lines: `
		vars seen yes
		request_header -Accept-Language
		header X-Mapped {vars.seen}`},
	{name: "removed", has: "X-Kept: yes", lines: "header -Server\nheader X-Kept yes"},
	{name: "late", has: "X-Late: yes", lines: "header >X-Late yes"},
	{name: "deferred", has: "X-Deferred: yes", lines: "header {\nX-Deferred yes\ndefer\n}"},
	{name: "default", has: "X-Default: yes", lines: "header ?X-Default yes"},
	{name: "templates", inside: true, lines: "templates {\nmime application/none\n}"},
	{name: "intercepted", inside: true, lines: "intercept {\n@never status 599\nhandle_response @never {\nrespond no\n}\n}"},
	{name: "strange", has: "X-Stranger: was here", lines: "stranger"},
	{name: "backend", inside: true, lines: "comet_backend {\npublish\nhub HUB\n}"},
	{name: "piggyback", inside: true, parks: true, lines: "comet_backend {\npiggyback\nhub HUB\n}"},
	{name: "connection", has: "Connection: close", lines: "header Connection close"},
}

// dressed is a site's routes: under the name of each dressing comet in all
// dialects, and a page.
func dressed(hubName string) string {
	var b strings.Builder
	for _, d := range dressings {
		comet := strings.NewReplacer("NAME", d.name, "HUB", hubName).Replace(`
		comet /NAME/n/* {
			hub HUB
			jsonp
		}
		comet /NAME/v novcomet {
			hub HUB
		}
		comet /NAME/d/* doorbell {
			hub HUB
		}
		comet /NAME/c filechat {
			hub HUB
			channel chatNAME
		}
		comet /NAME/full/* {
			hub HUBfull
			jsonp
		}
		comet /NAME/fullv novcomet {
			hub HUBfull
		}
		respond "{http.request.scheme} {http.request.proto} {http.request.tls.proto} {http.request.remote.host}"
`)
		if d.inside {
			comet = "handle {" + comet + "}\n"
		}
		fmt.Fprintf(&b, "handle /%s/* {\n%s\n%s}\n", d.name, strings.ReplaceAll(d.lines, "HUB", hubName), comet)
	}
	return b.String()
}

// everywhere is a configuration of three servers with the same routes: in clear
// text, over TLS and on a Unix socket.
func everywhere(routes string) string {
	return "(routes) {\n" + routes + "\n}\n" + `
http://:PORT {
	bind 127.0.0.1
	log
	import routes
}
https://localhost:TLS, https://127.0.0.1:TLS {
	bind 127.0.0.1
	tls internal
	import routes
}
http:// {
	bind unix/SOCKET
	import routes
}`
}

// overTLS are the globals for certificates of the server's own.
const overTLS = "storage file_system DIR\nskip_install_trust\nlocal_certs\n"

// dial connects to one of the three.
func (s *server) dial(network string) *wire {
	s.t.Helper()
	switch network {
	case "tls":
		return connect(s.t, "tls", "127.0.0.1:"+s.tlsPort)
	case "unix":
		return connect(s.t, "unix", s.socket)
	}
	return connect(s.t, "tcp", s.site)
}

var networks = []string{"tcp", "tls", "unix"}

// waitForTLS until Caddy has made its certificate.
func (s *server) waitForTLS() {
	s.t.Helper()
	client := h2Client(false)
	defer client.CloseIdleConnections()
	eventually(s.t, "Caddy has made its certificate", func() bool {
		return send(client, "HEAD", "https://localhost:"+s.tlsPort, "").err == nil
	})
}

// scene is one connection's life: what it asks, and what happens.
type scene struct {
	network string
	dressing
	path  string
	lines []string
	// hub is the suffix of the hub's name.
	hub, channel string
	// waits: it is held until the drafts are published. The last of them shows
	// that all of the answer is there, by end.
	waits  bool
	drafts []hub.Draft
	end    string
	// early is sent together with the request.
	early string
	close bool
	// stream: the answer has no end by itself.
	stream bool
}

func (sc scene) String() string {
	return fmt.Sprintf("%s %s %q early=%q close=%v %d drafts", sc.network, sc.path, sc.lines, shortened(sc.early), sc.close, len(sc.drafts))
}

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

// draft is some event.
func draft(rng *rand.Rand, channel string) hub.Draft {
	d := pick(rng,
		hub.Draft{Data: []byte("hello")},
		hub.Draft{Data: []byte(`{"a":[1,2]}`), ContentType: "application/json"},
		hub.Draft{},
		hub.Draft{Data: []byte("two\nlines </script>"), Type: "note"},
		hub.Draft{Data: []byte("\xff\x00\xfe")},
		hub.Draft{Data: []byte(strings.Repeat("large ", 40_000))},
	)
	d.Channel = channel
	return d
}

// newScene makes the scene number n.
func newScene(rng *rand.Rand, n int) scene {
	sc := scene{network: pick(rng, networks...), dressing: pick(rng, dressings...)}
	sc.lines = append(sc.lines, sc.asks...)
	sc.channel = fmt.Sprintf("ch%d", n)
	sc.waits = true
	base := "/" + sc.name
	switch kind := rng.IntN(14); kind {
	case 0, 1, 2: // a poll, that begins in different ways
		sc.path = base + "/n/" + pick(rng, "", "other,") + sc.channel + pick(rng, "", "?since=now", "?since=all", "?wait=20")
	case 3:
		sc.path = base + "/n/" + sc.channel + "?callback=parent.f"
	case 4:
		sc.path = base + "/v?subscribed[" + sc.channel + "]=0"
	case 5:
		sc.hub, sc.channel = "/doorbell", fmt.Sprint(9_000_000+n)
		sc.path = base + "/d/" + sc.channel
	case 6:
		sc.channel = "chat" + sc.name
		sc.path = base + "/c?timestamp=0"
		sc.drafts = []hub.Draft{event(sc.channel, "a message")}
	case 7, 8, 9:
		sc.stream = true
		sc.path = base + "/n/" + sc.channel + "?as=" + pick(rng, "sse", "stream", "multipart", "multipart&send=data", "frame&callback=f", "frame&callback=f&send=data") +
			pick(rng, "", "&since=all")
		for range rng.IntN(4) {
			sc.drafts = append(sc.drafts, draft(rng, sc.channel))
		}
		sc.end = fmt.Sprintf("the end of %d", n)
		sc.drafts = append(sc.drafts, event(sc.channel, sc.end))
	case 10: // two large events, with which an answer of limited length is over
		sc.path = base + "/n/" + sc.channel + "?as=" + pick(rng, "stream", "frame&callback=f")
		for range 2 {
			sc.drafts = append(sc.drafts, event(sc.channel, strings.Repeat("large ", 100_000)))
		}
	case 11: // what is not held at all
		sc.waits = false
		sc.path = base + pick(rng, "/n/kept?since=all", "/n/kept?since=zzz.5", "/n/kept?since=&callback=f", "/n/a b", "/n/", "/v?subscribed[kept]=1", "/d/x", "/n/kept?wait=0", "/n/kept?as=none")
		if strings.Contains(sc.path, " ") {
			sc.path = strings.ReplaceAll(sc.path, " ", "%20")
		}
	case 12: // no room
		sc.waits = false
		sc.path = base + pick(rng, "/full/x", "/full/x?as=sse", "/full/x?as=stream", "/full/x?as=multipart", "/full/x?as=frame&callback=f", "/fullv?subscribed[x]=0", "/full/x?callback=f")
	case 13: // nothing happens
		sc.waits = false
		sc.path = base + "/n/" + sc.channel + "?wait=" + pick(rng, "1", "1&callback=f", "1&since=all")
	}
	if sc.waits && sc.drafts == nil {
		sc.drafts = []hub.Draft{draft(rng, sc.channel)}
		if sc.hub != "" {
			sc.drafts[0].Data = nil
		}
	}
	sc.lines = append(sc.lines, pick(rng, nil, []string{"Accept-Language: de"}, []string{"X-Long: " + strings.Repeat("x", 3000)}, []string{"Connection: keep-alive"}, []string{"Expect:"})...)
	switch rng.IntN(4) {
	case 0:
		sc.close = true
		sc.lines = append(sc.lines, "Connection: "+pick(rng, "close", "Close", "x, close"))
	case 1:
		if !sc.stream {
			sc.early = request(base+"/after", sc.asks...)
		}
	}
	sc.close = sc.close || sc.name == "connection"
	return sc
}

// ask begins the scene.
func (sc scene) ask(s *server) *wire {
	w := s.dial(sc.network)
	_ = w.c.SetDeadline(time.Time{}) // its answer's turn may come late
	w.r = bufio.NewReader(readAhead(w.c))
	w.say(request(sc.path, sc.lines...) + sc.early)
	return w
}

// readAhead reads all that comes as it comes, for a client that looks at it later:
// on a slow machine that would be a slow client, whose connection ends.
func readAhead(c net.Conn) io.Reader {
	a := &ahead{}
	a.more = sync.NewCond(&a.mu)
	go func() {
		b := make([]byte, 32<<10)
		for {
			n, err := c.Read(b)
			a.mu.Lock()
			a.all = append(a.all, b[:n]...)
			a.err = err
			a.more.Broadcast()
			a.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return a
}

type ahead struct {
	mu   sync.Mutex
	more *sync.Cond
	all  []byte
	err  error
}

func (a *ahead) Read(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.all) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		a.more.Wait()
	}
	n := copy(b, a.all)
	a.all = a.all[n:]
	return n, nil
}

// told reads the answers of the scene.
func (sc scene) told(w *wire) (answers []reply) {
	w.t.Helper()
	_ = w.c.SetDeadline(time.Now().Add(deadline))
	first, err := w.until(sc.end)
	if err != nil {
		w.t.Fatalf("%v: %v after %s", sc, err, shortened(first.String()))
	}
	answers = append(answers, first)
	switch {
	case sc.stream:
		return answers
	case sc.close:
		return append(answers, reply{status: "the connection ends", body: w.ends()})
	}
	if sc.early == "" {
		w.asks("/"+sc.name+"/after", sc.asks...)
	}
	answers = append(answers, w.hears())
	var p poll
	if json.Unmarshal([]byte(first.body), &p) == nil && p.Cursor != "" && sc.waits {
		w.asks(strings.Split(sc.path, "?")[0]+"?wait=0&since="+p.Cursor, sc.asks...)
		answers = append(answers, w.hears().wants(w.t, "200", `"events":[]`))
	}
	return answers
}

var (
	seconds = regexp.MustCompile(`\b1[0-9]{9}\b`)
	times   = regexp.MustCompile(`"time":"[^"]*"`)
	retries = regexp.MustCompile(`(retry: |"retry":|again\()[1-9][0-9]*`)
	limits  = regexp.MustCompile(`comet-[A-Z0-9]{26}`) // of a multipart's parts
	ports   = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)
)

// manyLarge is a part of the large events' data.
var manyLarge = strings.Repeat("large ", 500)

// loaded is before any answer of these tests.
var loaded = time.Now().Truncate(time.Second)

// without takes out what is another each time.
func (r reply) without(t *testing.T, epoch string) string {
	t.Helper()
	cursors := regexp.MustCompile(regexp.QuoteMeta(epoch) + `\.[0-9]+`)
	head := make([]string, len(r.head))
	for i, line := range r.head {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "Date":
			if when, err := time.Parse(http.TimeFormat, value); err != nil || when.Before(loaded) || when.After(time.Now()) {
				t.Errorf("the line %q", line)
			}
			line = "Date"
		case "Content-Length":
			if value != fmt.Sprint(len(r.body)) {
				t.Errorf("the line %q with %d bytes", line, len(r.body))
			}
			line = name
		case "Retry-After":
			if len(value) != 1 || value < "2" || value > "4" {
				t.Errorf("the line %q", line)
			}
			line = name
		}
		head[i] = line
	}
	// The expressions look at each byte in turn, of what is large as well.
	body := strings.ReplaceAll(r.body, manyLarge, "(large)")
	body = cursors.ReplaceAllString(body, "CURSOR")
	body = times.ReplaceAllString(seconds.ReplaceAllString(body, "SECOND"), "TIME")
	body = ports.ReplaceAllString(retries.ReplaceAllString(body, "${1}RETRY"), "ADDRESS")
	return limits.ReplaceAllString(reply{r.status, head, body}.String(), "BOUNDARY")
}

var sameSeed = flags.Uint64("same.seed", 0, "the seed of TestParkedOrNotTheAnswerIsTheSame")

// TestParkedOrNotTheAnswerIsTheSame: some hundred connections, each with a random
// request under random directives, to which something random happens; once to a
// server that parks, and once to one that does not.
func TestParkedOrNotTheAnswerIsTheSame(t *testing.T) {
	seed := *sameSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-same.seed=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	scenes := make([]scene, 150)
	for i := range scenes {
		scenes[i] = newScene(rng, i)
	}

	s := newServer(t)
	play := func(parked bool) (answers [][]string) {
		hubName := unique("same")
		park := map[bool]string{true: "on", false: "off"}[parked]
		s.reload(overTLS+"metrics\ncomet {\npark "+park+"\nheartbeat 60s\nmax_history 64MiB\nhub "+hubName+"\nhub "+hubName+"full {\nmax_holds 1\n}\n}", everywhere(dressed(hubName)))
		s.waitForTLS()
		fills := s.dial("tcp")
		fills.asks("/bare/full/fills")
		held(t, hubName+"full", "fills", 1)
		publishes(t, hubName, event("kept", "one"))
		publishes(t, hubName, event("kept", "two"))

		wires := make([]*wire, len(scenes))
		waits, parkedWant := map[[2]string]int{}, 0
		for i, sc := range scenes {
			wires[i] = sc.ask(s)
			if sc.waits {
				waits[[2]string{sc.hub, sc.channel}]++
				if sc.parks && parked {
					parkedWant++
				}
			}
		}
		for at, n := range waits {
			held(t, hubName+at[0], at[1], n)
		}
		eventually(t, fmt.Sprintf("%d of them are parked", parkedWant), func() bool {
			return parkedOf(t, hubName)+parkedOf(t, hubName+"/doorbell") >= parkedWant
		})
		published := map[string]bool{}
		for _, sc := range scenes {
			for _, d := range sc.drafts {
				if chat := strings.HasPrefix(d.Channel, "chat"); chat && published[d.Channel] {
					continue
				}
				published[d.Channel] = true
				publishes(t, hubName+sc.hub, d)
			}
		}
		epochs := map[string]string{}
		for _, suffix := range []string{"", "/doorbell", "full"} {
			h, _ := findHub(hubName + suffix)
			epochs[suffix] = h.Cursor().Epoch.String()
		}
		for i, sc := range scenes {
			epoch := epochs[sc.hub]
			if strings.Contains(sc.path, "/full") {
				epoch = epochs["full"]
			}
			var told []string
			for _, r := range sc.told(wires[i]) {
				told = append(told, r.without(t, epoch))
			}
			answers = append(answers, told)
			wires[i].c.Close()
		}
		fills.c.Close()
		parks(t, hubName, 0, 0)
		return answers
	}
	with, without := play(true), play(false)
	for i, sc := range scenes {
		for j := range max(len(with[i]), len(without[i])) {
			if j >= len(with[i]) || j >= len(without[i]) || with[i][j] != without[i][j] {
				t.Errorf("scene %d, %v, answer %d of %d and %d.\nParked:\n%s\nNot parked:\n%s", i, sc, j, len(with[i]), len(without[i]), part(with[i], j), part(without[i], j))
				break
			}
		}
	}
}

// part is an answer for people.
func part(answers []string, i int) string {
	if i >= len(answers) {
		return "(none)"
	}
	return answers[i][:min(len(answers[i]), 1200)]
}

// TestSignsOfLifeAreTheSameParkedOrNot: with the first of them an answer begins,
// which is whole otherwise.
func TestSignsOfLifeAreTheSameParkedOrNot(t *testing.T) {
	play := func(park string) (answers []string) {
		hub := unique("alive")
		s := start(t, "comet {\npark "+park+"\nheartbeat 1s\nhub "+hub+"\n}", "http://SITE {\nbind 127.0.0.1\ncomet /d/* doorbell {\nhub "+hub+"\n}\ncomet /c filechat {\nhub "+hub+"\nchannel chat\n}\n}")
		for _, path := range []string{"/d/77", "/c?timestamp=0"} {
			for _, line := range []string{"Connection: close", "X-Any: y"} {
				w := s.dial("tcp")
				w.asks(path, line)
				r, err := w.head() // comes with the first sign
				if err != nil {
					t.Fatal(err)
				}
				publishes(t, hub+map[string]string{"/d/77": "/doorbell"}[path], event(map[string]string{"/d/77": "77"}[path]+map[string]string{"/c?timestamp=0": "chat"}[path], ""))
				if err := w.more(&r, ""); err != nil {
					t.Fatal(err)
				}
				r.body = strings.TrimSpace(r.body) // how many there are is a matter of time
				answers = append(answers, r.without(t, "none"))
				h, _ := findHub(hub)
				h.Delete("chat")
				h, _ = findHub(hub + "/doorbell")
				h.Delete("77")
			}
		}
		return answers
	}
	with, without := play("on"), play("off")
	for i := range with {
		if with[i] != without[i] {
			t.Errorf("answer %d.\nParked:\n%s\nNot parked:\n%s", i, part(with, i), part(without, i))
		}
	}
}
