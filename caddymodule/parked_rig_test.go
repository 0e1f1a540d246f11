package caddymodule

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// wire is a client that sees an answer as it comes, byte for byte.
type wire struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

// connect dials an address; network is tcp, tls or unix.
func connect(t *testing.T, network, address string) *wire {
	t.Helper()
	var c net.Conn
	var err error
	if network == "tls" {
		config := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"http/1.1"}}
		c, err = tls.Dial("tcp", address, config)
	} else {
		c, err = net.Dial(network, address)
	}
	if lostByReload(err) {
		return connect(t, network, address)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &wire{t, c, bufio.NewReader(c)}
}

// say sends a text.
func (w *wire) say(text string) {
	w.t.Helper()
	_ = w.c.SetWriteDeadline(time.Now().Add(deadline))
	if _, err := io.WriteString(w.c, text); err != nil {
		w.t.Fatalf("sending %q: %v", shortened(text), err)
	}
}

// asks sends a GET with header lines.
func (w *wire) asks(path string, lines ...string) {
	w.t.Helper()
	w.say(request(path, lines...))
}

func request(path string, lines ...string) string {
	return "GET " + path + " HTTP/1.1\r\n" + strings.Join(append([]string{"Host: 127.0.0.1"}, lines...), "\r\n") + "\r\n\r\n"
}

// reply is an answer as it was written.
type reply struct {
	status string
	head   []string // the header's lines, in order
	body   string   // without chunks
}

func (r reply) String() string {
	return r.status + "\n" + strings.Join(r.head, "\n") + "\n\n" + r.body
}

// value is that of a header's line, "" if there is none.
func (r reply) value(name string) string {
	for _, line := range r.head {
		if n, v, _ := strings.Cut(line, ": "); n == name {
			return v
		}
	}
	return ""
}

// line reads a line that ends as HTTP's do.
func (w *wire) line() (string, error) {
	b, err := w.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	text, ok := strings.CutSuffix(string(b), "\r\n")
	if !ok {
		return "", fmt.Errorf("the line %q", b)
	}
	return text, nil
}

// head reads an answer's beginning.
func (w *wire) head() (r reply, err error) {
	_ = w.c.SetReadDeadline(time.Now().Add(deadline))
	if r.status, err = w.line(); err != nil {
		return r, err
	}
	for {
		text, err := w.line()
		if err != nil || text == "" {
			return r, err
		}
		r.head = append(r.head, text)
	}
}

// chunk reads one, "" for the last.
func (w *wire) chunk() (string, error) {
	size, err := w.line()
	if err != nil {
		return "", err
	}
	n, err := strconv.ParseUint(size, 16, 31)
	if err != nil {
		return "", err
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(w.r, b); err != nil {
		return "", err
	}
	if !bytes.HasSuffix(b, []byte("\r\n")) {
		return "", fmt.Errorf("a chunk that ends with %q", b[n:])
	}
	return string(b[:n]), nil
}

// until reads an answer to its end, or until its body has a part.
func (w *wire) until(part string) (reply, error) {
	r, err := w.head()
	if err != nil {
		return r, err
	}
	err = w.more(&r, part)
	return r, err
}

// more reads on.
func (w *wire) more(r *reply, part string) error {
	_ = w.c.SetReadDeadline(time.Now().Add(deadline))
	chunked, length := r.value("Transfer-Encoding"), r.value("Content-Length")
	switch {
	case strings.HasPrefix(r.status, "HTTP/1.1 204"):
	case length != "" && chunked == "":
		n, err := strconv.Atoi(length)
		if err != nil {
			return err
		}
		b := make([]byte, n)
		_, err = io.ReadFull(w.r, b)
		r.body = string(b)
		return err
	case chunked == "chunked" && length == "":
		for part == "" || !strings.Contains(r.body, part) {
			text, err := w.chunk()
			if err != nil {
				return err
			}
			if r.body += text; text == "" {
				return nil
			}
		}
	default:
		return fmt.Errorf("an answer with the lines %q", r.head)
	}
	return nil
}

// hears reads an answer to its end.
func (w *wire) hears() reply {
	w.t.Helper()
	return w.hearsUntil("")
}

func (w *wire) hearsUntil(part string) reply {
	w.t.Helper()
	r, err := w.until(part)
	if err != nil {
		w.t.Fatalf("reading an answer: %v; so far: %s", err, shortened(r.String()))
	}
	return r
}

// ends waits for the connection's end and reports what came ahead of it.
func (w *wire) ends() string {
	w.t.Helper()
	_ = w.c.SetReadDeadline(time.Now().Add(deadline))
	b, err := io.ReadAll(w.r)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		w.t.Fatalf("the connection did not end; it said %q", shortened(string(b)))
	}
	return string(b)
}

// wants compares a status and looks for a part of the body.
func (r reply) wants(t *testing.T, status, part string) reply {
	t.Helper()
	if !strings.HasPrefix(r.status, "HTTP/1.1 "+status+" ") || !strings.Contains(r.body, part) {
		t.Errorf("got %s; want %s with %q", shortened(r.String()), status, part)
	}
	return r
}

// parkedOf is how many of a hub's holds are parked.
func parkedOf(t *testing.T, hubName string) int {
	t.Helper()
	return int(metric(t, "caddy_comet_parked", hubName))
}

// parks waits until so many of a hub's holds are held, and those parked.
func parks(t *testing.T, hubName string, heldThere, parkedThere int) {
	t.Helper()
	want := [3]int{heldThere, heldThere, parkedThere}
	var got [3]int
	for end := time.Now().Add(deadline); got != want; time.Sleep(2 * time.Millisecond) {
		got = [3]int{heldBy(hubName), int(metric(t, "caddy_comet_held", hubName)), parkedOf(t, hubName)}
		if time.Now().After(end) {
			t.Fatalf("by the hub, by the metric, and parked: %d; want %d", got, want)
		}
	}
}

// heldBy is how many a hub itself knows of.
func heldBy(hubName string) int {
	h, ok := findHub(hubName)
	if !ok {
		return 0
	}
	return h.Stats().Holds
}

// publishes has something happen, without a request.
func publishes(t *testing.T, hubName string, d hub.Draft) {
	t.Helper()
	h, ok := findHub(hubName)
	if !ok {
		t.Fatalf("there is no hub %s", hubName)
	}
	if _, err := h.Publish(context.Background(), []hub.Draft{d}); err != nil {
		t.Fatal(err)
	}
}

func event(channel, data string) hub.Draft { return hub.Draft{Channel: channel, Data: []byte(data)} }

func drafts(d ...hub.Draft) []hub.Draft { return d }

// everywhere has the server take a port that is free at every address of the
// machine.
func (s *server) everywhere() {
	s.t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		s.t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s.site = "127.0.0.1:" + port
}
