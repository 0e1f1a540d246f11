package caddymodule

import (
	"context"
	"net"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-comet/caddy-comet/internal/access"
)

// peerKey is where the context of a connection has the number of the user at its
// other end, if that is known. A connection that was parked does not have it when it
// comes back: who publishes by it is for the connection that the kernel handed over.
type peerKey struct{}

// rememberPeer is for [caddyhttp.Server.RegisterConnContext].
func rememberPeer(ctx context.Context, c net.Conn) context.Context {
	if uid, ok := access.PeerOf(bareConn(c)); ok {
		return context.WithValue(ctx, peerKey{}, uid)
	}
	return ctx
}

// rememberPeers has a server note who connects.
func (a *App) rememberPeers(srv *caddyhttp.Server) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.peers[srv] {
		a.peers[srv] = true
		srv.RegisterConnContext(rememberPeer)
	}
}
