package integration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documentedSite is the Caddyfile of docs/techniques.md, with a real php-fpm behind
// it and a door to publish.
type documentedSite struct {
	dir, base, publish string
}

func newDocumentedSite(t *testing.T) documentedSite {
	t.Helper()
	dir := runDir(t)
	site(t, dir)
	fpm(t, dir, 2)
	listen, publish := port(t), port(t)
	write(t, dir+"/www/news.php", documented(t, "php-doorbell", "/run/comet/example", dir+"/run", "http://127.0.0.1/", "http://127.0.0.1:"+listen+"/"))
	write(t, dir+"/www/say.php", fmt.Sprintf("<?php file_put_contents('%s/run/chat.txt', $_GET['msg']);", dir))
	caddy(t, dir, "{\n\tauto_https off\n}\n"+documented(t, "techniques",
		"example.com", "http://127.0.0.1:"+listen, "/srv/www/example", dir+"/www", "/run/comet/example", dir+"/run", "unix//run/php/php-fpm.sock", "unix/"+dir+"/fpm.sock")+
		fmt.Sprintf("http://127.0.0.1:%s {\n\tbind 127.0.0.1\n\tcomet_publish\n}\n", publish))
	return documentedSite{dir, "http://127.0.0.1:" + listen, "http://127.0.0.1:" + publish}
}

// append publishes a line as PHP does.
func (s documentedSite) append(t *testing.T, channel, line string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, "run", channel+".jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line + "\n"); err != nil {
		t.Fatal(err)
	}
}

// cursor is the hub's position.
func (s documentedSite) cursor(t *testing.T) string {
	t.Helper()
	_, body := get(t, s.base+"/comet/orders?since=")
	return regexp.MustCompile(`[0-9a-z]+\.\d+`).FindString(body)
}

// TestTheDocumentedRequestsAreAnsweredAsDocumented sends each and compares the
// answer byte for byte, but for what is another each time.
func TestTheDocumentedRequestsAreAnsweredAsDocumented(t *testing.T) {
	s := newDocumentedSite(t)
	write(t, s.dir+"/run/news.comet", "")
	write(t, s.dir+"/run/chat.txt", "hello")
	until(t, "the chat to be read", func() bool { return strings.Contains(adminGet(t, s.dir, "/comet/default/chat"), `"history":1`) })
	until(t, "the touch to be seen", func() bool { return strings.Contains(adminGet(t, s.dir, "/comet/default"), `"news"`) })
	before := s.cursor(t)
	s.append(t, "orders", `{"id":42}`)
	until(t, "the event", func() bool { return s.cursor(t) != before })
	after := s.cursor(t)

	seen := 0
	for _, snippet := range snippets(t) {
		if snippet.language != "http" {
			continue
		}
		seen++
		t.Run(snippet.name, func(t *testing.T) {
			request, answer, ok := strings.Cut(snippet.text, "\n\n")
			head, body, _ := strings.Cut(answer, "\n\n")
			lines := strings.Split(head, "\n")
			if !ok || lines[0] != "HTTP/1.1 200 OK" {
				t.Fatalf("it is no request and its answer:\n%s", snippet.text)
			}
			res := s.send(t, strings.ReplaceAll(strings.ReplaceAll(request, "k3f9.41", before), "k3f9.42", after))
			defer res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Errorf("got %s", res.Status)
			}
			sample := samples(before, after)
			for _, line := range lines[1:] {
				name, value, _ := strings.Cut(line, ": ")
				if got := res.Header.Get(name); !sample(value, true).MatchString(got) {
					t.Errorf("%s is %q, and documented as %q", name, got, value)
				}
			}
			want := sample(strings.TrimRight(body, "\n"), res.ContentLength >= 0)
			var got []byte
			for in := bufio.NewReader(res.Body); !want.Match(got) || res.ContentLength >= 0; {
				b, err := in.ReadByte()
				if err != nil {
					break
				}
				if b != '\r' {
					got = append(got, b)
				}
			}
			if got := strings.TrimRight(string(got), "\n"); !want.MatchString(got) {
				t.Errorf("got\n%s\nand documented is\n%s", got, body)
			}
		})
	}
	if seen < 10 {
		t.Errorf("only %d requests are documented", seen)
	}
}

// send sends a request that is written as on the wire.
func (s documentedSite) send(t *testing.T, text string) *http.Response {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	first := strings.Fields(lines[0])
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	var body io.Reader
	if first[0] == http.MethodPost {
		body = http.NoBody
	}
	r, err := http.NewRequestWithContext(ctx, first[0], s.base+first[1], body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	res, err := plain.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// samples returns a function that makes a pattern of a documented text.
func samples(before, after string) func(text string, whole bool) *regexp.Regexp {
	return func(text string, whole bool) *regexp.Regexp {
		pattern := regexp.QuoteMeta(text)
		for _, sample := range []struct{ documented, pattern string }{
			{`k3f9\.41`, regexp.QuoteMeta(before)}, {`k3f9\.42`, regexp.QuoteMeta(after)},
			{`2026-11-21T07:00:00\.123Z`, `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`},
			{"retry: 2113", `retry: \d+`}, {"1795242560", `\d+`},
			{"comet-EXAMPLE", "comet-[A-Z0-9]+"}, {`\(2047 spaces\)`, strings.Repeat(" ", 2047)}, {`\(the document's own script\)`, "(?s:.*?)"},
		} {
			pattern = strings.ReplaceAll(pattern, sample.documented, sample.pattern)
		}
		if whole {
			pattern += "$"
		}
		return regexp.MustCompile("^" + pattern)
	}
}

// TestTheDocumentedClientsWork runs each technique's lines of JavaScript in a
// browser. Their show() keeps what it is given.
func TestTheDocumentedClientsWork(t *testing.T) {
	t.Parallel()
	s := newDocumentedSite(t)
	own(t, s.dir+"/run") // PHP keeps its state there
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it
	post := func(t *testing.T, url, contentType, body string) {
		t.Helper()
		res, err := plain.Post(url, contentType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", url, res.Status)
		}
	}
	ordered := func(t *testing.T, i int) { s.append(t, "orders", fmt.Sprintf(`{"n":%d}`, i)) }
	for _, c := range []struct {
		name    string
		publish func(t *testing.T, i int)
		// held is what the hub's listing says when the page listens.
		held, want string
	}{
		{"js-sse", ordered, `"held":1`, `{"n":0} {"n":1} {"n":2}`},
		{"js-long", ordered, `"held":1`, `{"n":0} {"n":1} {"n":2}`},
		{"js-short", ordered, "", `{"n":0} {"n":1} {"n":2}`},
		{"js-jsonp", ordered, `"held":1`, `{"n":0} {"n":1} {"n":2}`},
		{"js-stream", ordered, `"held":1`, `{"n":0} {"n":1} {"n":2}`},
		{"js-frame", ordered, `"held":1`, `{"n":0} {"n":1} {"n":2}`},
		{"js-doorbell", func(t *testing.T, _ int) { post(t, s.base+"/news.php", "", "") }, `"held":1`, `1 2 3`},
		{"js-chat", func(t *testing.T, i int) { get(t, fmt.Sprintf("%s/say.php?msg=m%d", s.base, i)) }, `"held":1`, `"m0" "m1" "m2"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := c.name + ".html"
			write(t, filepath.Join(s.dir, "www", page), fmt.Sprintf(`<!DOCTYPE html><title>waiting</title><body><script>
var shown = [];
function show(what) { shown.push(JSON.stringify(what)); }
%s
</script>`, documented(t, c.name)))
			ctx := tab(t, chromium)
			open(t, ctx, s.base+"/"+page)
			listens := func() {
				until(t, "the page to listen", func() bool {
					if c.held == "" {
						return script[bool](t, ctx, "cursor !== ''")
					}
					return strings.Contains(adminGet(t, s.dir, "/comet/"), c.held)
				})
			}
			for i := range 3 {
				listens()
				c.publish(t, i)
				until(t, "the event to be shown", func() bool { return script[int](t, ctx, "shown.length") > i })
			}
			if got := script[string](t, ctx, "shown.join(' ')"); got != c.want {
				t.Errorf("shown is %s, want %s", got, c.want)
			}
		})
	}
	t.Run("js-picture", func(t *testing.T) {
		write(t, s.dir+"/www/picture.html", "<!DOCTYPE html><title>waiting</title><body><script>"+documented(t, "js-picture")+"</script>")
		ctx := tab(t, chromium)
		open(t, ctx, "about:blank")
		// The page never finishes loading, so nobody waits for that.
		script[bool](t, ctx, fmt.Sprintf("location.href = %q, true", s.base+"/picture.html"))
		for width := range 3 {
			until(t, "the page to listen", func() bool { return strings.Contains(adminGet(t, s.dir, "/comet/"), `"held":1`) })
			var picture bytes.Buffer
			if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 10+width, 9))); err != nil {
				t.Fatal(err)
			}
			post(t, s.publish+"/camera", "image/png", picture.String())
			until(t, "the picture to be shown", func() bool {
				return script[int](t, ctx, "document.querySelector('img')?.naturalWidth ?? 0") == 10+width
			})
		}
	})
}

// TestADocumentedFrameComesBackWithItsPosition: a rewrite that drops the query
// would have each recycled document begin with now, and lose what came between.
func TestADocumentedFrameComesBackWithItsPosition(t *testing.T) {
	b, err := os.ReadFile("../docs/techniques.md")
	if err != nil {
		t.Fatal(err)
	}
	recipes := regexp.MustCompile(`rewrite (/\S+\.php) "?(/comet/(\w+)\?as=frame[^"\n`+"`"+`]*)`).FindAllStringSubmatch(string(b), -1)
	if len(recipes) < 3 {
		t.Fatalf("the page has only %d rewrites of a frame", len(recipes))
	}
	for _, recipe := range recipes {
		path, to, channel := recipe[1], recipe[2], recipe[3]
		t.Run(to, func(t *testing.T) {
			dir, listen, publish := runDir(t), port(t), port(t)
			caddy(t, dir, fmt.Sprintf("{\n\tauto_https off\n}\nhttp://127.0.0.1:%s {\n\trewrite %s \"%s\"\n\tcomet /comet/*\n}\nhttp://127.0.0.1:%s {\n\tbind 127.0.0.1\n\tcomet_publish\n}\n", listen, path, to, publish))
			_, body := get(t, "http://127.0.0.1:"+listen+"/comet/"+channel+"?since=")
			cursor := regexp.MustCompile(`[0-9a-z]+\.\d+`).FindString(body)
			res, err := plain.Post("http://127.0.0.1:"+publish+"/"+channel, "application/json", strings.NewReader("4711"))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			for query, want := range map[string]bool{"?since=" + cursor: true, "": false} {
				ctx, cancel := context.WithCancel(t.Context())
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+listen+path+query, nil)
				res, err := plain.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				first := "" // what the document tells first: an event, or the position
				for lines := bufio.NewScanner(res.Body); first == "" && lines.Scan(); {
					if strings.HasPrefix(lines.Text(), "<script>") && strings.Contains(lines.Text(), "</script>") {
						first = lines.Text()
					}
				}
				cancel()
				res.Body.Close()
				if strings.Contains(first, "(4711)") != want {
					t.Errorf("GET %s%s begins with %s", path, query, first)
				}
			}
		})
	}
}

// TestTheDocumentedLineKeepsNovCometAlive over a restart of the server that takes
// longer than the page waits between two polls. The page has what NovComet.js has
// of jQuery, and nothing for an error.
func TestTheDocumentedLineKeepsNovCometAlive(t *testing.T) {
	dir, listen := runDir(t), port(t)
	for _, d := range []string{"www", "run"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir+"/run/news.comet", "")
	write(t, dir+"/www/index.html", `<!DOCTYPE html><title>waiting</title><script>
var told = 0, errors = 0, failed = [];
function jQuery() { return { ajaxError: function (f) { failed.push(f); } }; }
jQuery.getJSON = function (url, done) {
	fetch(url).then(function (r) { return r.json(); }).then(done, function () {
		errors++;
		failed.forEach(function (f) { f({}, null, { url: url }); });
	});
};
var NovComet = {
	timestamp: Math.round(Date.now() / 1000),
	_refresh: function () { setTimeout(NovComet.run, 1000); },
	run: function () {
		jQuery.getJSON('comet.php?&subscribed[news]=' + NovComet.timestamp, function (data) {
			if (data.s === 1) {
				NovComet.timestamp = data.k.news;
				told++;
			}
			NovComet._refresh();
		});
	}
};
NovComet.run();
`+documented(t, "js-novcomet")+`</script>`)
	config := fmt.Sprintf("{\n\tauto_https off\n}\nhttp://127.0.0.1:%s {\n\troot %[2]s/www\n\tcomet /comet.php* novcomet {\n\t\twatch %[2]s/run/*.comet\n\t}\n\tfile_server\n}\n", listen, dir)
	server := caddy(t, dir, config)
	page := browser(t)
	open(t, page, "http://127.0.0.1:"+listen+"/")
	until(t, "the page to listen", func() bool { return strings.Contains(adminGet(t, dir, "/comet/"), `"held":1`) })
	server.stop()
	until(t, "a poll to fail", func() bool { return script[int](t, page, "errors") > 0 })
	caddy(t, dir, config)
	until(t, "the page to listen again", func() bool { return strings.Contains(adminGet(t, dir, "/comet/"), `"held":1`) })
	before := script[int](t, page, "told")
	write(t, dir+"/run/news.comet", "x")
	until(t, "the page to be told", func() bool { return script[int](t, page, "told") > before })
}
