package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// backends are the two ways in which PHP stands behind us.
func backends(t *testing.T, f func(t *testing.T, dir, php string)) {
	t.Helper()
	for name, begin := range map[string]func(t *testing.T, dir string) string{
		"php-fpm": func(t *testing.T, dir string) string {
			fpm(t, dir, 4)
			return phpSite(dir)
		},
		"Apache": func(t *testing.T, dir string) string {
			listen := port(t)
			apache(t, dir, listen)
			return "\treverse_proxy 127.0.0.1:" + listen + "\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := runDir(t)
			site(t, dir)
			f(t, dir, begin(t, dir))
		})
	}
}

// backend serves the site with a comet_backend of these flags.
func backend(t *testing.T, dir, flags, php string) (base string) {
	t.Helper()
	listen := port(t)
	caddy(t, dir, fmt.Sprintf(`{
	auto_https off
}
http://127.0.0.1:%s {
	bind 127.0.0.1
	comet /comet/*
	comet_backend {
		%s
	}
%s}
`, listen, flags, php))
	return "http://127.0.0.1:" + listen
}

// published reads what a channel has kept, as the events' data.
func published(t *testing.T, base, channel string) []string {
	t.Helper()
	_, body := get(t, base+"/comet/"+channel+"?since=all&wait=0")
	var answer struct {
		Events []struct {
			Type string
			Data json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	var all []string
	for _, e := range answer.Events {
		all = append(all, e.Type+" "+string(e.Data))
	}
	return all
}

// TestASiteBehindCometBackendIsUntouched compares what visitors get with it and
// without, byte for byte. (One of the exchanges asks for news: so no piggyback.)
func TestASiteBehindCometBackendIsUntouched(t *testing.T) {
	backends(t, func(t *testing.T, dir, php string) {
		with, without := port(t), port(t)
		caddy(t, dir, fmt.Sprintf(`{
	auto_https off
}
http://site.example:%[1]s {
	bind 127.0.0.1
	comet_backend {
		publish
	}
%[3]s}
http://site.example:%[2]s {
	bind 127.0.0.1
%[3]s}
`, with, without, php))
		sameWithAndWithout(t, "http://127.0.0.1:"+with, "http://127.0.0.1:"+without, "site.example")
	})
}

// TestPHPPublishesByAHeader as a page may: several events, of any bytes, large
// ones, with mistakes between them.
func TestPHPPublishesByAHeader(t *testing.T) {
	backends(t, func(t *testing.T, dir, php string) {
		write(t, filepath.Join(dir, "www", "publish.php"), `<?php
$data = array("x, y; z=\"1\"\r\n", json_encode(array('price' => '9,90', 'name' => "caf\u{e9}")), '', str_repeat('0123456789', 20000));
foreach ($data as $i => $text) {
	header("Comet-Publish: events; type=t$i; data=" . rawurlencode($text), false);
}
header('Comet-Publish: events; data=' . urlencode('not like this'), false);
header('Comet-Publish: events;type=one, events;type=two', false);
setcookie('own', 'kept');
echo 'the page';
`)
		base := backend(t, dir, "publish", php)
		res, body := get(t, base+"/publish.php")
		if body != "the page" || res.Header.Get("Comet-Publish") != "" || !strings.HasPrefix(res.Header.Get("Set-Cookie"), "own=kept") {
			t.Errorf("the visitor got %q, %v", body, res.Header)
		}
		want := []string{
			`t0 "x, y; z=\"1\"\r\n"`, `t1 {"price":"9,90","name":"caf\u00e9"}`, `t2 ""`,
			`t3 "` + strings.Repeat("0123456789", 20000) + `"`, `one ""`, `two ""`,
		}
		if got := published(t, base, "events"); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got %.400q", got)
		}
	})
}

// TestWhatPHPPublishesArrivesThoughTheVisitorHungUp: he asks and is gone, before
// PHP has said anything.
func TestWhatPHPPublishesArrivesThoughTheVisitorHungUp(t *testing.T) {
	backends(t, func(t *testing.T, dir, php string) {
		write(t, filepath.Join(dir, "www", "slow.php"), fmt.Sprintf(`<?php
touch('%s/run/began');
sleep(1);
header('Comet-Publish: slow; data=' . rawurlencode($_SERVER['QUERY_STRING']));
echo 'done';
`, dir))
		base := backend(t, dir, "publish", php)
		ask := func(query string) net.Conn {
			c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, "GET /slow.php?%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", query)
			return c
		}
		ask("atonce").Close()
		c := ask("working")
		until(t, "PHP to work", func() bool { _, err := os.Stat(dir + "/run/began"); return err == nil })
		c.Close()
		until(t, "both events", func() bool { return len(published(t, base, "slow")) == 2 })
	})
}

// TestAPageThatStreamsForEverEndsWithItsVisitor, as it does without us.
func TestAPageThatStreamsForEverEndsWithItsVisitor(t *testing.T) {
	backends(t, func(t *testing.T, dir, php string) {
		write(t, filepath.Join(dir, "www", "forever.php"), fmt.Sprintf(`<?php
set_time_limit(0);
register_shutdown_function(function () { touch('%s/run/ended'); });
header('Comet-Publish: forever');
while (ob_get_level()) ob_end_flush();
for ($i = 0; ; $i++) { echo "tick $i\n"; flush(); usleep(50000); }
`, dir))
		base := backend(t, dir, "publish", php)
		res, err := plain.Get(base + "/forever.php")
		if err != nil {
			t.Fatal(err)
		}
		if n := len(published(t, base, "forever")); n != 1 {
			t.Errorf("%d events when the header is there", n)
		}
		line := make([]byte, 7)
		if _, err := res.Body.Read(line); err != nil || string(line) != "tick 0\n" {
			t.Errorf("read %q, %v", line, err)
		}
		left := time.Now()
		res.Body.Close()
		until(t, "PHP to end", func() bool { _, err := os.Stat(dir + "/run/ended"); return err == nil })
		if took := time.Since(left); took > 10*time.Second {
			t.Errorf("PHP went on for %s", took)
		}
	})
}

// TestThePiggybackPageIsAProgramThatWorks runs the page's Caddyfile, PHP and
// JavaScript in two tabs of a browser.
func TestThePiggybackPageIsAProgramThatWorks(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	fpm(t, dir, 2)
	listen := port(t)
	write(t, filepath.Join(dir, "www", "orders.php"), documented(t, "piggyback-php", "sys_get_temp_dir() . '", "'"+dir+"/run"))
	write(t, filepath.Join(dir, "www", "page.html"), `<!DOCTYPE html><title>orders</title><script>
var printed = [];
console.log = (text) => printed.push(text);
</script><script>`+documented(t, "piggyback-js")+`</script>`)
	// What browsers keep, and ask about again.
	write(t, filepath.Join(dir, "www", "kept.php"), `<?php
header('Cache-Control: public, ' . $_GET['cache']);
header('ETag: "one"');
if (($_SERVER['HTTP_IF_NONE_MATCH'] ?? '') === '"one"') {
	http_response_code(304);
} else {
	echo 'kept';
}
`)
	caddy(t, dir, documented(t, "piggyback", "example.com {", "http://127.0.0.1:"+listen+" {", "/srv/www/example", dir+"/www",
		"unix//run/php/php-fpm.sock", "unix/"+dir+"/fpm.sock"))
	base := "http://127.0.0.1:" + listen
	ctx := browser(t)
	open(t, ctx, base+"/page.html")
	begun := func() bool { return script[string](t, ctx, "cursor") != "" }
	until(t, "the first answer", begun)

	t.Run("a visitor learns of another's order by any request", func(t *testing.T) {
		other := tab(t, ctx)
		open(t, other, base+"/page.html")
		until(t, "the other's first answer", func() bool { return script[string](t, other, "cursor") != "" })
		script[bool](t, other, "ask('/orders.php', { method: 'POST', body: new URLSearchParams({ what: 'green tea, hot' }) }), true")
		until(t, "the other to see the own order", func() bool { return script[string](t, other, "printed.join('|')") == "green tea, hot\n" })
		if got := script[int](t, ctx, "printed.length"); got != 0 {
			t.Error("the first one heard of it by nothing")
		}
		script[bool](t, ctx, "ask('/index.php'), true")
		until(t, "the first one to see it", func() bool { return script[string](t, ctx, "printed.join('|')") == "green tea, hot\n" })
		if got := published(t, base, "orders"); len(got) != 1 || got[0] != `sale "green tea, hot"` {
			t.Errorf("published %q", got)
		}
	})

	order := func() {
		res, err := plain.PostForm(base+"/orders.php", url.Values{"what": {"coffee"}})
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	// told asks in the page and returns what its script sees.
	told := func(t *testing.T, path string) string {
		t.Helper()
		script[bool](t, ctx, fmt.Sprintf(`seen = null, fetch(%q, { headers: { 'Comet-Since': cursor, 'Comet-Channels': 'orders' } }).then(async (a) => {
			const before = cursor, number = (text) => Number(text.split('.')[1]);
			cursor = a.headers.get('Comet-Cursor') || cursor;
			if (number(cursor) < number(before)) cursor = 'went back';
			seen = a.status + ' ' + await a.text() + ' news:' + (a.headers.get('Comet-News') || '');
		}), true`, path))
		until(t, "an answer", func() bool { return script[bool](t, ctx, "seen !== null") })
		if script[bool](t, ctx, "cursor === 'went back'") {
			t.Fatal("the browser gave an old answer to a new question")
		}
		return script[string](t, ctx, "seen")
	}
	for _, cache := range []string{"no-cache", "max-age=600"} {
		t.Run("the browser's cache with "+cache, func(t *testing.T) {
			path := "/kept.php?cache=" + cache
			told(t, path) // what there was before
			for range 3 {
				order()
				got := told(t, path)
				if cache == "max-age=600" && got == "200 kept news:" {
					got = told(t, "/kept.php?cache=no-store") // the cache was not asked about, and lost nothing
				}
				if got != "200 kept news:orders" {
					t.Errorf("after an order the page is told %q", got)
				}
				for range 2 {
					if got := told(t, path); got != "200 kept news:" {
						t.Errorf("and then, with nothing new, %q", got)
					}
				}
			}
		})
	}
	t.Run("an error is told, and the page all the same", func(t *testing.T) {
		r, _ := http.NewRequest("GET", base+"/index.php", nil)
		r.Header.Set("Comet-Since", "yesterday")
		res, err := plain.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != 200 || !strings.Contains(res.Header.Get("Comet-Error"), "Comet-Since is no cursor") {
			t.Errorf("got %d %v", res.StatusCode, res.Header)
		}
	})
}
