package integration

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser starts Debian's Chromium and returns the context of a tab. chromedp
// drives it, because then a browser's test is a Go test like all others, with no
// second package manager and no download of a browser of its own.
func browser(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	options := append(append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(find(t, "chromium")), chromedp.NoSandbox,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.UserDataDir(runDir(t))), more...)
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	return ctx
}

// tab opens a new tab, and closes it with the test: a page that is only left may
// live on in the browser's back/forward cache, connections included.
func tab(t *testing.T, browser context.Context) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	return ctx
}

// open loads a page.
func open(t *testing.T, ctx context.Context, url string) {
	t.Helper()
	// No time limit in the context: it would end the tab with it.
	loaded := make(chan error, 1)
	go func() {
		_, err := chromedp.Run(ctx, chromedp.Navigate(url))
		loaded <- err
	}()
	select {
	case err := <-loaded:
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
	case <-time.After(patience):
		t.Fatalf("%s never finishes loading", url)
	}
}

// hasCertificate waits until the server has made localhost's certificate, which it does
// after it has started.
func hasCertificate(t *testing.T, port string) {
	t.Helper()
	until(t, "the certificate", func() bool {
		c, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// script runs JavaScript in the page.
func script[T any](t *testing.T, ctx context.Context, js string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js))
	if err != nil {
		t.Fatalf("%s: %v", js, err)
	}
	return v
}

// TestTheDocumentedJavaScriptRuns runs the snippets in a real browser, on a page
// that keeps what they print.
func TestTheDocumentedJavaScriptRuns(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	listen, publish := port(t), port(t)
	for name, call := range map[string]string{
		"js": "", "js-poll": "follow('orders', (event) => console.log(JSON.stringify(event.data)));",
		"js-websocket": "followBySocket('orders', (event) => console.log(JSON.stringify(event.data)));",
	} {
		write(t, filepath.Join(dir, "www", name+".html"), fmt.Sprintf(`<!DOCTYPE html><title>waiting</title><script>
var printed = [];
console.log = (text) => printed.push(text);
%s
%s
</script>`, documented(t, name), call))
	}
	caddy(t, dir, fmt.Sprintf(`{
	auto_https off
}
http://127.0.0.1:%s {
	root %s/www
	comet /comet/*
	file_server
}
http://127.0.0.1:%s {
	bind 127.0.0.1
	comet_publish
}
`, listen, dir, publish))
	ctx := browser(t)
	open(t, ctx, "about:blank") // starts it
	for _, name := range []string{"js", "js-poll", "js-websocket"} {
		t.Run(name, func(t *testing.T) {
			ctx := tab(t, ctx)
			open(t, ctx, "http://127.0.0.1:"+listen+"/"+name+".html")
			until(t, "the page to listen", func() bool {
				_, body := get(t, "http://127.0.0.1:"+publish+"/orders")
				return strings.Contains(body, `"held":1`)
			})
			for i := range 5 {
				res, err := plain.Post("http://127.0.0.1:"+publish+"/orders", "application/json", strings.NewReader(fmt.Sprintf(`{"n":%d}`, i)))
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
			}
			until(t, "five events", func() bool { return script[int](t, ctx, "printed.length") >= 5 })
			if got := script[string](t, ctx, "printed.join(' ')"); got != `{"n":0} {"n":1} {"n":2} {"n":3} {"n":4}` {
				t.Errorf("the page printed %s", got)
			}
		})
	}
}

// TestTheDemoWorksInABrowser opens the demo's pages on Caddyfile.example and
// presses their buttons.
func TestTheDemoWorksInABrowser(t *testing.T) {
	dir := demoDir(t)
	for _, name := range []string{"customAlert", "customAlert2", "demo"} {
		// Of a file that is new touch() is two changes, between which a busy machine may find
		// time for much.
		file := dir + "/run/" + name + ".comet"
		write(t, file, "")
		own(t, file)
	}
	fpm(t, dir, 2)
	listen, publish := port(t), port(t)
	t.Setenv("COMET_SITE", ":"+listen)
	t.Setenv("COMET_DEMO_PUBLISH_PORT", publish)
	t.Setenv("COMET_ROOT", dir+"/php-demo/public")
	t.Setenv("COMET_RUN", dir+"/run")
	t.Setenv("PHP_FPM", "unix/"+dir+"/fpm.sock")
	example, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	caddy(t, dir, string(example))
	ctx := browser(t)
	open(t, ctx, "about:blank") // starts it
	base := "http://127.0.0.1:" + listen

	for _, page := range []struct {
		path    string
		buttons []string
	}{
		{"/novcomet.php", []string{"a.customAlert", "a.customAlert2", "[data-publish=touch]"}},
		{"/events.php", []string{"[data-publish=touch]", "[data-publish=append]", "[data-publish=post]"}},
	} {
		t.Run(page.path, func(t *testing.T) {
			ctx, leave := chromedp.NewContext(ctx)
			open(t, ctx, base+page.path)
			for i, button := range page.buttons {
				until(t, "the page to listen", func() bool { return strings.Contains(adminGet(t, dir, "/comet/"), `"held":1`) })
				script[bool](t, ctx, fmt.Sprintf("document.querySelector(%q).click(), true", button))
				until(t, button+" to show an event", func() bool {
					return script[int](t, ctx, "document.querySelectorAll('#log li:not(.empty)').length") > i
				})
			}
			// One event for each press, and no more a moment later.
			until(t, "the next poll or stream", func() bool { return strings.Contains(adminGet(t, dir, "/comet/"), `"held":1`) })
			if n := script[int](t, ctx, "document.querySelectorAll('#log li:not(.empty)').length"); n != len(page.buttons) {
				t.Errorf("%d events are shown after %d presses: %s", n, len(page.buttons), script[string](t, ctx, "document.querySelector('#log').innerText"))
			}
			leave()
			until(t, "the hold to be freed when the tab is closed", func() bool { return strings.Contains(adminGet(t, dir, "/comet/"), `"held":0`) })
		})
	}
}
