package caddymodule

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// TestStreamsPassUnbufferedAndAnEventComesBeforeTheHeader: who has the header
// finds the event, while the page goes on.
func TestStreamsPassUnbufferedAndAnEventComesBeforeTheHeader(t *testing.T) {
	for _, encode := range []string{"", "encode {\nminimum_length 1\n}\n"} {
		t.Run("encode "+encode, func(t *testing.T) {
			name := unique("stream")
			more := make(chan string)
			site := behind(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set(publishHeader, name)
				w.Header().Set("Content-Type", "text/event-stream")
				_ = http.NewResponseController(w).Flush()
				for piece := range more {
					_, _ = io.WriteString(w, piece)
					_ = http.NewResponseController(w).Flush()
				}
			})
			s := start(t, "", strings.Replace(around("publish\npiggyback", site), "comet_backend", encode+"comet_backend", 1))
			r, _ := http.NewRequest("GET", "http://"+s.site, nil)
			r.Header.Set("Comet-Since", "")
			res, err := plain.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			defer close(more)
			if res.Header.Get(cursorHeader) == "" || res.Header.Get(publishHeader) != "" || len(s.events(name).Events) != 1 {
				t.Errorf("got %v and %+v", res.Header, s.events(name).Events)
			}
			lines := bufio.NewScanner(res.Body)
			for i := range 3 {
				more <- fmt.Sprintf("piece %d\n", i)
				if !lines.Scan() || lines.Text() != fmt.Sprintf("piece %d", i) {
					t.Fatalf("got %q, %v", lines.Text(), lines.Err())
				}
			}
		})
	}
}

// TestHoweverAHeaderIsSentItIsRead: handlers need not call WriteHeader.
func TestHoweverAHeaderIsSentItIsRead(t *testing.T) {
	shared, err := referHub(unique("ways"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer releaseHub(shared.name, 0)
	b := &Backend{Piggyback: true, Publish: true, app: readyApp(), use: &hubUse{hub: shared}}
	published := 0
	for name, way := range map[string]func(w http.ResponseWriter) error{
		"Write": func(w http.ResponseWriter) error { _, err := w.Write([]byte("x")); return err },
		"ReadFrom": func(w http.ResponseWriter) error {
			_, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("x"))
			return err
		},
		"Flush":                   func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
		"WriteHeader":             func(w http.ResponseWriter) error { w.WriteHeader(200); return nil },
		"not at all":              func(w http.ResponseWriter) error { return nil },
		"WriteHeader, then Write": func(w http.ResponseWriter) error { w.WriteHeader(200); _, err := w.Write([]byte("x")); return err },
	} {
		t.Run(name, func(t *testing.T) {
			next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
				w.Header().Set(publishHeader, "a")
				err := way(w)
				w.Header().Set("X-Late", "the header is out")
				return err
			})
			address := behind(t, func(w http.ResponseWriter, r *http.Request) {
				if err := b.ServeHTTP(w, r, next); err != nil {
					t.Error(err)
				}
			})
			a := get("http://"+address, "Comet-Since", "")
			published++
			if a.header.Get(cursorHeader) == "" || a.header.Get(publishHeader) != "" || (a.header.Get("X-Late") == "") == (name == "not at all") {
				t.Errorf("got %v %v", a.header, a.err)
			}
			if n := int(shared.Stats().Published["header"]); n != published {
				t.Errorf("%d events, want %d", n, published)
			}
		})
	}
}

// TestInterimAnswersAndTrailersDoNotLeakTheHeader, and are no answer.
func TestInterimAnswersAndTrailersDoNotLeakTheHeader(t *testing.T) {
	name := unique("interim")
	site := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.Header().Set(publishHeader, name+"; data=interim")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set(publishHeader, name+"; data=final")
		if r.URL.Path == "/announced" {
			w.Header().Set("Trailer", publishHeader+", X-Own")
		}
		_, _ = io.WriteString(w, "the page")
		_ = http.NewResponseController(w).Flush()
		prefix := ""
		if r.URL.Path != "/announced" {
			prefix = http.TrailerPrefix
		}
		w.Header().Set(prefix+publishHeader, name+"; data=trailer")
		w.Header().Set(prefix+"X-Own", "kept")
	})
	s := start(t, "servers {\nprotocols h1 h2c\n}", around("publish\npiggyback", site))
	for _, client := range []*http.Client{plain, h2Client(true)} {
		for _, path := range []string{"/announced", "/", "/"} {
			interim := 0
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				interim++
				if code != 103 || h.Get("Link") == "" || h.Get(publishHeader) != "" || h.Get(cursorHeader) != "" {
					t.Errorf("%s: the interim answer is %d %v", path, code, h)
				}
				return nil
			}})
			r, _ := http.NewRequestWithContext(ctx, "GET", "http://"+s.site+path, nil)
			r.Header.Set("Comet-Since", "")
			res, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || string(b) != "the page" || interim != 1 || res.Header.Get(publishHeader) != "" || res.Header.Get(cursorHeader) == "" {
				t.Errorf("%s %s: %d interim answers, then %v %q %v", res.Proto, path, interim, res.Header, b, err)
			}
			if res.Trailer.Get(publishHeader) != "" || res.Trailer.Get("X-Own") != "kept" {
				t.Errorf("%s %s: the trailer is %v", res.Proto, path, res.Trailer)
			}
		}
	}
	for _, e := range s.events(name).Events {
		if string(e.Data) != `"final"` {
			t.Errorf("published %s", e.Data)
		}
	}
	if n := len(s.events(name).Events); n != 6 {
		t.Errorf("%d events, want 6", n)
	}
}

// TestUpgradesPass: a WebSocket through the proxy, in both directions, and what
// its 101 publishes.
func TestUpgradesPass(t *testing.T) {
	name := unique("upgrade")
	site := behind(t, func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nComet-Publish: "+name+"\r\n\r\n")
		_, _ = io.Copy(c, rw)
	})
	s := start(t, "", around("publish\npiggyback", site))
	c, r := dial(t, s.site, "GET / HTTP/1.1\r\nHost: "+s.site+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nComet-Since: \r\n\r\n")
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 101 || res.Header.Get(publishHeader) != "" || res.Header.Get(cursorHeader) != "" {
		t.Fatalf("got %d %v", res.StatusCode, res.Header)
	}
	for _, text := range []string{"one\n", "two\n"} {
		_, _ = io.WriteString(c, text)
		if got, err := r.ReadString('\n'); got != text {
			t.Fatalf("echoed %q, %v", got, err)
		}
	}
	if n := len(s.events(name).Events); n != 1 {
		t.Errorf("%d events", n)
	}
}

// TestOverHTTP2AndCompressed the headers are the same.
func TestOverHTTP2AndCompressed(t *testing.T) {
	name := unique("h2")
	site := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(publishHeader, name)
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, strings.Repeat("the page ", 1000))
	})
	s := start(t, "servers {\nprotocols h1 h2c\n}", strings.Replace(around("publish\npiggyback", site), "comet_backend", "encode\ncomet_backend", 1))
	since := s.must(unique("other"), "x")
	for _, method := range []string{"GET", "HEAD"} {
		a := send(h2Client(true), method, "http://"+s.site, "", "Comet-Since", since, "Comet-Channels", name, "Accept-Encoding", "gzip")
		if a.err != nil || a.header.Get(newsHeader) != name || a.header.Get(publishHeader) != "" || a.header.Get("Cache-Control") != "private" {
			t.Errorf("%s: %v %v", method, a.header, a.err)
		}
		vary := strings.Join(a.header.Values("Vary"), ", ")
		if method == "GET" && (a.header.Get("Content-Encoding") != "gzip" || !strings.Contains(vary, "Accept-Encoding") || !strings.Contains(vary, "Comet-Since, Comet-Channels")) {
			t.Errorf("not compressed as before: %v", a.header)
		}
	}
}

// TestFilesAndErrorPagesPass: what Caddy answers itself.
func TestFilesAndErrorPagesPass(t *testing.T) {
	name := unique("file")
	site := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(publishHeader, name)
		w.WriteHeader(500)
		_, _ = io.WriteString(w, "fault")
	})
	s := newServer(t)
	text := strings.Repeat("a file. ", 100_000)
	if err := os.WriteFile(s.dir+"/file.txt", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s.reload("", `
http://SITE {
	bind 127.0.0.1
	root DIR
	comet /comet/*
	comet_backend {
		publish
		piggyback
	}
	handle /down {
		reverse_proxy 127.0.0.1:1
	}
	handle /failed {
		reverse_proxy `+site+` {
			@failed status 5xx
			handle_response @failed {
				copy_response_headers
				error 503
			}
		}
	}
	handle /nobody {
	}
	handle {
		file_server
	}
	handle_errors {
		respond "sorry"
	}
}`)
	a := get("http://"+s.site+"/file.txt", "Comet-Since", "")
	if a.body != text || a.header.Get(cursorHeader) == "" || a.header.Get("Cache-Control") != "private" {
		t.Errorf("the file came as %d bytes, %v", len(a.body), a.header)
	}
	b := get("http://"+s.site+"/file.txt", "Comet-Since", "", "If-None-Match", a.header.Get("ETag"))
	if b.status != 304 || b.header.Get(cursorHeader) == "" {
		t.Errorf("the unchanged file came as %d %v", b.status, b.header)
	}
	b = get("http://"+s.site+"/file.txt", "Comet-Since", "", "Range", "bytes=2-5")
	if b.status != 206 || b.body != "file" || b.header.Get(cursorHeader) == "" {
		t.Errorf("a part came as %d %q %v", b.status, b.body, b.header)
	}
	for path, status := range map[string]int{"/down": 502, "/failed": 503, "/missing": 404} {
		c := get("http://"+s.site+path, "Comet-Since", "")
		if c.wants(t, status, "sorry"); c.comet() != "" {
			t.Errorf("%s: %v", path, c.header)
		}
	}
	if c := get("http://"+s.site+"/nobody", "Comet-Since", ""); c.status != 200 || c.header.Get(cursorHeader) == "" {
		t.Errorf("what nobody answers is %d %v", c.status, c.header)
	}
	if n := len(s.events(name).Events); n != 0 {
		t.Errorf("an answer that was thrown away published %d events", n)
	}
}
