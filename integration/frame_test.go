package integration

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// wire passes connections on to another address, and can cut them.
type wire struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
}

// newWire returns a wire to the address and the port on which it begins.
func newWire(t *testing.T, to string) (*wire, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	w := &wire{conns: make(map[net.Conn]bool)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.pass(c, to)
		}
	}()
	_, p, _ := net.SplitHostPort(l.Addr().String())
	return w, p
}

func (w *wire) pass(c net.Conn, to string) {
	defer c.Close()
	s, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer s.Close()
	w.mu.Lock()
	w.conns[c] = true
	w.mu.Unlock()
	go func() {
		defer s.Close()
		_, _ = io.Copy(s, c)
	}()
	_, _ = io.Copy(c, s)
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
}

// cut ends every connection as a machine on the way does that forgot it.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

// framePage is a page with a forever frame, in the words of the seed: the frame
// calls a function of the page around it. It comes after the page has loaded,
// for a page with an endless frame never has.
const framePage = `<!DOCTYPE html><title>frame</title><body><script>
var seen = [], gaps = 0;
function updateResult(event) {
	if (event.gap) { gaps++; } else { seen.push(event.data.n); }
}
onload = function () {
	var frame = document.createElement('iframe');
	frame.style.display = 'none';
	frame.src = '/comet/orders?as=frame&callback=parent.updateResult';
	document.body.appendChild(frame);
};
</script>`

func TestAForeverFrameComesBackByItselfAndLosesNothing(t *testing.T) {
	t.Parallel()
	dir := runDir(t)
	write(t, filepath.Join(dir, "frame.html"), framePage)
	listen, publish := port(t), port(t)
	w, front := newWire(t, "127.0.0.1:"+listen)
	config := fmt.Sprintf(`{
	auto_https off
	grace_period 3s
	comet {
		heartbeat 1s
		history 1000 10m 16MiB
	}
}
:%s {
	root %s
	comet /comet/*
	file_server
}
http://127.0.0.1:%s {
	bind 127.0.0.1
	comet_publish
}
`, listen, dir, publish)
	server := caddy(t, dir, config)
	ctx := browser(t)
	open(t, ctx, "http://127.0.0.1:"+front+"/frame.html")
	sent := 0
	send := func(size int) {
		t.Helper()
		body := fmt.Sprintf(`{"n":%d,"fill":"%s"}`, sent, strings.Repeat("x", size))
		res, err := plain.Post("http://127.0.0.1:"+publish+"/orders", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		sent++
	}
	listens := func() {
		t.Helper()
		until(t, "the frame to listen", func() bool { return strings.Contains(adminGet(t, dir, "/comet/"), `"held":1`) })
	}
	arrived := func() {
		t.Helper()
		until(t, "every event to arrive", func() bool {
			return script[int](t, ctx, "seen[seen.length - 1] ?? -1") == sent-1
		})
		if wrong := script[string](t, ctx, "seen.filter((n, i) => n !== i).join(' ')"); wrong != "" {
			t.Fatalf("events came twice, or out of order, or not at all: of %d, %s", sent, wrong)
		}
	}

	listens()
	for range 5 {
		send(10)
	}
	arrived()

	// A document that has grown large is followed by another.
	first := script[string](t, ctx, "document.querySelector('iframe').contentWindow.performance.timeOrigin.toString()")
	for range 40 {
		send(64 << 10)
	}
	arrived()
	listens()
	until(t, "a small document", func() bool {
		return script[int](t, ctx, "document.querySelector('iframe').contentDocument?.documentElement?.innerHTML.length ?? -1") < 2<<20
	})
	if now := script[string](t, ctx, "document.querySelector('iframe').contentWindow.performance.timeOrigin.toString()"); now == first {
		t.Error("it is still the first document")
	}

	// A connection that breaks.
	for range 2 {
		w.cut()
		for range 3 {
			send(10)
		}
		arrived()
		listens()
	}
	if n := script[int](t, ctx, "gaps"); n != 0 {
		t.Errorf("%d gaps are told", n)
	}

	// A server that is started anew has forgotten its events, and says so.
	server.stop()
	caddy(t, dir, config)
	until(t, "the gap to be told", func() bool { return script[int](t, ctx, "gaps") == 1 })
	listens()
	send(10)
	arrived()
}
