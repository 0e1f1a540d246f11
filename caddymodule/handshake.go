package caddymodule

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"runtime/debug"

	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/park"
)

// welcome is for each new connection, by [caddyhttp.Server.RegisterConnContext]. It comes
// in when it is its turn, what the kernel keeps for it is bounded, and a TLS handshake is
// done by a goroutine of its own. That needs a stack twice as large as all that comes
// after it, and the connection's goroutine, which is there as long as an HTTP/2
// connection is, would keep it.
func welcome(ctx context.Context, c net.Conn) context.Context {
	newcomers.yield()
	park.Bound(c)
	conn, ok := c.(*tls.Conn)
	if !ok {
		return ctx
	}
	s := shaking{ctx, make(chan struct{})}
	go s.shake(conn)
	return s
}

// shaking is the context of a connection whose handshake is being done aside. The
// server asks for it as well, and gets the result of the one that is under way
// already, or nothing is saved. So it must not be the first: what it asks its
// context before is when that is done ([tls.Conn.HandshakeContext]), and by then
// the other has begun.
type shaking struct {
	context.Context
	begun chan struct{}
}

func (s shaking) Done() <-chan struct{} {
	<-s.begun // soon
	return s.Context.Done()
}

func (s shaking) shake(c *tls.Conn) {
	defer func() {
		if reason := recover(); reason != nil {
			fail(ofHolds, "", "panic in a TLS handshake", zap.Any("reason", reason), zap.ByteString("stack", debug.Stack()))
			_ = c.Close()
		}
	}()
	// What the server's own would have.
	ctx := context.WithValue(s.Context, http.LocalAddrContextKey, c.LocalAddr())
	close(s.begun)
	_ = c.HandshakeContext(ctx) // the server gets the same error
}
