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
	"time"

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
		if report.Abort {
			panic(http.ErrAbortHandler) // as the Caddy module does
		}
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

// patientOver asks for a doorbell over a protocol of HTTP, and returns the
// answer when its first sign of life is there.
func (r *rig) patientOver(protocol string) (*http.Response, <-chan hold.Report) {
	r.Helper()
	r.change = func(h *hold.Hold) { h.Heartbeat = time.Millisecond }
	server, reports := r.serveReal(protocol == "HTTP/2.0")
	var resp *http.Response
	var err error
	if protocol == "HTTP/1.0" {
		var conn net.Conn
		if conn, err = net.Dial("tcp", server.Listener.Addr().String()); err != nil {
			r.Fatal(err)
		}
		r.Cleanup(func() { _ = conn.Close() })
		if _, err = io.WriteString(conn, "GET /doorbell/22482 HTTP/1.0\r\n\r\n"); err != nil {
			r.Fatal(err)
		}
		resp, err = http.ReadResponse(bufio.NewReader(conn), nil)
	} else {
		resp, err = server.Client().Get(server.URL + "/doorbell/22482")
	}
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = resp.Body.Close() })
	if resp.Proto != protocol {
		r.Fatalf("got %s", resp.Proto)
	}
	chunked := protocol == "HTTP/1.1"
	if resp.StatusCode != http.StatusOK || resp.ContentLength != -1 || (len(resp.TransferEncoding) > 0) != chunked {
		r.Errorf("got %+v", resp)
	}
	wantHeader(r.T, resp.Header)
	first := make([]byte, 1)
	if _, err := io.ReadFull(resp.Body, first); err != nil || first[0] != '\n' {
		r.Fatalf("got %q, %v", first, err)
	}
	return resp, reports
}

var protocols = []string{"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"}

func TestAPatientIsAnsweredBehindSignsOfLifeOverRealConnections(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			r := newRig(t)
			resp, reports := r.patientOver(protocol)
			r.publish("22482", "")
			body, err := io.ReadAll(resp.Body)
			if err != nil || strings.TrimLeft(string(body), "\n") != "doorbell(22482);" {
				t.Errorf("got %q, %v", body, err)
			}
			if got := <-reports; got.Outcome != hold.Event || got.Abort {
				t.Errorf("got %+v", got)
			}
			r.wantHolds(0)
		})
	}
}

// An answer that breaks off must not look like a whole one; HTTP/1.0 has no way
// to tell, but there is no answer in it.
func TestAStopBreaksAPatientsConnectionOff(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			resp, reports := r.patientOver(protocol)
			close(r.stop)
			body, err := io.ReadAll(resp.Body)
			if strings.Trim(string(body), "\n") != "" || err == nil && protocol != "HTTP/1.0" {
				t.Errorf("got %q, %v", body, err)
			}
			if got := <-reports; got.Outcome != hold.Stopped || !got.Abort {
				t.Errorf("got %+v", got)
			}
			r.wantHolds(0)
		})
	}
}

func TestAStopAnswersAPatientThatHasNoSignOfLifeYet(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", http2), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			server, reports := r.serveReal(http2)
			close(r.stop)
			resp, err := server.Client().Get(server.URL + "/doorbell/22482")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.ContentLength != int64(len(body)) {
				t.Errorf("got %d %q, %v", resp.StatusCode, body, err)
			}
			wantRetryAfter(t, resp.Header)
			if got := <-reports; got.Outcome != hold.Stopped || got.Abort {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAPatientThatHangsUpIsFreedOverRealConnections(t *testing.T) {
	for _, protocol := range protocols[1:] {
		t.Run(protocol, func(t *testing.T) {
			r := newRig(t)
			resp, reports := r.patientOver(protocol)
			_ = resp.Body.Close()
			if got := <-reports; got.Outcome != hold.ClientGone || !got.Abort {
				t.Errorf("got %+v", got)
			}
			r.wantHolds(0)
		})
	}
}
