package integration

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// troubles has the errors that a tab's console shows, those of its CSP among them.
func troubles(t *testing.T, tab context.Context) (seen func() []string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	add := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, text)
	}
	err := chromedp.Listen(tab, func(ev any) {
		switch e := ev.(type) {
		case *log.EventEntryAdded:
			add(e.Entry.Text)
		case *runtime.EventExceptionThrown:
			add(e.ExceptionDetails.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	err = chromedp.Do(tab, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, log.Enable, cdp.Empty{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, t, runtime.Enable, cdp.Empty{})
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// likes has a tab be so wide, with a colour scheme.
func likes(t *testing.T, tab context.Context, width int64, scheme string) {
	t.Helper()
	err := chromedp.Do(tab, chromedp.EmulateViewport(width, 844), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// TestTheStatusPageInABrowser: it shows what is held while it is, draws it, tails a
// channel, lets nothing that is published become a part of it, and fits a phone.
func TestTheStatusPageInABrowser(t *testing.T) {
	dir, listen, local := runDir(t), port(t), port(t)
	caddy(t, dir, fmt.Sprintf("http://127.0.0.1:%s {\n\tcomet /comet/*\n}\n", listen)+documented(t, "status", "2020", local))
	base := "http://127.0.0.1:" + local
	publish := func(text, contentType string) {
		t.Helper()
		res, err := plain.Post("http://127.0.0.1:"+local+"/orders", contentType, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatal(res.Status)
		}
	}
	page := browser(t)
	seen := troubles(t, page)
	likes(t, page, 1280, "light")
	open(t, page, base+"/status")
	tile := func(n int) string {
		return script[string](t, page, fmt.Sprintf("document.querySelectorAll('#tiles .value')[%d]?.textContent ?? ''", n))
	}
	until(t, "the page to be live", func() bool {
		return script[string](t, page, "document.getElementById('state').dataset.state") == "live"
	})
	if got := tile(0); got != "0" {
		t.Errorf("with nothing held it shows %q", got)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 3 {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+listen+"/comet/orders?as=sse", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := plain.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
	}
	until(t, "three to be shown", func() bool { return tile(0) == "3" && tile(1) == "3" })
	until(t, "the plot's legend", func() bool {
		return strings.Contains(script[string](t, page, "document.querySelector('.legend').textContent"), "native 3")
	})
	publish(`{"id":42}`, "application/json")
	until(t, "the time to the last answer", func() bool { return strings.HasSuffix(tile(4), "s") })
	// Something is drawn: not all of the canvas is empty.
	if !script[bool](t, page, `[...document.querySelectorAll('#plots canvas')].every((c) =>
		c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0)) && document.querySelectorAll('#plots canvas').length === 4`) {
		t.Error("the plots are empty")
	}

	const hostile = `<img src=x onerror="window.hurt=1"><script>window.hurt=2</script>` + "\u202e"
	publish(hostile, "text/html")
	script[bool](t, page, "document.getElementById('channel').value = 'orders', document.querySelector('#ask .main').click(), true")
	rows := func() string {
		return script[string](t, page, "[...document.querySelectorAll('#log code')].map((e) => e.textContent).join(' | ')")
	}
	shown := strings.ReplaceAll(hostile, "\u202e", "\ufffd") + ` | {"id":42}`
	until(t, "what is kept of the channel", func() bool { return rows() == shown })
	publish("news", "text/plain")
	until(t, "what is published now", func() bool { return rows() == "news | "+shown })
	until(t, "the page to count itself apart", func() bool { return tile(0) == "4" && tile(1) == "3" })
	if script[bool](t, page, "'hurt' in window || document.querySelectorAll('#log img, #log script').length > 0") {
		t.Error("an event becomes a part of the page")
	}
	for i := range 210 {
		publish(fmt.Sprint(i), "text/plain")
	}
	until(t, "the last of many, and no more than 200", func() bool {
		return script[string](t, page, "document.querySelector('#log code').textContent") == "209" && script[int](t, page, "document.getElementById('log').childElementCount") == 200
	})

	if all := seen(); len(all) > 0 {
		t.Errorf("the browser complains: %q", all)
	}
	// The browser itself keeps markup out, whatever a later change writes.
	if !script[bool](t, page, "(() => { try { document.body.insertAdjacentHTML('beforeend', '<b>x</b>'); return false } catch { return true } })()") {
		t.Error("markup can be put into the page")
	}

	light := script[string](t, page, "getComputedStyle(document.body).backgroundColor")
	for _, width := range []int64{1280, 390} {
		likes(t, page, width, "dark")
		until(t, "the page to fit, in the dark", func() bool {
			return script[int](t, page, "document.documentElement.scrollWidth") <= int(width) && script[string](t, page, "getComputedStyle(document.body).backgroundColor") != light
		})
		if wide := script[string](t, page, "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, .log, .u-wrap')).map((e) => e.outerHTML.slice(0, 80)).join()"); wide != "" {
			t.Errorf("at %d something stands out: %s", width, wide)
		}
	}

	cancel()
	until(t, "nobody but the page to be shown", func() bool { return tile(0) == "1" && tile(1) == "0" })
	if out, err := exec.Command("bash", "-c", strings.Replace(documented(t, "status-json"), "2020", local, 1)).Output(); err != nil || !strings.Contains(string(out), `"dialects":[{"dialect":"status"`) {
		t.Errorf("%v: %s", err, out)
	}
}

// TestTheStatusPageComesBackAfterARestart by itself, and says meanwhile that it is not live.
func TestTheStatusPageComesBackAfterARestart(t *testing.T) {
	dir, local := runDir(t), port(t)
	config := documented(t, "status", "2020", local)
	p := caddy(t, dir, config)
	page := browser(t)
	open(t, page, "http://127.0.0.1:"+local+"/status/")
	state := func() string { return script[string](t, page, "document.getElementById('state').dataset.state") }
	until(t, "the page to be live", func() bool { return state() == "live" })
	p.kill(t)
	until(t, "the page to say that it is not", func() bool { return state() == "lost" })
	caddy(t, dir, config)
	until(t, "the page to be live again", func() bool { return state() == "live" })
}
