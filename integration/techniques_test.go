package integration

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// source is where the events of some techniques come from.
type source struct {
	// publish publishes the n-th event, text is what a page shows of it.
	publish func(t *testing.T, d *demoSite, n int)
	text    func(n int) string
	// paced: an event says what is so, not what has changed. A page that was told
	// of one late need not be told of the one before, so the next one waits.
	paced bool
	// missed publishes while the server is down, where that is possible, and
	// returns what a page shows of it when the server is back.
	missed func(t *testing.T, d *demoSite) string
	// now and then a page is not listening for a moment, and then publish repeats.
	repeats bool
}

var (
	line = &source{
		publish: func(t *testing.T, d *demoSite, n int) { d.php(t, "append", "demo", "event "+strconv.Itoa(n)) },
		text:    func(n int) string { return "event " + strconv.Itoa(n) },
	}
	touch = &source{
		publish: func(t *testing.T, d *demoSite, n int) { d.php(t, "touch", "customAlert", "") },
		text:    func(int) string { return "customAlert" },
		paced:   true,
		missed: func(t *testing.T, d *demoSite) string {
			write(t, filepath.Join(d.dir, "run", "customAlert.comet"), "")
			return "customAlert"
		},
	}
	chatFile = &source{
		publish: func(t *testing.T, d *demoSite, n int) {
			if res, body := get(t, fmt.Sprintf("http://127.0.0.1:%s/chat.php?msg=%%3Cb%%3Emessage+%d", d.http, n)); res.StatusCode != http.StatusOK {
				t.Fatalf("chat.php: %s %s", res.Status, body)
			}
		},
		text:  func(n int) string { return "<b>message " + strconv.Itoa(n) },
		paced: true,
		missed: func(t *testing.T, d *demoSite) string {
			write(t, filepath.Join(d.dir, "run", "chat.txt"), "said meanwhile")
			return "said meanwhile"
		},
	}
	counter = &source{
		publish: func(t *testing.T, d *demoSite, n int) {
			res, err := plain.Post("http://127.0.0.1:"+d.http+"/counter.php", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
		},
		text:  func(n int) string { return "counter is " + strconv.Itoa(n) },
		paced: true,
	}
	seconds = &source{
		publish: func(t *testing.T, d *demoSite, n int) {
			d.post(t, "time", "application/json", strconv.Itoa(1795242000+n))
		},
		text: func(n int) string { return strconv.Itoa(1795242000 + n) },
	}
	// pictures are of one colour each, whose red is n. Chromium shows a picture
	// when the next one begins, so each comes twice.
	pictures = &source{
		publish: func(t *testing.T, d *demoSite, n int) {
			d.post(t, "picture", "image/png", picture(t, n))
			d.post(t, "picture", "image/png", picture(t, n))
		},
		text:    strconv.Itoa,
		paced:   true,
		repeats: true,
	}
)

func picture(t *testing.T, n int) string {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for i := range 64 * 64 {
		img.Set(i%64, i/64, color.RGBA{uint8(n), 100, 200, 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// technique is one panel of the demo's page.
type technique struct {
	name   string
	source *source
	// host of the page over http; by default one of its own, since a browser has
	// six connections for each.
	host string
	// first is what a page shows before anything is published.
	first []string
	// holds are the channels on which its request is held.
	holds []string
	// told: gaps are shown.
	told bool
	// seen is JavaScript that gives what the page has shown.
	seen string
	// asks tells its requests from others.
	asks *regexp.Regexp
}

const panelEvents = "document.querySelector('.panel').events"

// everyColour notes the colours that the picture takes on.
const everyColour = `(() => {
	window.colours = [];
	const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
	setInterval(() => {
		try {
			canvas.clearRect(0, 0, 1, 1);
			canvas.drawImage(document.querySelector('.panel img'), 0, 0, 1, 1);
		} catch {
			return; // a broken picture
		}
		const [red, green] = canvas.getImageData(0, 0, 1, 1).data;
		if (green === 100 && colours.at(-1) !== String(red)) {
			colours.push(String(red));
		}
	}, 10);
	return true;
})()`

var techniques = []technique{
	{name: "short-polling", source: line, told: true, asks: regexp.MustCompile(`^/comet/demo\?.*wait=0`)},
	{name: "long-polling", source: line, told: true, holds: []string{"demo"}, asks: regexp.MustCompile(`^/comet/demo\?since=[^&]* \*/\*$`)},
	{name: "novcomet", source: touch, holds: []string{"demo", "customAlert"}, asks: regexp.MustCompile(`^/comet\.php`),
		seen: panelEvents + ".filter((name) => name !== 'demo')"},
	{name: "jsonp", source: line, told: true, holds: []string{"demo"}, host: "localhost", asks: regexp.MustCompile(`^/jsonp/demo`)},
	{name: "doorbell", source: counter, host: "localhost", first: []string{"counter is 0"}, asks: regexp.MustCompile(`^/(doorbell/|counter\.php)`)},
	{name: "chat", source: chatFile, holds: []string{"chat"}, first: []string{"Hello"}, asks: regexp.MustCompile(`^/chat\.php`)},
	{name: "forever-frame", source: line, told: true, holds: []string{"demo"}, asks: regexp.MustCompile(`as=frame&callback=parent.updateResult`)},
	{name: "iframe-clock", source: seconds, holds: []string{"time"}, asks: regexp.MustCompile(`^/clock/backend\.php`)},
	{name: "xhr-streaming", source: line, told: true, holds: []string{"demo"}, asks: regexp.MustCompile(`as=stream`)},
	{name: "multipart", source: pictures, holds: []string{"picture"}, seen: "colours", asks: regexp.MustCompile(`^/comet/picture`)},
	{name: "event-source", source: line, told: true, holds: []string{"demo"}, asks: regexp.MustCompile(`text/event-stream$`)},
}

// visit is a technique's page in a tab.
type visit struct {
	technique
	protocol string
	tab      context.Context
	want     []string
}

func (v *visit) String() string { return v.protocol + " " + v.name }

// has is what the page has shown so far.
func (v *visit) has(t *testing.T) []string {
	t.Helper()
	seen := v.seen
	if seen == "" {
		seen = panelEvents
	}
	return script[[]string](t, v.tab, seen)
}

// arrived waits until everything has arrived, and checks that it came in order
// and once.
func (v *visit) arrived(t *testing.T, again func()) {
	t.Helper()
	var has []string
	defer func() {
		if t.Failed() {
			t.Logf("%v shows %q, of %q; its panel says %q", v, has, v.want, script[string](t, v.tab, "document.querySelector('.panel').innerText"))
		}
	}()
	until(t, v.String()+" to show "+v.want[len(v.want)-1], func() bool {
		has = v.has(t)
		if again != nil && len(has) < len(v.want) {
			again()
		}
		return len(has) >= len(v.want)
	})
	if !slices.Equal(has, v.want) {
		t.Errorf("%v: shown are %q, published were %q", v, has, v.want)
	}
}

// TestEveryTechniqueSurvivesRestartsAndErrorPages opens each technique of the
// demo's page in a tab of its own, over HTTP/1.1 and over HTTP/2, and has the
// server stop, come back, be replaced by one that answers errors, and come back.
func TestEveryTechniqueSurvivesRestartsAndErrorPages(t *testing.T) {
	d := startDemo(t)
	chromium := browser(t, chromedp.Flag("ignore-certificate-errors", true))
	open(t, chromium, "about:blank") // starts it

	var visits []*visit
	held := map[string]int{}
	for _, c := range techniques {
		host := c.host
		if host == "" {
			host = c.name + ".localhost"
		}
		for protocol, base := range map[string]string{"http/1.1": "http://" + host + ":" + d.http, "h2": "https://localhost:" + d.https} {
			v := &visit{technique: c, protocol: protocol, tab: tab(t, chromium), want: slices.Clone(c.first)}
			open(t, v.tab, base+"/techniques.php?only="+c.name)
			if got := script[string](t, v.tab, "performance.getEntriesByType('navigation')[0].nextHopProtocol"); got != protocol {
				t.Errorf("%v: the page came by %s", v, got)
			}
			script[bool](t, v.tab, "window.stays = true")
			if c.source == pictures {
				script[bool](t, v.tab, everyColour)
			}
			visits = append(visits, v)
			for _, channel := range c.holds {
				held[channel]++
			}
		}
	}

	restarts := 0
	// Everybody listens: what is published from now on must arrive.
	listening := func() {
		t.Helper()
		for channel, n := range held {
			until(t, fmt.Sprintf("%d requests to be held on %s", n, channel), func() bool { return d.held(t, channel) == n })
		}
		for _, v := range visits {
			until(t, v.String()+" to be told of what it missed, and to listen", func() bool {
				return (!v.told || script[int](t, v.tab, "document.querySelectorAll('.gap').length") == restarts) &&
					(v.source == pictures || script[string](t, v.tab, "document.querySelector('.panel').dataset.state") == "live")
			})
		}
	}
	n := 0
	publish := func(many int) {
		t.Helper()
		for range many {
			n++
			for _, s := range []*source{line, touch, chatFile, counter, seconds, pictures} {
				last := time.Now()
				s.publish(t, d, n)
				var again func()
				if s.repeats {
					again = func() {
						if time.Since(last) > 500*time.Millisecond {
							last = time.Now()
							s.publish(t, d, n)
						}
					}
				}
				for _, v := range visits {
					if v.source == s {
						v.want = append(v.want, s.text(n))
						if s.paced {
							v.arrived(t, again)
						}
					}
				}
			}
		}
		for _, v := range visits {
			v.arrived(t, nil)
		}
	}

	listening()
	for _, v := range visits {
		if v.host == "localhost" && !strings.Contains(script[string](t, v.tab, "[...document.scripts].map((s) => s.src).join()"), "//127.0.0.1:") {
			t.Errorf("%v does not ask another origin", v)
		}
	}
	publish(4)

	// A restart, and something happens while the server is down. Stamps run ahead
	// of a clock of whole seconds, by some seconds when much happens in one.
	stamps := map[string]func() int{
		"NovComet's": func() int {
			i := slices.IndexFunc(visits, func(v *visit) bool { return v.name == "novcomet" })
			return script[int](t, visits[i].tab, "NovComet._subscribed.customAlert.timestamp")
		},
		"the chat's": func() int {
			_, body := get(t, "http://127.0.0.1:"+d.http+"/chat.php?timestamp=0")
			stamp, _ := strconv.Atoi(regexp.MustCompile(`\d+`).FindString(body[strings.LastIndex(body, ":"):]))
			return stamp
		},
	}
	for whose, stamp := range stamps {
		last := stamp()
		until(t, "the clock to pass "+whose+" time", func() bool { return time.Now().Unix() > int64(last) })
	}
	d.server.stop()
	for _, s := range []*source{touch, chatFile} {
		text := s.missed(t, d)
		for _, v := range visits {
			if v.source == s {
				v.want = append(v.want, text)
			}
		}
	}
	d.start(t)
	restarts++
	listening()
	for _, v := range visits {
		v.arrived(t, nil)
	}
	publish(2)

	// A server that has nothing but error pages.
	d.server.stop()
	broken := startBroken(t, d)
	for _, v := range visits {
		until(t, v.String()+" to be answered by two error pages", func() bool { return broken.times(v) >= 2 })
	}
	broken.stop()
	d.start(t)
	restarts++
	listening()
	publish(2)

	for _, v := range visits {
		if !script[bool](t, v.tab, "window.stays === true") {
			t.Errorf("%v: the page was loaded anew", v)
		}
	}
}

// brokenServer answers every GET with an error page.
type brokenServer struct {
	servers []*httptest.Server
	mu      sync.Mutex
	asked   map[string]int
}

func startBroken(t *testing.T, d *demoSite) *brokenServer {
	t.Helper()
	b := &brokenServer{asked: map[string]int{}}
	for protocol, port := range map[string]string{"http/1.1": d.http, "h2": d.https} {
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.answer(w, r, protocol) }))
		s.Listener.Close()
		s.Listener, s.EnableHTTP2 = l, true
		if protocol == "h2" {
			s.StartTLS()
		} else {
			s.Start()
		}
		b.servers = append(b.servers, s)
	}
	t.Cleanup(b.stop)
	return b
}

func (b *brokenServer) answer(w http.ResponseWriter, r *http.Request, protocol string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Method == http.MethodHead {
		return // a frame asks before it comes back, and is lured into the error page
	}
	status := http.StatusInternalServerError
	for _, c := range techniques {
		if c.asks.MatchString(r.URL.RequestURI() + " " + r.Header.Get("Accept")) {
			key := protocol + " " + c.name
			b.asked[key]++
			if b.asked[key]%2 == 0 {
				status = http.StatusBadGateway
			}
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!DOCTYPE html><title>%[1]d</title><h1>%[1]d</h1><p>Something is wrong.", status)
}

// times is how often a visit got an error page.
func (b *brokenServer) times(v *visit) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked[v.String()]
}

func (b *brokenServer) stop() {
	for _, s := range b.servers {
		s.CloseClientConnections()
		s.Close()
	}
	b.servers = nil
}

// TestTheTechniquesPage looks at what the panels share: connections, and PHP.
func TestTheTechniquesPage(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	chromium := browser(t, chromedp.Flag("ignore-certificate-errors", true), chromedp.WindowSize(1280, 4000))
	open(t, chromium, "about:blank") // starts it

	t.Run("four panels wait over HTTP/1.1, and others on a click", func(t *testing.T) {
		page := tab(t, chromium)
		open(t, page, "http://localhost:"+d.http+"/techniques.php")
		number := func(state string) int {
			return script[int](t, page, "document.querySelectorAll('.panel[data-connection=own][data-state="+state+"]').length")
		}
		until(t, "four panels to be live", func() bool { return number("live") == 4 })
		until(t, "the others to say that they wait", func() bool { return number("waits") == 4 })
		script[bool](t, page, "document.querySelector('#event-source [data-take]').click(), true")
		until(t, "the stream that was asked for", func() bool {
			return script[string](t, page, "document.querySelector('#event-source').dataset.state") == "live"
		})
		if n := number("waits"); n != 4 {
			t.Errorf("%d panels wait for a connection, not 4", n)
		}

		// What the visitor does finds a connection, too.
		script[bool](t, page, "document.querySelector('#publish button').click(), true")
		until(t, "each live panel of the channel to show the text", func() bool {
			return script[bool](t, page, `['short-polling', 'long-polling', 'novcomet', 'jsonp', 'event-source']
				.every((name) => document.getElementById(name).events.some((text) => text === 'Hello' || text === 'demo'))`)
		})
	})

	t.Run("all panels wait over HTTP/2", func(t *testing.T) {
		page := tab(t, chromium)
		open(t, page, "https://localhost:"+d.https+"/techniques.php")
		until(t, "every panel to be live", func() bool {
			d.post(t, "picture", "image/png", picture(t, 1)) // or there is no first picture
			return script[int](t, page, "document.querySelectorAll('.panel[data-state=live]').length") == len(techniques)+1
		})
	})

	t.Run("the clock ticks, and its picture", func(t *testing.T) {
		start(t, nil, find(t, "php"), "../php-demo/clock.php", "http://127.0.0.1:"+d.publish)
		clock, pictures := tab(t, chromium), tab(t, chromium)
		open(t, clock, "http://localhost:"+d.http+"/techniques.php?only=iframe-clock")
		open(t, pictures, "http://127.0.0.1:"+d.http+"/techniques.php?only=multipart")
		until(t, "three ticks", func() bool { return script[int](t, clock, panelEvents+".length") >= 3 })
		if !script[bool](t, clock, panelEvents+".every((time, i, all) => i === 0 || time > all[i - 1])") {
			t.Errorf("the clock does not go forward: %q", script[[]string](t, clock, panelEvents))
		}
		until(t, "three pictures", func() bool { return script[int](t, pictures, panelEvents+".length") >= 3 })
		if got := script[int](t, pictures, "document.querySelector('.panel img').naturalWidth"); got != 160 {
			t.Errorf("the picture is %d pixels wide, not 160", got)
		}
	})

	t.Run("PHP's own clock holds a worker, until it is ended", func(t *testing.T) {
		page := tab(t, chromium)
		open(t, page, "http://localhost:"+d.http+"/techniques.php?only=iframe-clock")
		busy := func() bool {
			_, body := get(t, "http://127.0.0.1:"+d.status+"/with?json")
			return !strings.Contains(body, `"active processes":0`)
		}
		shown := func() string {
			return script[string](t, page, "document.querySelector('[data-loop-time]').textContent")
		}
		click := "document.querySelector('[data-loop]').click(), true"
		until(t, "the panel to be live, and PHP to have nothing to do", func() bool {
			return script[string](t, page, "document.querySelector('.panel').dataset.state") == "live" && !busy()
		})
		script[bool](t, page, click)
		until(t, "PHP's loop to tell the time", func() bool { return strings.Contains(shown(), ":") })
		first := shown()
		until(t, "PHP's loop to tell the next second", func() bool { return shown() != first })
		if !busy() {
			t.Error("no worker is busy")
		}
		script[bool](t, page, click)
		until(t, "the worker to be free", func() bool { return !busy() })
	})
}

// TestThePanelOfPiggybackingIsToldOfNews has PHP publish beside the page, and
// by the panel's own button, and asks for a page each time.
func TestThePanelOfPiggybackingIsToldOfNews(t *testing.T) {
	chromium := browser(t, chromedp.Flag("ignore-certificate-errors", true))
	open(t, chromium, "about:blank") // starts it

	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			d := startDemo(t)
			base := map[string]string{"http/1.1": "http://localhost:" + d.http, "h2": "https://localhost:" + d.https}[protocol]
			page, listener := tab(t, chromium), tab(t, chromium)
			open(t, listener, "http://127.0.0.1:"+d.http+"/techniques.php?only=event-source")
			until(t, "the stream to be held", func() bool { return d.held(t, "demo") == 1 })
			open(t, page, base+"/techniques.php?only=piggyback")
			asked := func(want ...string) {
				t.Helper()
				var has []string
				until(t, "the panel to show an answer", func() bool {
					has = script[[]string](t, page, panelEvents)
					return len(has) >= len(want)
				})
				if !slices.Equal(has, want) {
					t.Fatalf("the panel shows %q, not %q", has, want)
				}
			}
			ask := "document.querySelector('[data-ask]').click(), true"
			asked("and there is no news")
			d.php(t, "header", "demo", "by PHP")
			script[bool](t, page, ask)
			asked("and there is no news", "and there is news on demo")
			script[bool](t, page, "document.querySelector('[data-publish-header]').click(), true")
			until(t, "the panel to say that PHP has published", func() bool {
				return strings.Contains(script[string](t, page, "document.querySelector('[data-published]').textContent"), "has become an event")
			})
			script[bool](t, page, ask)
			asked("and there is no news", "and there is news on demo", "and there is news on demo")
			script[bool](t, page, ask)
			asked("and there is no news", "and there is news on demo", "and there is news on demo", "and there is no news")
			until(t, "who listens to be told of both", func() bool {
				return slices.Equal(script[[]string](t, listener, panelEvents), []string{"by PHP", "by a header"})
			})

			// While the server is away, or answers errors, the panel says so; the next
			// answer tells of every channel that may have lost something.
			state := func(want string) {
				t.Helper()
				script[bool](t, page, ask)
				until(t, "the panel to be "+want, func() bool {
					return script[string](t, page, "document.querySelector('.panel').dataset.state") == want
				})
			}
			d.server.stop()
			state("lost")
			broken := startBroken(t, d)
			state("lost")
			broken.stop()
			d.start(t)
			state("live")
			asked("and there is no news", "and there is news on demo", "and there is news on demo", "and there is no news", "and there is news on demo,customAlert")
		})
	}
}
