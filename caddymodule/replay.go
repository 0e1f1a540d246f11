package caddymodule

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-comet/caddy-comet/internal/handoff"
)

// routesContext is the context of a request that is served by Caddy's routes from the
// begin, and ends with r's. It has what every request's has, and nothing that r has
// become on its way, nor its connection.
func routesContext(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	for _, key := range []any{http.ServerContextKey, http.LocalAddrContextKey} {
		ctx = context.WithValue(ctx, key, r.Context().Value(key))
	}
	forget := context.AfterFunc(r.Context(), cancel)
	return ctx, func() {
		forget()
		cancel()
	}
}

// original is a request as it was before Caddy's handlers, but for its header, which
// Caddy does not keep.
func original(r *http.Request) http.Request {
	if first, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return first
	}
	return *r
}

// once is a request that is served once more, for a turn.
func once(r *http.Request, t *turn, ctx context.Context) *http.Request {
	first := original(r)
	target := new(url.URL)
	*target = *first.URL
	again := &http.Request{
		Method: first.Method, URL: target, RequestURI: first.RequestURI, Host: r.Host, Header: headerOf(r),
		Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
		RemoteAddr: first.RemoteAddr, TLS: r.TLS, Close: r.Close, Body: http.NoBody, ContentLength: int64(len(t.body)),
	}
	if len(t.body) > 0 {
		again.Body = io.NopCloser(bytes.NewReader(t.body))
	}
	return again.WithContext(context.WithValue(ctx, turnKey{}, t))
}

// headerOf is a request's header without what is told the site alone.
func headerOf(r *http.Request) http.Header {
	header := r.Header.Clone()
	handoff.Strip(header)
	return header
}

// headOf is the head of a request without a body, as a client sends it.
func headOf(r *http.Request) []byte {
	header := headerOf(r)
	if r.Close {
		header.Set("Connection", "close")
	}
	var b bytes.Buffer
	b.WriteString("GET " + original(r).RequestURI + " HTTP/1.1\r\nHost: " + r.Host + "\r\n")
	_ = header.Write(&b) // a buffer takes everything
	b.WriteString("\r\n")
	return b.Bytes()
}

// inForce is the server that a request would come to now, had it not waited while the
// configuration changed.
func (a *App) inForce(srv *caddyhttp.Server, r *http.Request) *caddyhttp.Server {
	select {
	case <-a.retire:
	default:
		return srv
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	a.mu.Lock()
	h := a.homes[srv]
	a.mu.Unlock()
	if h == nil || local == nil {
		return srv
	}
	if next := h.successor(local); next != nil {
		next.mu.Lock()
		defer next.mu.Unlock()
		return or(next.caddy, srv)
	}
	return srv
}
