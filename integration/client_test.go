package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// live is a site with a page that has the client library, and a door to publish.
type live struct {
	dir, base, publish, config string
	server                     *process
}

// The page keeps what it is told. Events say their number, and each channel's come in
// order, or the page says so.
const livePage = `<!DOCTYPE html><title>waiting</title><script src="/comet/%s"></script><script>
var got = [], gaps = [], states = [], odd = [], newest = {}, live;
function follow(options, channels) {
	live = comet('/comet', options);
	live.on('*state', function (s) { states.push(s.state + (s.error ? ' ' + s.error : '')); });
	live.on('*gap', function (g) { gaps.push(g.channels.join()); });
	channels.forEach(function (name) {
		live.on(name, function (e) {
			if (e.channel !== name || newest[name] >= e.data) odd.push(name + ' ' + e.data);
			newest[name] = e.data;
			got.push(e.data);
		});
	});
	return true;
}
</script>`

func newLive(t *testing.T) *live {
	t.Helper()
	s := &live{dir: runDir(t)}
	listen, publish := port(t), port(t)
	s.base, s.publish = "http://127.0.0.1:"+listen, "http://127.0.0.1:"+publish
	s.config = fmt.Sprintf(`{
	auto_https off
	metrics
	comet {
		history 10000 10m 10MiB
	}
}
%s {
	root %s/www
	comet /comet/* {
		jsonp
	}
	file_server
}
%s {
	bind 127.0.0.1
	comet_publish
}
`, s.base, s.dir, s.publish)
	if err := os.MkdirAll(s.dir+"/www", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, s.dir+"/www/live.html", fmt.Sprintf(livePage, "comet.js"))
	write(t, s.dir+"/www/legacy.html", fmt.Sprintf(livePage, "comet.legacy.js"))
	return s
}

func (s *live) start(t *testing.T) *live {
	t.Helper()
	s.server = caddy(t, s.dir, s.config)
	return s
}

// say publishes a number.
func (s *live) say(t *testing.T, channel string, n int) {
	t.Helper()
	res, err := plain.Post(s.publish+"/"+channel, "application/json", strings.NewReader(strconv.Itoa(n)))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("publishing: %s", res.Status)
	}
}

var heldMetric = regexp.MustCompile(`(?m)^caddy_comet_held\{.*transport="(\w+)".*\} (\d+)$`)

var cursorIn = regexp.MustCompile(`[0-9a-z]+\.\d+`)

// held is how many requests the server holds, by their transport.
func (s *live) held(t *testing.T) map[string]int {
	t.Helper()
	held := make(map[string]int)
	for _, m := range heldMetric.FindAllStringSubmatch(adminGet(t, s.dir, "/metrics"), -1) {
		if n, _ := strconv.Atoi(m[2]); n > 0 {
			held[m[1]] += n
		}
	}
	return held
}

// only waits until the server holds one request, which goes by that transport.
func (s *live) only(t *testing.T, transport string) {
	t.Helper()
	until(t, "one held request by "+transport, func() bool {
		held := s.held(t)
		return len(held) == 1 && held[transport] == 1
	})
}

// follow opens a page in a tab and has it follow channels.
func (s *live) follow(t *testing.T, tab context.Context, page, options string, channels ...string) {
	t.Helper()
	open(t, tab, s.base+page)
	list, _ := json.Marshal(channels)
	script[bool](t, tab, fmt.Sprintf("follow(%s, %s)", options, list))
}

func opened(t *testing.T, tab context.Context, transport string) {
	t.Helper()
	until(t, "the page to be connected by "+transport, func() bool {
		return script[string](t, tab, "live.state + ' ' + live.transport") == "open "+transport
	})
}

// wants waits until the page has as many events, and checks that they are those from
// first on, each once and in its channel's order.
func wants(t *testing.T, tab context.Context, first, last int) {
	t.Helper()
	until(t, fmt.Sprintf("the event %d", last), func() bool { return script[bool](t, tab, fmt.Sprintf("got.indexOf(%d) >= 0", last)) })
	got := script[[]int](t, tab, "got.slice()")
	slices.Sort(got)
	for i := range max(len(got), last-first+1) {
		if i >= len(got) || got[i] != first+i {
			t.Errorf("the page has %d events, and not all from %d to %d once: %v", len(got), first, last, got)
			break
		}
	}
	if odd := script[[]string](t, tab, "odd"); len(odd) > 0 {
		t.Errorf("out of order: %v", odd)
	}
}

func noGap(t *testing.T, tab context.Context) {
	t.Helper()
	if gaps := script[[]string](t, tab, "gaps"); len(gaps) > 0 {
		t.Errorf("the page is told of gaps: %v", gaps)
	}
}

// best is what a browser should use of this server.
func (s *live) best(t *testing.T) string {
	t.Helper()
	r, _ := http.NewRequest("GET", s.base+"/comet/a?beat=15", nil)
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
		r.Header.Set(name, value)
	}
	res, err := plain.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return "websocket"
	}
	return "sse"
}

// TestTheLibraryGoesEveryWay, with one connection for three channels.
func TestTheLibraryGoesEveryWay(t *testing.T) {
	s := newLive(t).start(t)
	write(t, s.dir+"/www/worker.js", `importScripts('/comet/comet.js');
var live = comet('/comet', { transports: ['sse'] });
function tell(e) { postMessage(e.data); }
['a', 'b', 'c'].forEach(function (name) { live.on(name, tell); });`)
	write(t, s.dir+"/www/worker.html", `<!DOCTYPE html><title>waiting</title><script>
var got = [], odd = [], gaps = [], live = { state: 'open', transport: 'sse' };
function follow() { new Worker('/worker.js').onmessage = (e) => got.push(e.data); return true; }
</script>`)
	write(t, s.dir+"/www/module.html", strings.Replace(fmt.Sprintf(livePage, "comet.js"), `<script src="/comet/comet.js"></script>`,
		`<script type="module">import { comet } from '/comet/comet.esm.js'; window.comet = comet;</script>`, 1))
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it
	best := s.best(t)
	for _, c := range []struct{ name, page, options, transport string }{
		{"event stream", "/live.html", "{transports: ['sse']}", "sse"},
		{"stream", "/live.html", "{transports: ['stream']}", "stream"},
		{"poll", "/live.html", "{transports: ['poll']}", "poll"},
		{"JSONP", "/live.html", "{transports: ['jsonp'], jsonp: true}", "jsonp"},
		{"the best", "/live.html", "{}", best},
		{"as a module", "/module.html", "{transports: ['sse']}", "sse"},
		{"in a worker", "/worker.html", "{}", "sse"},
		{"old browsers' poll", "/legacy.html", "{}", "poll"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab, leave := chromedp.NewContext(chromium)
			s.follow(t, tab, c.page, c.options, "a", "b", "c")
			opened(t, tab, c.transport)
			s.only(t, c.transport)
			for i := range 6 {
				s.say(t, string("abc"[i%3]), i)
			}
			wants(t, tab, 0, 5)
			noGap(t, tab)
			s.only(t, c.transport)
			leave()
			until(t, "the connection to be gone with the page", func() bool { return len(s.held(t)) == 0 })
		})
	}
}

// TestScriptsGetThroughWhereAPageMayNotAsk: a page of another site has no way but
// JSONP, and only where it was told that it may.
func TestScriptsGetThroughWhereAPageMayNotAsk(t *testing.T) {
	s := newLive(t)
	other := port(t)
	s.config += fmt.Sprintf("http://127.0.0.1:%s {\n\troot %s/www\n\tfile_server\n}\n", other, s.dir)
	s.start(t)
	for _, library := range []string{"comet.js", "comet.legacy.js"} {
		page := strings.NewReplacer(`src="/`, `src="`+s.base+"/", "comet('/comet'", "comet('"+s.base+"/comet'").Replace(fmt.Sprintf(livePage, library))
		write(t, filepath.Join(s.dir, "www", library+".html"), page)
	}
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it
	for _, library := range []string{"comet.js", "comet.legacy.js"} {
		t.Run(library, func(t *testing.T) {
			elsewhere := &live{base: "http://127.0.0.1:" + other}
			barred, lets := tab(t, chromium), tab(t, chromium)
			elsewhere.follow(t, barred, "/"+library+".html", "{share: false}", "a")
			elsewhere.follow(t, lets, "/"+library+".html", "{share: false, jsonp: true}", "a")
			opened(t, lets, "jsonp")
			s.only(t, "jsonp")
			s.say(t, "a", 1)
			wants(t, lets, 1, 1)
			until(t, "the other page to have failed", func() bool { return script[bool](t, barred, "states.join().indexOf('waiting') >= 0") })
			if script[bool](t, barred, "states.indexOf('open') >= 0 || got.length > 0") {
				t.Error("it went another way that it was not told to")
			}
			script[bool](t, lets, "live.close(), true")
		})
	}
}
