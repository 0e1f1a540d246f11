//go:build linux

package integration

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/integration/faults"
)

// kind is one way to be held.
type kind struct {
	way, form string
	count     int
}

// stream reports whether the answer goes on after an event.
func (k kind) stream() bool {
	switch k.form {
	case "sse", "stream", "frame", "multipart":
		return true
	}
	return false
}

// parks reports whether its connection is parked, where parking is on.
func (k kind) parks() bool { return k.way == "parked" || k.way == "tls" }

// fiveThousand are holds of every dialect and transport.
var fiveThousand = []kind{
	{"parked", "poll", 1300}, {"parked", "jsonp", 100}, {"parked", "novcomet", 300}, {"parked", "chat", 150}, {"parked", "doorbell", 150},
	{"parked", "sse", 500}, {"parked", "stream", 300}, {"parked", "frame", 300}, {"parked", "multipart", 200},
	{"held", "poll", 300}, {"held", "jsonp", 50}, {"held", "novcomet", 100}, {"held", "chat", 50}, {"held", "doorbell", 50},
	{"held", "sse", 200}, {"held", "stream", 100}, {"held", "frame", 100}, {"held", "multipart", 100},
	{"tls", "poll", 100}, {"tls", "sse", 100}, {"tls", "stream", 50},
	{"h2", "poll", 200}, {"h2", "sse", 100}, {"h2", "stream", 50}, {"h2", "frame", 50},
}

// shorter is every kind with a part of its count.
func shorter(kinds []kind, by int) []kind {
	short := make([]kind, 0, len(kinds))
	for _, k := range kinds {
		k.count = max(1, k.count/by)
		short = append(short, k)
	}
	return short
}

// crowdOf are clients that are held, each by a goroutine and a socket of its own
// (on HTTP/2 a stream), and what became of them.
type crowdOf struct {
	t      *testing.T
	server *faults.Server
	// mark is in what they wait for.
	mark string
	// number is the event variable that they wait for.
	number string
	ctx    context.Context
	h2     []*http.Client
	wg     sync.WaitGroup
	next   atomic.Int64

	// retries: who is lost asks again, because he may have met a listener that was
	// just being closed.
	retries bool
	// expected: from now on an answer is no surprise.
	expected atomic.Bool
	// told counts those who got what they wait for.
	told atomic.Int64

	mu sync.Mutex
	// dropped are ends that nobody may have; left counts good ends of streams, by
	// their kind.
	dropped []string
	left    map[kind]int
}

func newCrowd(t *testing.T, s *faults.Server, mark string) *crowdOf {
	c := &crowdOf{t: t, server: s, mark: mark, number: "7", ctx: t.Context(), left: make(map[kind]int)}
	two := new(http.Protocols)
	two.SetHTTP2(true)
	for range 8 {
		c.h2 = append(c.h2, &http.Client{Transport: &http.Transport{Protocols: two, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}}})
	}
	return c
}

func (c *crowdOf) wrong(k kind, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped = append(c.dropped, k.way+" "+k.form+": "+fmt.Sprintf(format, args...))
}

// surprises are the ends that nobody may have.
func (c *crowdOf) surprises() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped
}

// ends is how often a stream of a kind ended well.
func (c *crowdOf) ends(k kind) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left[k]
}

// hold has all of a kind held.
func (c *crowdOf) hold(kinds []kind, since string) (n int) {
	for _, k := range kinds {
		n += k.count
		for range k.count {
			c.wg.Go(func() { c.one(k, since) })
		}
	}
	return n
}

func (c *crowdOf) target(k kind, since string) (host, path string) {
	p := c.server.Ports
	host = map[string]string{"parked": p.Plain, "held": p.Held, "tls": p.TLS, "h2": p.TLS}[k.way]
	switch k.form {
	case "poll", "sse", "stream", "multipart":
		path = "/comet/quiet?as=" + k.form + "&since=" + since
	case "jsonp":
		path = "/comet/quiet?callback=app.told&since=" + since
	case "frame":
		path = "/comet/quiet?as=frame&callback=parent.told&since=" + since
	case "novcomet":
		path = "/comet.php?subscribed[news]=0"
	case "chat":
		path = "/chat.php?timestamp=" + since
	case "doorbell":
		path = "/doorbell/" + c.number
	}
	return "localhost:" + host, path
}

// markOf is what is in the answer that a kind waits for.
func (c *crowdOf) markOf(k kind) string {
	switch k.form {
	case "novcomet":
		return `{"s":1,"k":{"news":`
	case "doorbell":
		return "doorbell(" + c.number + ");"
	}
	return c.mark
}

// begin sends the request and returns the answer's body when the header is there.
func (c *crowdOf) begin(k kind, since string) (*http.Response, error) {
	host, path := c.target(k, since)
	if k.way == "h2" {
		r, err := http.NewRequestWithContext(c.ctx, http.MethodGet, "https://"+host+path, nil)
		if err != nil {
			return nil, err
		}
		return c.h2[int(c.next.Add(1))%len(c.h2)].Do(r)
	}
	_, port, _ := net.SplitHostPort(host)
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(c.ctx, func() { conn.Close() })
	if k.way == "tls" {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
	}
	host = strings.Replace(host, "localhost", map[bool]string{true: "localhost", false: "127.0.0.1"}[k.way == "tls"], 1)
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host); err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 1<<10), nil)
	if err != nil {
		conn.Close()
		return nil, err
	}
	res.Body = closing{res.Body, func() { stop(); conn.Close() }}
	return res, nil
}

type closing struct {
	io.ReadCloser
	also func()
}

func (c closing) Close() error { c.also(); return nil }

// one is held until it is told.
func (c *crowdOf) one(k kind, since string) {
	for c.ctx.Err() == nil {
		res, err := c.begin(k, since)
		switch {
		case c.ctx.Err() != nil:
			return
		case err != nil && !c.retries && (k.parks() && parking() || !k.stream()):
			c.wrong(k, "%v", err)
			return
		case err != nil || res.StatusCode == http.StatusNotFound:
			// A stream that came back met a listener that was just being closed, or a
			// configuration without comet.
			if err == nil {
				res.Body.Close()
			}
			time.Sleep(20 * time.Millisecond)
			continue
		case res.StatusCode != http.StatusOK:
			c.wrong(k, "status %d", res.StatusCode)
			res.Body.Close()
			return
		}
		told, tail, err := c.read(res.Body, c.markOf(k))
		res.Body.Close()
		switch {
		case told && !c.expected.Load():
			c.wrong(k, "was told too early: %q", tail)
			return
		case told:
			c.told.Add(1)
			return
		case c.ctx.Err() != nil:
			return
		case !k.stream():
			c.wrong(k, "got %q (%v)", tail, err)
			return
		}
		at := lastCursor(tail)
		if err != nil || at == "" || !farewell.Match(tail[max(0, len(tail)-300):]) {
			c.wrong(k, "ended without its cursor: %q (%v)", tail, err)
			return
		}
		c.mu.Lock()
		c.left[k]++
		c.mu.Unlock()
		since = at
	}
}

var (
	farewell = regexp.MustCompile(`"retry":\d+|again\(\d+\)|retry: \d+`)
	position = regexp.MustCompile(`(?:id: |"cursor":"|c\(")([0-9a-z]+\.[0-9]+)`)
)

func lastCursor(b []byte) string {
	all := position.FindAllSubmatch(b, -1)
	if len(all) == 0 {
		return ""
	}
	return string(all[len(all)-1][1])
}

// read reads until the mark, or the end. tail is what came last.
func (c *crowdOf) read(body io.Reader, mark string) (told bool, tail []byte, err error) {
	b := make([]byte, 1<<10)
	for {
		n, err := body.Read(b)
		tail = append(tail, b[:n]...)
		if bytes.Contains(tail, []byte(mark)) {
			return true, tail, nil
		}
		tail = bytes.Clone(tail[max(0, len(tail)-512):])
		if errors.Is(err, io.EOF) {
			return false, tail, nil
		}
		if err != nil {
			return false, tail, err
		}
	}
}
