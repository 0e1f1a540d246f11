package hold_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// What tells a reader that is too slow from one that is gone is whether the write
// took all the time that it had.
func TestASlowReaderIsToldFromOneThatIsGone(t *testing.T) {
	for _, target := range []string{"/comet/a?as=sse", "/comet/a?as=stream", "/comet/a?as=multipart", "/comet/a?as=frame&callback=f"} {
		for _, c := range []struct {
			what  string
			after time.Duration // of a write that is stuck the connection breaks, or its reader goes on
			goes  bool
			want  hold.Outcome
		}{
			{"slow", time.Hour, false, hold.Slow},
			{"gone at once", 0, false, hold.ClientGone},
			{"gone while it was slow", 30*time.Second - 1, false, hold.ClientGone},
			{"slow but there", 30*time.Second - 1, true, hold.ClientGone},
		} {
			t.Run(target+" "+c.what, func(t *testing.T) {
				bubble(t, func(r *rig) {
					client := newClient()
					h := r.serveTo(client, get(target))
					client.mu.Lock()
					client.stuck = make(chan struct{})
					client.breaks = !c.goes
					client.mu.Unlock()
					defer time.AfterFunc(c.after, func() { close(client.stuck) }).Stop()
					began := time.Now()
					r.publish("a", "x")
					events := 0
					if c.goes {
						time.Sleep(time.Minute) // with heartbeats
						synctest.Wait()
						h.hang()
						events = 1
					}
					r.ended(h, c.want, events)
					if took := time.Since(began); !c.goes && took != min(c.after, 30*time.Second) {
						t.Errorf("ended after %v", took)
					}
					r.wantHolds(0)
					r.wantFanouts(1)
				})
			})
		}
	}
}

// pipes is a listener whose connections are in memory, so that they are in a
// bubble's time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.done); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.conns <- server
	return client, nil
}

// servePipes serves the rig by the real net/http, in a bubble.
func (r *rig) servePipes(protocols *http.Protocols) (p pipes, reports chan hold.Report, over func()) {
	p = pipes{make(chan net.Conn), make(chan struct{})}
	reports = make(chan hold.Report, 16)
	server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		report, err := r.hold(req).Serve(w, req)
		if err != nil {
			r.Error(err)
		}
		reports <- report
	})}
	go func() { _ = server.Serve(p) }()
	return p, reports, func() {
		_ = server.Close()
		synctest.Wait()
	}
}

func TestOverAConnectionThatNobodyReadsAStreamEndsAsSlow(t *testing.T) {
	one, two := new(http.Protocols), new(http.Protocols)
	one.SetHTTP1(true)
	two.SetUnencryptedHTTP2(true)
	for name, protocols := range map[string]*http.Protocols{"HTTP/1.1": one, "HTTP/2": two} {
		for _, target := range []string{"/comet/a?as=sse", "/comet/a?as=multipart"} {
			t.Run(name+" "+target, func(t *testing.T) {
				bubble(t, func(r *rig) {
					limits := r.hub.Limits()
					limits.HistoryBytes, limits.TotalBytes = 64<<20, 64<<20
					r.hub.SetLimits(limits)
					p, reports, over := r.servePipes(protocols)
					defer over()
					transport := &http.Transport{Protocols: protocols, DialContext: p.dial}
					defer transport.CloseIdleConnections()
					client := &http.Client{Transport: transport}
					resp, err := client.Get("http://x" + target)
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = resp.Body.Close() }()
					if want := strings.TrimSuffix(name, ".1"); !strings.HasPrefix(resp.Proto, want) {
						t.Fatalf("got %s", resp.Proto)
					}
					line, err := bufio.NewReader(io.LimitReader(resp.Body, 9000)).ReadString('\n')
					if err != nil {
						t.Fatalf("got %q, %v", line, err)
					}
					began := time.Now()
					// More than all buffers and windows on the way.
					for range 8 {
						r.publish("a", strings.Repeat("x", 1<<20))
					}
					report := <-reports
					if took := time.Since(began); report.Outcome != hold.Slow || took != 30*time.Second {
						t.Errorf("got %+v after %v", report, took)
					}
					r.wantHolds(0)
				})
			})
		}
	}
}

func TestOverAConnectionThatNobodyReadsAPatientEndsAsSlow(t *testing.T) {
	bubble(t, func(r *rig) {
		p, reports, over := r.servePipes(nil)
		defer over()
		conn, _ := p.dial(t.Context(), "", "")
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, "GET /doorbell/1 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		report := <-reports
		if took := time.Since(began); report.Outcome != hold.Slow || took != heartbeat+30*time.Second {
			t.Errorf("got %+v after %v", report, took)
		}
		r.wantHolds(0)
	})
}
