//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// attack is what a tenant does to the server again and again. It begins its
// workers and returns.
type attack func(*assault)

// assault is attacks under way, in this process. They end with their context at the
// latest; every worker has at most one descriptor open.
type assault struct {
	site
	options
	ctx     context.Context
	end     context.CancelFunc
	workers sync.WaitGroup
	began   bool // there are workers
	// acts are requests, touches and lines.
	acts atomic.Int64

	mu    sync.Mutex
	wrong error
}

// assaultBound is how long an assault lasts that nobody ends.
const assaultBound = time.Minute

// assail begins attacks on a site.
func assail(ctx context.Context, s site, o options, attacks ...attack) *assault {
	a := &assault{site: s, options: o}
	a.ctx, a.end = context.WithTimeout(ctx, assaultBound)
	for _, begin := range attacks {
		begin(a)
	}
	return a
}

// stop ends it, and fails where it was not the attack that it should be.
func (a *assault) stop() error {
	a.end()
	a.workers.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wrong == nil && a.began && a.acts.Load() == 0 {
		return errors.New("an attack did nothing")
	}
	return a.wrong
}

// blame takes note of an attack that is answered as none should be.
func (a *assault) blame(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wrong == nil {
		a.wrong = err
	}
	a.end()
}

// repeat has n workers do something again and again.
func (a *assault) repeat(n int, act func()) {
	a.began = true
	for range n {
		a.workers.Go(func() {
			for a.ctx.Err() == nil {
				act()
			}
		})
	}
}

// caller is a connection of an attacker's.
type caller struct {
	net.Conn
	read    *bufio.Reader
	release func() bool
}

func (c *caller) close() {
	c.release()
	_ = c.Close()
}

// call connects. It returns nil where the server has no room, or the attack ends.
func (a *assault) call(network, address string) *caller {
	conn, err := new(net.Dialer).DialContext(a.ctx, network, address)
	if err != nil {
		_ = pause(a.ctx, time.Millisecond)
		return nil
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // or the ports of loopback run out
	}
	return &caller{conn, bufio.NewReader(conn), context.AfterFunc(a.ctx, func() { _ = conn.Close() })}
}

// exchange sends a request and reads the answer, which must be one that limits give.
// It is false where the connection has ended.
func (a *assault) exchange(c *caller, request []byte) bool {
	if _, err := c.Write(request); err != nil {
		return false
	}
	a.acts.Add(1)
	res, err := http.ReadResponse(c.read, nil)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	switch res.StatusCode {
	case http.StatusOK, http.StatusTooManyRequests, http.StatusServiceUnavailable:
	default:
		a.blame(fmt.Errorf("an attack is answered by %s: %s", res.Status, body))
	}
	return err == nil && !res.Close
}

// converse has n connections exchange one request after the other.
func (a *assault) converse(n int, network, address string, request func() []byte) {
	a.repeat(n, func() {
		c := a.call(network, address)
		if c == nil {
			return
		}
		defer c.close()
		for a.exchange(c, request()) {
		}
	})
}

// visit has n connections ask, wait for so long at most for what comes, and come back
// with a new connection.
func (a *assault) visit(n int, patience time.Duration, request func() []byte) {
	a.repeat(n, func() {
		c := a.call("tcp", a.plain)
		if c == nil {
			return
		}
		defer c.close()
		_ = c.SetReadDeadline(time.Now().Add(patience))
		a.exchange(c, request())
	})
}
