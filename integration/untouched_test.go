package integration

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// exchange is a request of an ordinary visitor.
type exchange struct {
	method, path string
	header       map[string]string
	body         string
}

func (e exchange) String() string { return e.method + " " + e.path }

func exchanges(t *testing.T) []exchange {
	t.Helper()
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	if err := m.SetBoundary("boundary"); err != nil {
		t.Fatal(err)
	}
	f, err := m.CreateFormFile("file", "a file.bin")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write(bytes.Repeat([]byte("upload\x00"), 100_000))
	m.Close()

	urlencoded := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	return []exchange{
		{"GET", "/see.php?a=1&b[]=2&b[]=3&q=%C3%A4+b%2Fc", nil, ""},
		{"GET", "/see.php/path/info?x", nil, ""},
		{"HEAD", "/see.php", nil, ""},
		{"POST", "/see.php?q=1", urlencoded, "name=J%C3%BCrgen&x=1"},
		{"PUT", "/see.php", map[string]string{"Content-Type": "application/json"}, `{"a":1}`},
		{"DELETE", "/see.php", nil, ""},
		{"OPTIONS", "/see.php", nil, ""},
		{"GET", "/see.php", map[string]string{"Cookie": "PHPSESSID=abc; other=1", "Accept-Language": "de"}, ""},
		{"GET", "/see.php", map[string]string{"Comet-Since": "a.1", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}, ""},
		{"GET", "/see.php", map[string]string{"Accept": "text/event-stream", "Last-Event-ID": "a.1"}, ""},
		{"POST", "/upload.php", map[string]string{"Content-Type": m.FormDataContentType()}, form.String()},
		{"GET", "/cookie.php", nil, ""},
		{"GET", "/redirect.php", nil, ""},
		{"GET", "/missing.php", nil, ""},
		{"GET", "/not/there", nil, ""},
		{"GET", "/large.php", nil, ""},
		{"GET", "/stream.php", nil, ""},
		{"GET", "/style.css", nil, ""},
		{"GET", "/style.css", map[string]string{"Range": "bytes=5-9"}, ""},
		{"GET", "/style.css", map[string]string{"If-None-Match": "*"}, ""},
		{"GET", "/comet.php?&publish=news", nil, ""},
		{"POST", "/comet.php?publish=news", urlencoded, "x=1"},
		{"GET", "/.env", nil, ""},
		{"GET", "/comet", nil, ""},
		{"GET", "/comets/x", nil, ""},
	}
}

// outcome is an answer as bytes, without what differs from one to the next.
func (e exchange) outcome(t *testing.T, base, host string) string {
	t.Helper()
	req, err := http.NewRequest(e.method, base+e.path, strings.NewReader(e.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	for name, value := range e.header {
		req.Header.Set(name, value)
	}
	res, err := plain.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Header.Del("Date")
	if len(body) == 0 && e.method != "HEAD" {
		// How Caddy frames an empty body of PHP's, by a length or as no chunk,
		// depends on when it sees PHP's end, with us and without.
		res.ContentLength, res.TransferEncoding = 0, nil
		res.Header.Del("Content-Length")
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s %s\nlength %d, %v\n", res.Proto, res.Status, res.ContentLength, res.TransferEncoding)
	_ = res.Header.Write(&out) // in the order of the names
	out.Write(body)
	return processID.ReplaceAllString(out.String(), "home <pid>")
}

var processID = regexp.MustCompile(`home \d+`)

// sameWithAndWithout compares every exchange between two servers.
func sameWithAndWithout(t *testing.T, with, without, host string) {
	t.Helper()
	for _, e := range exchanges(t) {
		t.Run(e.String(), func(t *testing.T) {
			a, b := e.outcome(t, with, host), e.outcome(t, without, host)
			if a != b {
				t.Errorf("with us:\n%.1500s\nwithout:\n%.1500s", a, b)
			}
		})
	}
}

// TestThePHPSiteIsUntouched compares what visitors get from php-fpm through
// Caddy with comet in front and without, byte for byte.
func TestThePHPSiteIsUntouched(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	fpm(t, dir, 4)
	with, without := port(t), port(t)
	caddy(t, dir, fmt.Sprintf(`{
	auto_https off
}
http://site.example:%[1]s {
	bind 127.0.0.1
	comet /comet/*
	comet /comet.php novcomet {
		watch %[3]s/run/*.comet
	}
%[4]s}
http://site.example:%[2]s {
	bind 127.0.0.1
%[4]s}
`, with, without, dir, phpSite(dir)))
	sameWithAndWithout(t, "http://127.0.0.1:"+with, "http://127.0.0.1:"+without, "site.example")
}

// TestReadmeForFPM runs README's Caddyfile (a), with addresses of its own.
func TestReadmeForFPM(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	fpm(t, dir, 1)
	listen, publish := port(t), port(t)
	caddy(t, dir, documented(t, "fpm",
		"example.com {", "http://127.0.0.1:"+listen+" {", "/srv/www/example", dir+"/www", "/run/comet/example", dir+"/run",
		"unix//run/php/php-fpm.sock", "unix/"+dir+"/fpm.sock", ":2020", ":"+publish))
	base := "http://127.0.0.1:" + listen

	t.Run("what is hidden is not served", func(t *testing.T) {
		for _, path := range []string{"/.env", "/.htaccess", "/sub/.git/config"} {
			if res, body := get(t, base+path); res.StatusCode != http.StatusNotFound || strings.Contains(body, "SECRET") {
				t.Errorf("%s: %s %s", path, res.Status, body)
			}
		}
	})

	// The three ways in which PHP publishes, as README prints them.
	for name, change := range map[string][]string{
		"php-touch":  {"/run/comet/example", dir + "/run"},
		"php-append": {"/run/comet/example", dir + "/run"},
		"php-post":   {"http://127.0.0.1:2020", "http://127.0.0.1:" + publish},
	} {
		write(t, filepath.Join(dir, "www", name+".php"), documented(t, name, change...)+"echo 'done';")
	}
	for _, way := range []struct{ page, poll, want string }{
		{"php-touch", "/comet.php/with/more?subscribed[news]=0", `^\{"s":1,"k":\{"news":\d+\}\}$`},
		{"php-touch", "/comet.php?subscribed[news]=0", `^\{"s":1,"k":\{"news":\d+\}\}$`},
		{"php-append", "/comet/orders", `"data":\{"id":42,"price":"9.90"\}`},
		{"php-post", "/comet/orders", `"type":"message","data":\{"id":42\}`},
	} {
		t.Run(way.page, func(t *testing.T) {
			answered := make(chan string, 1)
			go func() {
				res, err := plain.Get(base + way.poll)
				if err != nil {
					answered <- err.Error()
					return
				}
				defer res.Body.Close()
				b, _ := io.ReadAll(res.Body)
				answered <- string(b)
			}()
			until(t, "the poll to be held", func() bool { return strings.Contains(adminGet(t, dir, "/comet/"), `"held":1`) })
			if _, body := get(t, base+"/"+way.page+".php"); body != "done" {
				t.Fatalf("PHP says %q", body)
			}
			if got := <-answered; !regexp.MustCompile(way.want).MatchString(got) {
				t.Errorf("answered %s", got)
			}
		})
	}
}

// TestReadmeForSitesWithRewrites runs README's recipe with handle blocks.
func TestReadmeForSitesWithRewrites(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	write(t, filepath.Join(dir, "www", "index.php"), "<?php echo 'front controller for ', $_SERVER['REQUEST_URI'];")
	fpm(t, dir, 1)
	listen := port(t)
	server := caddy(t, dir, documented(t, "handle", "example.com {", "http://127.0.0.1:"+listen+" {",
		"/srv/www/example", dir+"/www", "unix//run/php/php-fpm.sock", "unix/"+dir+"/fpm.sock"))
	base := "http://127.0.0.1:" + listen
	if _, body := get(t, base+"/comet/orders?wait=0"); !strings.HasPrefix(body, `{"cursor":`) {
		t.Errorf("comet says %q", body)
	}
	if _, body := get(t, base+"/a/pretty/page?x=1"); body != "front controller for /a/pretty/page?x=1" {
		t.Errorf("the site says %q", body)
	}
	if strings.Contains(server.out.String(), "runs before comet") {
		t.Error("the recipe is warned of")
	}
}

// TestStreamedPagesReachTheVisitorAtOnce: what PHP flushes is not collected.
func TestStreamedPagesReachTheVisitorAtOnce(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	// The page goes on only when the first part has been read, by a touch.
	write(t, filepath.Join(dir, "www", "steps.php"), fmt.Sprintf(`<?php
while (ob_get_level()) ob_end_flush();
echo "first\n"; flush();
for ($i = 0; $i < 6000 && !file_exists('%s/run/seen'); $i++) { usleep(10000); clearstatcache(); }
echo "second\n";
`, dir))
	fpm(t, dir, 2)
	listen := port(t)
	caddy(t, dir, fmt.Sprintf(`{
	auto_https off
}
http://127.0.0.1:%s {
	encode
	comet /comet/*
%s}
`, listen, phpSite(dir)))
	res, err := plain.Get("http://127.0.0.1:" + listen + "/steps.php")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buf := make([]byte, 100)
	n, err := res.Body.Read(buf)
	if err != nil || string(buf[:n]) != "first\n" {
		t.Fatalf("read %q, %v", buf[:n], err)
	}
	write(t, filepath.Join(dir, "run", "seen"), "")
	rest, err := io.ReadAll(res.Body)
	if err != nil || !slices.Equal(rest, []byte("second\n")) {
		t.Errorf("then %q, %v", rest, err)
	}
}
