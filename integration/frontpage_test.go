package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// ladder are the front page's rungs, and what it calls them.
var ladder = []struct{ way, name string }{
	{"websocket", "WebSocket"}, {"sse", "EventSource"}, {"stream", "Streaming"}, {"poll", "Long poll"}, {"jsonp", "JSONP"},
}

// cut presses the switches of the page until these ways are cut off, and no other.
func cut(t *testing.T, tab context.Context, ways ...string) {
	t.Helper()
	list, _ := json.Marshal(ways)
	script[bool](t, tab, fmt.Sprintf(`(() => {
		for (const rung of document.querySelectorAll('#ladder li')) {
			const button = rung.querySelector('button');
			if ((button.getAttribute('aria-checked') === 'false') !== (%s || []).includes(rung.dataset.way)) {
				button.click();
			}
		}
		return true;
	})()`, list))
}

// shows waits until the page says by what it is connected, and which rung that is.
func shows(t *testing.T, tab context.Context, name string) {
	t.Helper()
	want := name + ", " + name
	if name == "nothing" {
		want = "nothing, "
	}
	const js = "document.getElementById('way').textContent + ', ' + [...document.querySelectorAll('#ladder [data-is=used] strong')].map((e) => e.textContent)"
	got := ""
	defer func() {
		if t.Failed() {
			t.Logf("it says %q; %s", got, script[string](t, tab, "document.getElementById('live').innerText"))
		}
	}()
	until(t, "the page to be connected by "+name, func() bool {
		got = script[string](t, tab, js)
		return got == want
	})
}

// figures are what the page says of its events: how many PHP has published since the
// page began, how many have arrived, are lost, and came twice.
func figures(t *testing.T, tab context.Context) (published, arrived, lost, twice int) {
	t.Helper()
	n := script[[]int](t, tab, "['published', 'arrived', 'lost', 'twice'].map((name) => +document.querySelector(`#ledger [data-${name}]`).textContent)")
	return n[0], n[1], n[2], n[3]
}

// TestTheFrontPageFallsFromRungToRung, and comes back, in two tabs with one
// connection, while PHP counts. Neither tab loses an event, or has one twice.
func TestTheFrontPageFallsFromRungToRung(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	chromium := browser(t, chromedp.Flag("ignore-certificate-errors", true))
	open(t, chromium, "about:blank") // starts it
	for protocol, base := range map[string]string{"http/1.1": "http://localhost:" + d.http, "h2": "https://localhost:" + d.https} {
		t.Run(protocol, func(t *testing.T) {
			one, leaveOne := chromedp.NewContext(chromium)
			defer leaveOne()
			two, leaveTwo := chromedp.NewContext(chromium)
			defer leaveTwo()
			tabs := []context.Context{one, two}
			for _, tab := range tabs {
				open(t, tab, base+"/")
				shows(t, tab, "WebSocket")
			}
			for _, tab := range tabs {
				until(t, "the tabs to be counted", func() bool {
					return script[string](t, tab, "document.getElementById('tabs').textContent") == "2 tabs"
				})
			}
			script[bool](t, one, "document.getElementById('run').click(), true")
			more := func() {
				t.Helper()
				for _, tab := range tabs {
					_, before, _, _ := figures(t, tab)
					until(t, "ten more events", func() bool { _, now, _, _ := figures(t, tab); return now >= before+10 })
				}
			}
			way := func(name string, ways ...string) {
				t.Helper()
				cut(t, tabs[len(ways)%2], ways...) // another tab presses each time
				for _, tab := range tabs {
					shows(t, tab, name)
				}
				if name == "nothing" {
					return
				}
				more()
				until(t, "one request to be held for both tabs", func() bool { return d.held(t, "count") == 1 })
			}
			more()
			var ways []string
			for i, rung := range ladder {
				ways = append(ways, rung.way)
				if i+1 < len(ladder) {
					way(ladder[i+1].name, ways...)
				}
			}
			way("nothing", ways...)
			way("Streaming", "websocket", "sse", "poll")
			way("EventSource", "websocket", "stream")
			way("WebSocket", "sse")
			way("EventSource", "websocket", "poll")
			way("Streaming", "websocket", "sse", "poll", "jsonp")
			way("WebSocket")

			// Who has the connection leaves, and the other one goes on.
			leaveOne()
			until(t, "the tab to be gone", func() bool {
				return script[string](t, two, "document.getElementById('tabs').textContent") == "1 tab"
			})
			tabs = []context.Context{two}
			script[bool](t, two, "document.getElementById('run').click(), true")
			more()
			script[bool](t, two, "document.getElementById('run').click(), true")
			var state struct{ Count int }
			until(t, "all that PHP has counted to be there", func() bool {
				b, err := os.ReadFile(filepath.Join(d.dir, "run", "live.json"))
				if err != nil {
					t.Fatal(err)
				}
				return json.Unmarshal(b, &state) == nil && fmt.Sprint(state.Count) == script[string](t, two, "document.getElementById('count').textContent")
			})
			if published, arrived, lost, twice := figures(t, two); published == 0 || arrived != published || lost != 0 || twice != 0 {
				t.Errorf("of %d events %d have arrived, %d are lost, %d came twice", published, arrived, lost, twice)
			}
		})
	}
}

// TestTheFrontPageCountsWhatIsLost: its figures would say so.
func TestTheFrontPageCountsWhatIsLost(t *testing.T) {
	d := startDemo(t)
	tab := browser(t)
	open(t, tab, "http://localhost:"+d.http+"/")
	shows(t, tab, "WebSocket")
	for _, n := range []int{1, 2, 5, 2, 4} { // 3 is lost, 4 is late, 2 came twice
		d.post(t, "count", "application/json", fmt.Sprintf(`{"n":%d,"at":%d}`, n, time.Now().Unix()))
	}
	want := []int{5, 4, 1, 1}
	until(t, fmt.Sprintf("the figures %v", want), func() bool {
		published, arrived, lost, twice := figures(t, tab)
		return slices.Equal([]int{published, arrived, lost, twice}, want)
	})
}

// TestTheFrontPagesChat: what is said in one tab is in the other, as text, and in the
// page that PHP renders.
func TestTheFrontPagesChat(t *testing.T) {
	d := startDemo(t)
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it
	one, two := tab(t, chromium), tab(t, chromium)
	const text = `<img src=x onerror="window.hurt = 1"> & more`
	said := func(tab context.Context) {
		t.Helper()
		until(t, "the message", func() bool {
			return strings.HasSuffix(script[string](t, tab, "document.getElementById('messages').innerText.trim()"), text)
		})
		if script[bool](t, tab, "'hurt' in window || document.querySelectorAll('#messages img').length > 0") {
			t.Error("what a visitor says becomes part of the page")
		}
	}
	for _, tab := range []context.Context{one, two} {
		open(t, tab, "http://localhost:"+d.http+"/")
		shows(t, tab, "WebSocket")
	}
	script[bool](t, one, fmt.Sprintf("document.querySelector('#say input').value = %q, document.querySelector('#say button').click(), true", text))
	said(one)
	said(two)
	open(t, two, "http://localhost:"+d.http+"/")
	said(two)

	for form, want := range map[string]string{"text=" + strings.Repeat("x", 301) + "&name=a": "text is", "text=a": "name is", "text=%ff&name=a": "text is"} {
		res, err := plain.Post("http://localhost:"+d.http+"/", "application/x-www-form-urlencoded", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Error string }
		_ = json.NewDecoder(res.Body).Decode(&answer)
		res.Body.Close()
		if res.StatusCode != 400 || !strings.HasPrefix(answer.Error, want) {
			t.Errorf("%.20s: %s %s", form, res.Status, answer.Error)
		}
	}
}

// TestTheDemoFitsAPhone: no page of it has to be pushed sideways.
func TestTheDemoFitsAPhone(t *testing.T) {
	t.Parallel()
	const width = 375
	d := startDemo(t)
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it
	likes(t, chromium, width, "light")
	for _, page := range []string{"/", "/techniques.php", "/novcomet.php", "/events.php", "/proof.php"} {
		open(t, chromium, "http://localhost:"+d.http+page)
		if got := script[int](t, chromium, "document.documentElement.scrollWidth"); got > width {
			t.Errorf("%s is %d wide", page, got)
		}
	}
}
