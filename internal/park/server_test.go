package park

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Two HTTP servers share many clients' connections with a lot: one that they came
// to, and one that takes them back.
func TestWithServers(t *testing.T) {
	everywhere(t, func(g *ground) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if g.kind == "unix" {
			_ = ln.Close()
			ln, err = net.Listen("unix", t.TempDir()+"/socket")
		}
		if err != nil {
			t.Fatal(err)
		}
		h := &house{g: g, taken: make(chan net.Conn, 1000), ended: make(chan struct{})}
		h.terms.Home = h
		first, second := &http.Server{Handler: h}, &http.Server{Handler: h, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, visitKey{}, VisitOf(c))
		}}
		network, address := ln.Addr().Network(), ln.Addr().String()
		secure := g.kind == "tls" || g.kind == "tls12"
		if secure {
			ln = tls.NewListener(ln, &tls.Config{Certificates: certificate()})
		}
		var servers, clients sync.WaitGroup
		servers.Go(func() { _ = first.Serve(ln) })
		servers.Go(func() { _ = second.Serve(h) })
		stop := make(chan struct{})
		servers.Go(func() { h.ring(stop) })
		for i := range 30 {
			clients.Go(func() {
				if err := ask(network, address, secure, rand.New(rand.NewPCG(seed, uint64(i))), i); err != nil {
					t.Error(err)
				}
			})
		}
		clients.Wait()
		g.empty()
		close(stop)
		_ = first.Shutdown(context.Background())
		_ = second.Shutdown(context.Background())
		servers.Wait()
		if h.parked.Load() < 30*rounds || h.secure.Load() != secure {
			t.Errorf("parked %d times, TLS %v", h.parked.Load(), h.secure.Load())
		}
		if n := h.quietly.Load(); n == 0 || n == h.parked.Load() {
			t.Errorf("%d of %d were taken without being hijacked, want some", n, h.parked.Load())
		}
	})
}

const rounds = 20

// ask asks again and again, sometimes twice at once, and expects its own answers
// in order.
func ask(network, address string, secure bool, r *rand.Rand, who int) error {
	c, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	if secure {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(limit))
	read := bufio.NewReader(c)
	asked := 0
	for answered := 0; answered < rounds; answered++ {
		for asked == answered || asked < rounds && r.IntN(3) == 0 {
			request := fmt.Sprintf("GET /%d/%d HTTP/1.1\r\nHost: x\r\n\r\n", who, asked)
			cut := r.IntN(len(request)) // in two packets
			if _, err := io.WriteString(c, request[:cut]); err != nil {
				return err
			}
			runtime.Gosched()
			if _, err := io.WriteString(c, request[cut:]); err != nil {
				return err
			}
			asked++
		}
		response, err := http.ReadResponse(read, nil)
		if err != nil {
			return fmt.Errorf("client %d, answer %d of %d: %w", who, answered, asked, err)
		}
		body, err := io.ReadAll(response.Body)
		if want := fmt.Sprintf("/%d/%d", who, answered); string(body) != want || err != nil {
			return fmt.Errorf("got %q and %v, want %q", body, err, want)
		}
	}
	return nil
}

// house is the servers' handler, which parks every request, and the second one's
// listener.
type house struct {
	g      *ground
	terms  Terms
	taken  chan net.Conn
	ended  chan struct{}
	once   sync.Once
	parked atomic.Int64
	// quietly: taken without being hijacked.
	quietly atomic.Int64
	secure  atomic.Bool
}

func (h *house) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.secure.Store(r.TLS != nil)
	v := &visitor{g: h.g, calls: map[string]int{}}
	path := r.URL.Path
	answers(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(path), path), true)(v)
	h.parked.Add(1)
	hand := func(t Taken) {
		v.conn = h.g.lot.Conn(t.Conn, t.Early, &h.terms)
		v.conn.Park(v)
	}
	if visit, _ := r.Context().Value(visitKey{}).(*Visit); visit != nil && visit.Take(hand) == nil {
		h.quietly.Add(1)
		return
	}
	if err := (Hijacked{w.(http.Hijacker), r.Context()}).Take(hand); err != nil {
		h.g.Error(err)
	}
}

type visitKey struct{}

// ring has all guests answer, again and again.
func (h *house) ring(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
			h.g.lot.Each(func(guest Guest) { guest.(*visitor).conn.Ring() })
		}
	}
}

func (h *house) Try(*Trial) {}

func (h *house) Open(net.Addr) bool { return true }

func (h *house) Return(c net.Conn) { h.taken <- c }

func (h *house) Accept() (net.Conn, error) {
	select {
	case c := <-h.taken:
		return c, nil
	case <-h.ended:
		return nil, errors.New("closed")
	}
}

func (h *house) Close() error {
	h.once.Do(func() { close(h.ended) })
	return nil
}

func (h *house) Addr() net.Addr { return &net.UnixAddr{} }
