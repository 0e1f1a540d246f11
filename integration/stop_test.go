//go:build linux

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/integration/faults"
)

// farewells are how an answer ends that a stop ends: its status, its whole body (of
// a stream what is last in it), and whether a Retry-After goes with it.
var farewells = map[string]struct {
	status int
	body   *regexp.Regexp
	again  bool
}{
	"poll":      {200, regexp.MustCompile(`^{"cursor":"[0-9a-z]+\.\d+","events":\[\]}\n$`), true},
	"jsonp":     {200, regexp.MustCompile(`^/\*\*/app\.told\({"cursor":"[0-9a-z]+\.\d+","events":\[\]}\);\n$`), true},
	"novcomet":  {200, regexp.MustCompile(`^{"s":0}$`), true},
	"chat":      {503, regexp.MustCompile(`^the server stops`), true},
	"doorbell":  {503, regexp.MustCompile(`^the server stops`), true},
	"sse":       {200, regexp.MustCompile(`retry: \d+\nid: [0-9a-z]+\.\d+\n\n$`), false},
	"stream":    {200, regexp.MustCompile(`\n{"cursor":"[0-9a-z]+\.\d+","retry":\d+}\n$`), false},
	"frame":     {200, regexp.MustCompile(`<script>c\("[0-9a-z]+\.\d+"\);again\(\d+\)</script>\n$`), false},
	"multipart": {200, regexp.MustCompile(`{"cursor":"[0-9a-z]+\.\d+","retry":\d+}\r\n--comet-[0-9A-Z]+--\r\n$`), false},
}

// TestAStopAnswersEveryHoldOfEveryGeneration as it is documented, with what is
// queued ahead of it, and ends though some never read.
func TestAStopAnswersEveryHoldOfEveryGeneration(t *testing.T) {
	config := faults.Settings{History: "1000 10m 64MiB", Hold: 30 * time.Minute, Heartbeat: time.Second}
	s, dir := faultServer(t, config)
	crowd := newCrowd(t, s, "never")
	ends := make(chan string, 10000)
	all := 0
	var stopping atomic.Bool
	one := func(k kind, generation int) {
		res, err := crowd.begin(k, "now")
		for range 5 { // a connection that the listener of before has not accepted is reset
			if err == nil || stopping.Load() {
				break
			}
			res, err = crowd.begin(k, "now")
		}
		var body []byte
		if err == nil {
			body, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		ends <- func() string {
			who := fmt.Sprintf("%s %s of generation %d", k.way, k.form, generation)
			want := farewells[k.form]
			switch {
			case res == nil:
				return fmt.Sprintf("%s: %v", who, err)
			case !stopping.Load() && (!k.stream() || k.parks() && parking()):
				return fmt.Sprintf("%s: ended before the stop: %d %q (%v)", who, res.StatusCode, body, err)
			case want.status == 503 && res.StatusCode == 200 && err != nil && len(body) > 0 && len(bytes.TrimSpace(body)) == 0:
				return "" // after a sign of life there is no other way than to break off
			case err != nil || res.StatusCode != want.status || !want.body.Match(body):
				return fmt.Sprintf("%s: %d %q (%v)", who, res.StatusCode, body[max(0, len(body)-300):], err)
			case want.again && res.Header.Get("Retry-After") == "":
				return who + ": there is no Retry-After"
			}
			return ""
		}()
	}
	few := shorter(fiveThousand, 50)
	for generation, change := range []func(c *faults.Settings){
		nil, // chats have had a sign of life when the stop comes
		func(c *faults.Settings) { c.Heartbeat = 20 * time.Second },
		func(c *faults.Settings) { c.Heartbeat, c.History = 20*time.Second, "2000 10m 64MiB" },
	} {
		if change != nil {
			c := config
			change(&c)
			if status, said, err := s.Load(c); err != nil || status != http.StatusOK {
				t.Fatalf("%d %s (%v)", status, said, err)
			}
		}
		for _, k := range few {
			all += k.count
			for range k.count {
				go one(k, generation)
			}
		}
		until(t, "all to be held", func() bool { return heldBy(t, dir)+len(ends) >= all })
	}

	// Some read nothing, and some nothing before the stop: then they get it all.
	const pieces, size = 9, 400_000 // less than one delivery takes, 4 MiB
	mute := flooded(t, s, 6)
	late := flooded(t, s, 6)
	until(t, "these to be held", func() bool {
		return strings.Contains(adminGet(t, dir, "/comet/default/flood"), `"held":12,`)
	})
	for n := range pieces {
		data := fmt.Sprintf("piece %d %s", n, strings.Repeat("x", size))
		res, err := http.Post("http://127.0.0.1:"+s.Ports.Publish+"/flood", "text/plain", strings.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}

	stopping.Store(true)
	read := make(chan string, len(late))
	if err := syscall.Kill(s.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for _, c := range late {
		go func() {
			b, err := io.ReadAll(c)
			for n := range pieces {
				if !bytes.Contains(b, fmt.Appendf(nil, "piece %d ", n)) {
					read <- fmt.Sprintf("who read late did not get piece %d: %d bytes (%v)", n, len(b), err)
					return
				}
			}
			if !bytes.Contains(b[len(b)-200:], []byte("retry: ")) {
				read <- fmt.Sprintf("who read late was told at last %q (%v)", b[len(b)-200:], err)
				return
			}
			read <- ""
		}()
	}
	for range all {
		select {
		case wrong := <-ends:
			if wrong != "" {
				t.Error(wrong)
			}
		case <-time.After(patience):
			t.Fatal("not everybody is answered")
		}
	}
	for range late {
		if wrong := <-read; wrong != "" {
			t.Error(wrong)
		}
	}
	if err := s.Stop(syscall.SIGTERM); err != nil { // waits
		t.Error(err)
	}
	for _, c := range mute {
		c.Close()
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), "shutdown complete") {
		t.Errorf("the server did not come to its end: %s", log[max(0, len(log)-2000):])
	}
}

// flooded are clients of an event stream, half of them parked, that have a small
// window and read nothing by themselves.
func flooded(t *testing.T, s *faults.Server, n int) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		port := []string{s.Ports.Plain, s.Ports.Held}[i%2]
		dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			return errors.Join(c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) }), err)
		}}
		c, err := dialer.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprintf(c, "GET /comet/flood?as=sse HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", port)
		conns[i] = c
	}
	return conns
}
