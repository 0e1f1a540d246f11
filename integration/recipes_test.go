package integration

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// follow opens an event stream, and returns what reads its next data once the
// stream has begun. The headers are names and values.
func follow(t *testing.T, url string, headers ...string) (next func() string) {
	t.Helper()
	res := ask(t, url, append(headers, "Accept", "text/event-stream")...)
	t.Cleanup(func() { res.Body.Close() })
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("%s: %s, %s: %s", url, res.Status, got, b)
	}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "id: ") {
	}
	return func() string {
		t.Helper()
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return data
			}
		}
		t.Fatalf("%s: the stream ended: %v", url, lines.Err())
		return ""
	}
}

// ask sends a GET with these headers.
func ask(t *testing.T, url string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := plain.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// status is what a GET is answered with.
func status(t *testing.T, url string, headers ...string) int {
	t.Helper()
	res := ask(t, url, headers...)
	res.Body.Close()
	return res.StatusCode
}

// folders makes folders for the files of a site.
func folders(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.MkdirAll(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestThePlainPHPRecipeWorks: the page that asks is told when, and the one that
// slept waits here.
func TestThePlainPHPRecipeWorks(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	folders(t, dir+"/www/data")
	own(t, dir+"/www/data")
	write(t, dir+"/www/save.php", documented(t, "php-plain-save", "/srv/www/example", dir+"/www", "/run/comet/example", dir+"/run"))
	write(t, dir+"/www/wait.php", documented(t, "php-plain-wait", "/srv/www/example", dir+"/www"))
	fpm(t, dir, 1)
	listen := port(t)
	caddy(t, dir, "{\n\tauto_https off\n}\n"+documented(t, "plain", "example.com", "http://127.0.0.1:"+listen,
		"/srv/www/example", dir+"/www", "/run/comet/example", dir+"/run", "unix//run/php/php-fpm.sock", "unix/"+dir+"/fpm.sock"))
	base := "http://127.0.0.1:" + listen
	save := func(what string) {
		t.Helper()
		res, err := plain.PostForm(base+"/save.php", map[string][]string{"what": {what}})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || len(b) > 0 {
			t.Fatalf("save.php: %s %s", res.Status, b)
		}
	}

	next := follow(t, base+"/comet/orders")
	save("tea")
	if got := next(); got != "" {
		t.Errorf("the touch says %q", got)
	}
	if _, got := get(t, base+"/wait.php?since=0"); got != `["tea"]` {
		t.Errorf("wait.php says %s at once", got)
	}
	answer := make(chan string)
	go func() {
		_, body := get(t, base+"/wait.php?since=1")
		answer <- body
	}()
	until(t, "wait.php to be held", func() bool {
		return strings.Contains(adminGet(t, dir, "/metrics"), `dialect="handoff",hub="default",transport="retry"} 1`)
	})
	save("cake\nand more") // by the only worker
	if got := <-answer; got != `["cake and more"]` {
		t.Errorf("wait.php says %s", got)
	}

	// The page that asked every few seconds.
	write(t, dir+"/www/orders.php", "<?php readfile('data/orders.txt');")
	write(t, dir+"/www/orders.html", `<!DOCTYPE html><title>Orders</title><pre id="orders"></pre><script>
async function load() { orders.textContent = await (await fetch('orders.php')).text(); }
`+documented(t, "js-plain")+"</script>")
	chromium := browser(t)
	open(t, chromium, base+"/orders.html")
	shows := func(text string) func() bool {
		return func() bool { return script[string](t, chromium, "orders.textContent") == text }
	}
	until(t, "the orders to be shown", shows("tea\ncake and more\n"))
	save("biscuits")
	until(t, "the new one to be shown", shows("tea\ncake and more\nbiscuits\n"))
}

// TestThePageThatWaitsTakesAWorker: what docs/why.md says of PHP alone.
func TestThePageThatWaitsTakesAWorker(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	write(t, dir+"/www/wait.php", documented(t, "php-why-wait", "$i < 25", "$i < 1000", "sleep(1)", "usleep(10000)", "/tmp/news", dir+"/news"))
	fpm(t, dir, 2)
	listen, status := port(t), port(t)
	caddy(t, dir, fmt.Sprintf(`{
	auto_https off
}
http://127.0.0.1:%s {
%s}
http://127.0.0.1:%s {
	root %s/www
	php_fastcgi unix/%[4]s/status.sock {
		try_files /status
		split /status
	}
}
`, listen, phpSite(dir), status, dir))
	base := "http://127.0.0.1:" + listen
	answers := make(chan string)
	for range 2 {
		go func() {
			_, body := get(t, base+"/wait.php")
			answers <- body
		}()
	}
	until(t, "no worker to be left", func() bool {
		_, body := get(t, "http://127.0.0.1:"+status+"/status")
		return regexp.MustCompile(`(?m)^idle processes: +0$`).MatchString(body)
	})
	write(t, dir+"/news", "")
	for range 2 {
		if got := <-answers; got != "news" {
			t.Errorf("a visitor is told %q", got)
		}
	}
	if _, body := get(t, base+"/"); !strings.HasPrefix(body, "home ") {
		t.Errorf("the site says %q", body)
	}
}

// TestTheQuickStartWorks types what docs/quickstart.md has, in a home of its own.
func TestTheQuickStartWorks(t *testing.T) {
	needRoot(t)
	dir := runDir(t)
	listen, admin := port(t), port(t)
	run := func(name string, change ...string) string {
		t.Helper()
		cmd := exec.Command("bash", "-euc", documented(t, name, change...))
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME=", "XDG_DATA_HOME=")
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: asUser(t, "www-data")}
		out, err := os.CreateTemp(dir, name) // a file, because what stays in the background keeps it open
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		cmd.Stdout, cmd.Stderr = out, out
		err = cmd.Run()
		b, _ := os.ReadFile(out.Name())
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, b)
		}
		return string(b)
	}
	own(t, dir)
	// What the first step makes, by the binary that is under test.
	folders(t, dir+"/caddy-comet")
	if err := os.Symlink(binary, dir+"/caddy-comet/caddy-comet"); err != nil {
		t.Fatal(err)
	}
	run("sh-quick-folders")
	write(t, dir+"/live/www/index.php", documented(t, "php-quick-index"))
	write(t, dir+"/live/www/order.php", documented(t, "php-quick-order"))
	write(t, dir+"/live/fpm.conf", documented(t, "conf-quick-fpm"))
	config := "{\n\tadmin localhost:" + admin + "\n}\n" + documented(t, "quick", ":8080", ":"+listen)
	write(t, dir+"/live/Caddyfile", config)
	t.Cleanup(func() { run("sh-quick-stop", "comet stop", "comet stop --address localhost:"+admin) })
	run("sh-quick-start")
	base := "http://localhost:" + listen

	next := follow(t, base+"/comet/orders")
	run("sh-quick-publish", "localhost:8080", "localhost:"+listen)
	if got := next(); !strings.HasPrefix(got, `{"what":"coffee","at":"`) {
		t.Errorf("the order says %s", got)
	}
	if got := next(); got != `{"what":"cake","at":"by hand"}` {
		t.Errorf("the line says %s", got)
	}

	// A hundred visitors, and the page by the only worker beside them.
	run("sh-quick-hundred", "localhost:8080", "localhost:"+listen)
	statusOf := func() string {
		return run("sh-quick-status", "comet status", "comet status --address localhost:"+admin)
	}
	until(t, "a hundred and one to be held", func() bool { return strings.Contains(statusOf(), "default   101 ") })
	if _, body := get(t, base+"/"); !strings.Contains(body, "Made by PHP's process ") {
		t.Errorf("the page is %s", body)
	}
	if got := statusOf(); !strings.Contains(got, "/live/run/*.jsonl   default   lines   inotify") {
		t.Errorf("the status is\n%s", got)
	}

	write(t, dir+"/live/Caddyfile", strings.Replace(config, "comet /comet/* {", "comet /comet/* {\n\t\thold 5s", 1))
	run("sh-quick-reload")
	run("sh-quick-publish", "localhost:8080", "localhost:"+listen)
	until(t, "a hundred answers", func() bool {
		b, _ := os.ReadFile(dir + "/live/polls.txt")
		return strings.Count(string(b), `"coffee"`) == 100
	})

	page(t, base)
}

// page opens the quick start's page in a browser and orders something.
func page(t *testing.T, base string) {
	t.Helper()
	chromium := browser(t)
	open(t, chromium, base+"/")
	until(t, "the page to be connected", func() bool { return script[bool](t, chromium, "live.state === 'open'") })
	script[bool](t, chromium, "document.querySelector('input').value = 'biscuits', document.querySelector('button').click(), true")
	until(t, "the order to be shown", func() bool {
		return strings.HasSuffix(script[string](t, chromium, "document.querySelector('#list').innerText"), " biscuits")
	})
}
