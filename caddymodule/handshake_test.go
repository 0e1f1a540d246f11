package caddymodule

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// shaken serves TLS with handshakes aside, which calls hello in each of them.
func shaken(t *testing.T, timeout time.Duration, hello func(context.Context)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	s.EnableHTTP2 = true
	s.Config.ConnContext = welcome
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ReadHeaderTimeout = timeout
	s.TLS = &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		hello(info.Context())
		return nil, nil
	}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// fresh asks on a connection of its own.
func fresh(s *httptest.Server) (string, error) {
	transport := s.Client().Transport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get(s.URL)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

// TestHandshakesAreDoneAside: nearly all, for nothing but memory depends on it.
func TestHandshakesAreDoneAside(t *testing.T) {
	var aside, bare atomic.Int32
	s := shaken(t, deadline, func(ctx context.Context) {
		if strings.Contains(string(debug.Stack()), "shaking.shake") {
			aside.Add(1)
		}
		if ctx.Value(http.LocalAddrContextKey) == nil || ctx.Value(http.ServerContextKey) == nil {
			bare.Add(1)
		}
	})
	const all = 50
	for range all {
		if got, err := fresh(s); got != "HTTP/2.0" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if aside.Load() < all*9/10 || bare.Load() > 0 {
		t.Errorf("%d of %d were aside, %d without the server's context", aside.Load(), all, bare.Load())
	}
}

// TestAFailedHandshakeIsTheServersAsBefore: it answers who speaks no TLS, and cuts
// who says nothing.
func TestAFailedHandshakeIsTheServersAsBefore(t *testing.T) {
	const answer = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
	for _, of := range []struct {
		timeout    time.Duration
		said, want string
	}{
		{100 * time.Millisecond, "", ""},
		{deadline, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", answer},
	} {
		s := shaken(t, of.timeout, func(context.Context) {})
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(deadline))
		_, _ = io.WriteString(c, of.said)
		b, err := io.ReadAll(c)
		if string(b) != of.want || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("to %q: got %q, %v", of.said, b, err)
		}
	}
}

// TestAPanicInAHandshakeEndsOneConnection, and not the process.
func TestAPanicInAHandshakeEndsOneConnection(t *testing.T) {
	var once atomic.Bool
	s := shaken(t, deadline, func(context.Context) {
		if !once.Swap(true) {
			panic("a mistake")
		}
	})
	if got, err := fresh(s); err == nil {
		t.Errorf("got %q", got)
	}
	if got, err := fresh(s); err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestPlainConnectionsAreLeftAlone.
func TestPlainConnectionsAreLeftAlone(t *testing.T) {
	c, _ := net.Pipe()
	defer c.Close()
	if ctx := t.Context(); welcome(ctx, c) != ctx {
		t.Error("the context is another one")
	}
}
