package caddymodule

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// dial opens a connection on which a test writes what no client would.
func dial(t *testing.T, address, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(deadline))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

func next(t *testing.T, r *bufio.Reader, method string) answer {
	t.Helper()
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b), err}
}

// TestEveryRequestToACometPathHasAClearAnswer has methods, bodies and versions
// of HTTP.
func TestEveryRequestToACometPathHasAClearAnswer(t *testing.T) {
	s := start(t, "", `
http://:PORT {
	bind 127.0.0.1
	comet /comet/*
	comet /comet.php novcomet
}
`)
	big := strings.Repeat("x", 64<<10+1)
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(big), big)
	for _, c := range []struct {
		name, request string
		status        int
		want          string
	}{
		{"POST", "POST /comet/a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\nx", 405, "this address is for listening, by GET; publishing goes to comet_publish"},
		{"PUT", "PUT /comet/a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n", 405, "by GET"},
		{"DELETE", "DELETE /comet.php HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405, "by GET"},
		{"OPTIONS", "OPTIONS /comet/a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 204, ""},
		{"HEAD", "HEAD /comet/a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 200, ""},
		{"HEAD of a stream", "HEAD /comet/a?as=sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 200, ""},
		{"HTTP/1.0", "GET /comet/a?wait=0 HTTP/1.0\r\n\r\n", 200, `"events":[]`},
		{"HTTP/1.0 with keep-alive", "GET /comet/a?wait=0 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, `"events":[]`},
		{"no channel", "GET /comet/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400, "no channel is named"},
		{"a bad name", "GET /comet/a%20b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400, "has a character that is not allowed"},
		{"a bad query", "GET /comet/a?x=%zz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400, "the query cannot be read"},
		{"nothing subscribed", "GET /comet.php HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400, "nothing is subscribed"},
		{"a small body", "GET /comet/a?wait=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc", 200, `"events":[]`},
		{"a large body", fmt.Sprintf("GET /comet/a?wait=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s", len(big), big), 413, "needs no body"},
		{"a large body that does not come", "GET /comet/a?wait=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500000000\r\n\r\n", 413, "needs no body"},
		{"a large body in chunks", "GET /comet/a?wait=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked, 413, "needs no body"},
		{"a broken body", "GET /comet/a?wait=0 HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "did not arrive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, r := dial(t, s.site, c.request)
			method, _, _ := strings.Cut(c.request, " ")
			a := next(t, r, method)
			a.wants(t, c.status, c.want)
			if (c.status == 405 || c.status == 204) && a.header.Get("Allow") != "GET, HEAD, OPTIONS" {
				t.Errorf("Allow: %q", a.header.Get("Allow"))
			}
			if c.status != 204 && !strings.Contains(a.header.Get("Cache-Control"), "no-store") {
				t.Errorf("Cache-Control: %q", a.header.Get("Cache-Control"))
			}
		})
	}
	held(t, defaultHub, "a", 0)
}

// TestPipelinedRequestsAreAnsweredInOrder on one connection: polls, a body
// between them, and a poll that is held.
func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	s := start(t, "", simple)
	name := unique("pipe")
	first := s.must(name, "1")
	c, r := dial(t, s.site, "GET /comet/"+name+"?wait=0&since="+first+" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\nbody"+
		"GET /comet/"+name+" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"+
		"GET /comet/"+name+"?wait=0&since=all HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	if got := next(t, r, "GET").poll(t); len(got.Events) != 0 {
		t.Errorf("first: %+v", got)
	}
	held(t, defaultHub, name, 1)
	s.must(name, "2")
	if got := next(t, r, "GET").poll(t); len(got.Events) != 1 || string(got.Events[0].Data) != `"2"` {
		t.Errorf("second: %+v", got)
	}
	if got := next(t, r, "GET").poll(t); len(got.Events) != 2 {
		t.Errorf("third: %+v", got)
	}
	c.Close()
	held(t, defaultHub, name, 0)
}

// TestWhoHangsUpIsGoneAtOnce: the hold and its figure are freed, also where the
// request had a body, which hides the end from net/http until it was read.
func TestWhoHangsUpIsGoneAtOnce(t *testing.T) {
	hub := unique("hung")
	s := start(t, "comet {\nhub "+hub+"\n}", `
http://:PORT {
	bind 127.0.0.1
	comet /comet/* {
		hub `+hub+`
	}
	comet /comet.php novcomet {
		hub `+hub+`
	}
}`)
	for _, c := range []struct{ name, request string }{
		{"poll", "GET /comet/NAME HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"},
		{"poll of HTTP/1.0", "GET /comet/NAME HTTP/1.0\r\n\r\n"},
		{"poll with a body", "GET /comet/NAME HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhello"},
		{"poll with a body in chunks", "GET /comet/NAME HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
		{"stream", "GET /comet/NAME?as=sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"},
		{"novcomet", "GET /comet.php?subscribed[NAME]=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := unique("gone")
			conn, _ := dial(t, s.site, strings.ReplaceAll(c.request, "NAME", name))
			held(t, hub, name, 1)
			if n := metric(t, "caddy_comet_held", hub); n != 1 {
				t.Errorf("the figure says %v", n)
			}
			began := time.Now()
			conn.Close()
			held(t, hub, name, 0)
			if waited := time.Since(began); waited > 2*time.Second {
				t.Errorf("noticed after %s", waited)
			}
		})
	}
	eventually(t, "nothing is held", func() bool { return metric(t, "caddy_comet_held", hub) == 0 })
}

// TestSlowBodiesAre408 and free what they hold.
func TestSlowBodiesAre408(t *testing.T) {
	s := newServer(t)
	config := string(s.adapt("", simple))
	config = strings.ReplaceAll(config, `"listen":[`, `"read_idle_timeout":"300ms","listen":[`)
	if err := loadJSON(config); err != nil {
		t.Fatal(err)
	}
	name := unique("slow")
	_, r := dial(t, s.site, "GET /comet/"+name+" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhel")
	next(t, r, "GET").wants(t, 408, "came too slowly")
	_, r = dial(t, s.publish, "POST /"+name+" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhel")
	next(t, r, "POST").wants(t, 408, "came too slowly")
	held(t, defaultHub, name, 0)
}

// TestHugeBodiesAre413 with a length that says so and without, and nothing is
// published.
func TestHugeBodiesAre413(t *testing.T) {
	s := start(t, "", simple)
	name := unique("huge")
	_, r := dial(t, s.publish, "POST /"+name+" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000000\r\n\r\n")
	next(t, r, "POST").wants(t, 413, "the limit is 1048576 bytes")
	_, r = dial(t, s.publish, "POST /_x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000000\r\n\r\n")
	next(t, r, "POST").wants(t, 404, "is kept")
	_, r = dial(t, s.site, "POST /comet/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000000\r\n\r\n")
	next(t, r, "POST").wants(t, 405, "by GET")
	piece := fmt.Sprintf("%x\r\n%s\r\n", 1<<18, strings.Repeat("x", 1<<18))
	_, r = dial(t, s.publish, "POST /"+name+" HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat(piece, 5))
	next(t, r, "POST").wants(t, 413, "the limit is 1048576 bytes")
	get("http://"+s.publish+"/"+name).wants(t, 404, "there is no channel")
	_, r = dial(t, s.publish, "POST /"+name+" HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\nhi")
	next(t, r, "POST").wants(t, 200, name)
}

// TestARefusalDoesNotCutTheNextHold on the same connection, though it bounded
// the reading of a body.
func TestARefusalDoesNotCutTheNextHold(t *testing.T) {
	s := start(t, "", simple)
	name := unique("after")
	c, r := dial(t, s.site, "POST /comet/a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\nbody")
	next(t, r, "POST").wants(t, 405, "by GET")
	for _, body := range []string{"\r\n", "Content-Length: 2\r\n\r\nhi"} {
		began := time.Now()
		fmt.Fprintf(c, "GET /comet/%s?wait=2 HTTP/1.1\r\nHost: 127.0.0.1\r\n%s", name, body)
		next(t, r, "GET").poll(t)
		if time.Since(began) < 1900*time.Millisecond {
			t.Error("it did not wait")
		}
	}
}

// TestAReadTimeoutDoesNotCutAHold: net/http would take the deadline of reading
// the request for the client's end.
func TestAReadTimeoutDoesNotCutAHold(t *testing.T) {
	s := start(t, "servers {\ntimeouts {\nread_body 300ms\nread_header 300ms\n}\n}", simple)
	name := unique("patient")
	began := time.Now()
	a := get("http://" + s.site + "/comet/" + name + "?wait=1")
	if a.poll(t); time.Since(began) < 900*time.Millisecond {
		t.Error("it did not wait")
	}
}

// TestHTTP2HoldsAndStreams in clear text and over TLS.
func TestHTTP2HoldsAndStreams(t *testing.T) {
	s := start(t, "storage file_system DIR\nskip_install_trust\nlocal_certs\nservers {\nprotocols h1 h2 h2c\n}", `
http://:PORT {
	bind 127.0.0.1
	comet /comet/*
}
https://localhost:TLS {
	bind 127.0.0.1
	tls internal
	comet /comet/*
}
http://PUBLISH {
	bind 127.0.0.1
	comet_publish
}`)
	for scheme, base := range map[string]string{"h2c": "http://" + s.site, "h2": "https://localhost:" + s.tlsPort} {
		t.Run(scheme, func(t *testing.T) {
			client := h2Client(scheme == "h2c")
			defer client.CloseIdleConnections()
			if scheme == "h2" {
				eventually(t, "Caddy has made its certificate", func() bool { return send(client, "HEAD", base, "").err == nil })
			}
			name := unique("two")
			polled := make(chan answer, 1)
			go func() { polled <- send(client, "GET", base+"/comet/"+name, "") }()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, _ := http.NewRequestWithContext(ctx, "GET", base+"/comet/"+name+"?as=sse", nil)
			res, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.ProtoMajor != 2 || res.Header.Get("Content-Type") != "text/event-stream" {
				t.Fatalf("%s %v", res.Proto, res.Header)
			}
			held(t, defaultHub, name, 2)
			s.must(name, "over two")
			if got := receive(t, polled).poll(t); len(got.Events) != 1 {
				t.Errorf("the poll got %+v", got)
			}
			lines := bufio.NewScanner(res.Body)
			for lines.Scan() && lines.Text() != "data: over two" {
			}
			if lines.Err() != nil {
				t.Errorf("the stream ended: %v", lines.Err())
			}
			held(t, defaultHub, name, 1)
			cancel()
			held(t, defaultHub, name, 0)
			send(client, "GET", base+"/comet/a b", "").wants(t, 400, "not allowed")
			send(client, "POST", base+"/comet/a", strings.Repeat("x", 1<<20)).wants(t, 405, "by GET")
			send(client, "GET", base+"/comet/a", strings.Repeat("x", 1<<17)).wants(t, 413, "needs no body")
		})
	}
}
