package caddymodule

//lint:file-ignore SA1019 the client of net/http takes no :protocol

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
)

// streamConn is a stream of HTTP/2 or 3 as a connection. Its request has the time
// that a deadline would give.
type streamConn struct {
	net.Conn
	io.Reader
	io.WriteCloser
}

func (c streamConn) Read(b []byte) (int, error)     { return c.Reader.Read(b) }
func (c streamConn) Write(b []byte) (int, error)    { return c.WriteCloser.Write(b) }
func (c streamConn) Close() error                   { return c.WriteCloser.Close() }
func (streamConn) SetReadDeadline(time.Time) error  { return nil }
func (streamConn) SetWriteDeadline(time.Time) error { return nil }

// connects asks for a protocol by the extended CONNECT (RFC 8441, RFC 9220).
func connects(t *testing.T, by http.RoundTripper, url, protocol string, header ...string) (*socket, answer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	body, says := io.Pipe()
	r, err := http.NewRequestWithContext(ctx, http.MethodConnect, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if _, is := by.(*http3.Transport); is {
		r.Proto = protocol
	} else {
		r.Header[":protocol"] = []string{protocol}
	}
	if r.Header.Get("Sec-WebSocket-Version") == "" {
		r.Header.Set("Sec-WebSocket-Version", "13")
	}
	res, err := by.RoundTrip(r)
	if err != nil {
		return nil, answer{err: err}
	}
	if res.StatusCode != http.StatusOK {
		b, err := io.ReadAll(res.Body)
		return nil, answer{res.StatusCode, res.Header, string(b), err}
	}
	c := streamConn{Reader: res.Body, WriteCloser: says}
	return &socket{t: t, conn: c, from: c}, answer{status: res.StatusCode, header: res.Header}
}

// connected is one that may.
func connected(t *testing.T, by http.RoundTripper, url string) *socket {
	t.Helper()
	s, a := connects(t, by, url, "websocket")
	if s == nil {
		t.Fatalf("no WebSocket: %d %s %v", a.status, a.body, a.err)
	}
	return s
}

// clearHTTP2 speaks HTTP/2 without TLS.
func clearHTTP2(t *testing.T) *http2.Transport {
	h2 := &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	t.Cleanup(h2.CloseIdleConnections)
	return h2
}

// overHTTP2 starts a server of its own: whether there are WebSockets on HTTP/2 is
// read from the environment when a process starts.
func overHTTP2(t *testing.T, debug string) (s *server, process *caddyProcess, url string) {
	t.Helper()
	t.Setenv("GODEBUG", debug)
	s = newServer(t)
	config := s.dir + "/config.json"
	if err := os.WriteFile(config, s.adapt(inClear, simple), 0o644); err != nil {
		t.Fatal(err)
	}
	return s, s.process(config), "http://" + s.site + "/comet/"
}

const inClear = "servers {\nprotocols h1 h2c\n}"

// reloads gives a server of its own another configuration.
func (s *server) reloads(globals, sites string) {
	s.t.Helper()
	send(s.admin(), "POST", "http://127.0.0.1/load", string(s.adapt(globals, sites)), "Content-Type", "application/json").wants(s.t, 200, "")
}

func TestAWebSocketOnHTTP2(t *testing.T) {
	s, process, url := overHTTP2(t, "http2xconnect=1")
	h2 := clearHTTP2(t)
	c := connected(t, h2, url+"a")
	c.position()
	s.must("a", "1")
	c.event("a", `"1"`)
	c.says(`{"subscribe":["b"]}`)
	if m := c.hears(); len(m.Subscribed) != 1 {
		t.Errorf("%+v", m)
	}
	s.must("b", "2")
	c.event("b", `"2"`)
	c.sends(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
	c.closes(ws.StatusNormalClosure, "")

	for _, bad := range []struct {
		path, protocol string
		header         []string
		status         int
		part           string
	}{
		{"a", "websocket", []string{"Sec-WebSocket-Version", "8"}, 426, "version 13"},
		{"a?since=nothing", "websocket", nil, 400, "no position"},
		{"a", "websocket", []string{"Origin", "https://other.example"}, 403, "origin"},
		{"a", "connect-udp", nil, 405, "GET"},
	} {
		_, a := connects(t, h2, url+bad.path, bad.protocol, bad.header...)
		a.wants(t, bad.status, bad.part)
	}

	gone := connected(t, h2, url+"gone")
	gone.position()
	_ = gone.conn.Close() // the end of what it says
	if _, err := gone.frame(); !errors.Is(err, io.EOF) {
		t.Errorf("who says no more is told %v", err)
	}
	last := connected(t, h2, url+"c")
	last.position()
	process.stop()
	if m := last.closes(ws.StatusGoingAway, ""); m.Retry == nil || m.Cursor == "" {
		t.Errorf("the last message is %+v", m)
	}
}

// What HTTP/1.1 alone knows is in no answer of HTTP/3, whose clients would take it
// for broken.
func TestARefusalOnHTTP3(t *testing.T) {
	way := socketWays["HTTP/3"]
	s := start(t, way.globals, way.site)
	s.waitForTLS()
	_, a := connects(t, h3Client(t).Transport, s.address(way.url)+"/comet/a", "websocket", "Sec-WebSocket-Version", "8")
	a.wants(t, 426, "version 13")
	if got := a.header.Get("Sec-WebSocket-Version"); got != "13" {
		t.Errorf("the version known is %q", got)
	}
}

// TestWebSocketsOnHTTP2ComeBackAfterAReload, one by one, with a cursor; and at once
// when they want other channels.
func TestWebSocketsOnHTTP2ComeBackAfterAReload(t *testing.T) {
	for name, sites := range map[string]string{
		"another site": strings.Replace(simple, "the site", "another site", 1),
		"no comet":     strings.Replace(simple, "comet /comet/*", "", 1),
	} {
		t.Run(name, func(t *testing.T) {
			s, _, url := overHTTP2(t, "http2xconnect=1")
			h2 := clearHTTP2(t)
			var all []*socket
			for range many {
				c := connected(t, h2, url+"a")
				c.position()
				all = append(all, c)
			}
			at := s.must("a", "1")
			s.reloads(inClear, sites)
			first := firstToClose(t, all[1:])
			all[0].event("a", `"1"`)
			// Or it was told already: it may have been the first.
			_, _ = all[0].conn.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte(`{"subscribe":["b"]}`)))))
			for _, m := range []spoken{all[0].closes(ws.StatusGoingAway, "come back"), first} {
				if m.Retry == nil || m.Cursor != at {
					t.Errorf("the last message is %+v, want the position %s", m, at)
				}
			}
			if name == "no comet" {
				return
			}
			s.must("a", "2")
			connected(t, clearHTTP2(t), url+"a?since="+at).event("a", `"2"`)
		})
	}
}

// many sockets are so many that of ends which are spread over a minute the first
// comes soon.
const many = 40

// firstToClose is the last message of the first that is told to come back.
func firstToClose(t *testing.T, all []*socket) spoken {
	t.Helper()
	closed := make(chan spoken, len(all))
	for _, c := range all {
		go func() {
			var last spoken
			for {
				f, err := c.frame()
				switch {
				case err != nil:
					return
				case f.Header.OpCode == ws.OpText:
					last = spoken{}
					_ = json.Unmarshal(f.Payload, &last)
				case f.Header.OpCode == ws.OpClose:
					if code, _ := ws.ParseCloseFrameData(f.Payload); code == ws.StatusGoingAway {
						closed <- last
					}
					return
				}
			}
		}()
	}
	return receive(t, closed)
}

// TestHTTP2WithoutWebSockets: a client that cannot be given one is told by the
// protocol, before it asks.
func TestHTTP2WithoutWebSockets(t *testing.T) {
	_, _, url := overHTTP2(t, "http2xconnect=0")
	_, a := connects(t, clearHTTP2(t), url+"a", "websocket")
	if a.err == nil || !strings.Contains(a.err.Error(), "extended connect not supported") {
		t.Errorf("the answer is %d %s, %v", a.status, a.body, a.err)
	}
}
