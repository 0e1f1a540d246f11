package integration

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// asksOf is how often a page was run, which it notes in a file.
func asksOf(dir, page string) int {
	b, _ := os.ReadFile(filepath.Join(dir, "run", page+".asks"))
	return len(b)
}

// TestPHPHandsRequestsOver: the event is the answer, PHP's own is when time is over, a
// stream goes on, and PHP is asked again; while all of php-fpm's workers are free.
func TestPHPHandsRequestsOver(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, dir, php string) {
		write(t, filepath.Join(dir, "www", "hold.php"), `<?php
file_put_contents("`+dir+`/run/hold.asks", 'x', FILE_APPEND);
header("Comet-Hold: $_GET[how]");
header('Comet-Channel: ' . $_GET['on']);
if ($_GET['how'] !== 'stream') {
	header('Comet-Timeout: ' . ($_GET['for'] ?? 60));
}
header('Comet-Status: 203');
setcookie('own', 'kept');
echo "own\n";
`)
		write(t, filepath.Join(dir, "www", "say.php"), `<?php
header('Comet-Publish: ' . $_GET['on'] . '; data=' . rawurlencode($_GET['what']));
`)
		base := backend(t, dir, "hold\n\t\tpublish", php)
		if res, body := get(t, base+"/hold.php?how=response&on=x&for=1"); res.StatusCode != 203 || body != "own\n" {
			t.Errorf("when time is over: %d %q", res.StatusCode, body)
		}
		const many = 20 // and PHP has four workers
		answers := make(chan string, many)
		for range many {
			go func() {
				res, err := plain.Get(base + "/hold.php?how=response&on=tea")
				if err != nil {
					answers <- err.Error()
					return
				}
				defer res.Body.Close()
				b := new(strings.Builder)
				_, _ = io.Copy(b, res.Body)
				answers <- b.String() + " " + res.Header.Get("Set-Cookie") + res.Header.Get("Comet-Hold")
			}()
		}
		until(t, "all are handed over", func() bool { return asksOf(dir, "hold") == many+1 })
		get(t, base+"/say.php?on=tea&what=green")
		for range many {
			if got := <-answers; got != "green own=kept" {
				t.Errorf("got %q", got)
			}
		}
		res, err := plain.Get(base + "/hold.php?how=stream&on=flow")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		get(t, base+"/say.php?on=flow&what=green")
		want := "own\ngreen"
		b := make([]byte, len(want))
		if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != want || res.Header.Get("Comet-Hold") != "" {
			t.Errorf("a stream: %q %v", b, err)
		}
	})
}

// TestAnExistingPageBecomesALongPoll by the page of the documentation, as it is.
func TestAnExistingPageBecomesALongPoll(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	fpm(t, dir, 4)
	file := filepath.Join(dir, "run", "news.txt")
	write(t, filepath.Join(dir, "www", "news.php"), documented(t, "handoff-php", "sys_get_temp_dir() . '/news.txt'", "'"+file+"'",
		"header('Comet-Hold: retry');", "file_put_contents('"+dir+"/run/news.asks', 'x', FILE_APPEND);\n\theader('Comet-Hold: retry');"))
	listen := port(t)
	caddy(t, dir, documented(t, "handoff", "example.com {", "http://127.0.0.1:"+listen+" {", "/srv/www/example", dir+"/www",
		"unix//run/php/php-fpm.sock", "unix/"+dir+"/fpm.sock"))
	base := "http://127.0.0.1:" + listen
	write(t, filepath.Join(dir, "www", "listen.html"), "<!DOCTYPE html><script>const seen = []; console.log = line => seen.push(line);\n"+documented(t, "handoff-js")+"</script>")
	ctx := browser(t)
	open(t, ctx, base+"/listen.html")
	until(t, "the page waits", func() bool { return asksOf(dir, "news") == 1 })
	for k, what := range []string{"tea", "coffee"} {
		res, err := plain.PostForm(base+"/news.php", url.Values{"what": {what}})
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("posting: %d", res.StatusCode)
		}
		until(t, "the page has it", func() bool { return script[int](t, ctx, "seen.length") == k+1 })
		until(t, "the page waits again", func() bool { return asksOf(dir, "news") == k+2 })
	}
	if got := script[string](t, ctx, "seen.join()"); got != "tea,coffee" {
		t.Errorf("the page has %q", got)
	}
}
