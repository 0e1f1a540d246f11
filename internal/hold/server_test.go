package hold_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// serveReal serves the rig over a real connection. Each report is sent on the
// channel when its handler is over.
func (r *rig) serveReal(http2 bool) (*httptest.Server, <-chan hold.Report) {
	r.Helper()
	reports := make(chan hold.Report, 16)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body) // as the Caddy module does
		report, err := r.hold(req).Serve(w, req)
		if err != nil {
			r.Error(err)
		}
		reports <- report
	}))
	if server.EnableHTTP2 = http2; http2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	r.Cleanup(server.Close)
	return server, reports
}

// arrived waits until n requests are held.
func (r *rig) arrived(n int) {
	r.Helper()
	for r.hub.Stats().Holds != n {
		if r.Context().Err() != nil {
			r.Fatal("they do not arrive")
		}
		runtime.Gosched()
	}
}

func TestAHoldIsFreedWhenTheClientHangsUp(t *testing.T) {
	for _, head := range []string{
		"GET /comet/a HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /comet/a?as=sse HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /comet.php?subscribed[a]=0 HTTP/1.0\r\n\r\n",
		"GET /comet/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		"GET /comet/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
	} {
		t.Run(strings.ReplaceAll(head, "\r\n", " "), func(t *testing.T) {
			r := newRig(t)
			server, reports := r.serveReal(false)
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, head); err != nil {
				t.Fatal(err)
			}
			r.arrived(1)
			_ = conn.Close()
			if got := <-reports; got.Outcome != hold.ClientGone {
				t.Errorf("got %+v", got)
			}
			r.wantHolds(0)
		})
	}
}

func TestPollsAndStreamsWorkOverRealConnections(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", http2), func(t *testing.T) {
			r := newRig(t)
			server, reports := r.serveReal(http2)
			client := server.Client()

			ctx, hang := context.WithCancel(t.Context())
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/comet/a?as=sse", nil)
			stream, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = stream.Body.Close() }()
			if want := map[bool]int{false: 1, true: 2}[http2]; stream.ProtoMajor != want {
				t.Fatalf("got %s", stream.Proto)
			}
			wantHeader(t, stream.Header)
			lines := bufio.NewScanner(stream.Body)
			read := func(want string) {
				t.Helper()
				for lines.Scan() {
					if lines.Text() == want {
						return
					}
				}
				t.Errorf("the stream ended before %q: %v", want, lines.Err())
			}
			read("id: " + r.hub.Cursor().String())

			polled := make(chan string)
			go func() {
				resp, err := client.Get(server.URL + "/comet/a")
				if err != nil {
					polled <- err.Error()
					return
				}
				defer func() { _ = resp.Body.Close() }()
				body, _ := io.ReadAll(resp.Body)
				polled <- fmt.Sprintf("%d %d %s", resp.StatusCode, resp.ContentLength-int64(len(body)), body)
			}()
			r.arrived(2)
			r.publish("a", "x")
			if got := <-polled; !strings.HasPrefix(got, "200 0 {") || !strings.Contains(got, `"data":"x"`) {
				t.Errorf("the poll got %s", got)
			}
			if got := <-reports; got.Outcome != hold.Event {
				t.Errorf("got %+v", got)
			}
			read("data: x")
			r.publish("a", "y")
			read("data: y")
			hang()
			if got := <-reports; got.Outcome != hold.ClientGone || got.Events != 2 {
				t.Errorf("got %+v", got)
			}
			r.wantHolds(0)
		})
	}
}

func TestAStoppedStreamsConnectionEndsCleanly(t *testing.T) {
	r := newRig(t)
	server, reports := r.serveReal(false)
	resp, err := http.Get(server.URL + "/comet/a?as=sse")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	close(r.stop)
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasSuffix(string(body), "id: "+r.hub.Cursor().String()+"\n\n") {
		t.Errorf("got %q, %v", body, err)
	}
	if got := <-reports; got.Outcome != hold.Stopped {
		t.Errorf("got %+v", got)
	}
}
