package caddymodule

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-comet/caddy-comet/internal/park"
)

// home takes the parked connections of one of Caddy's servers back. Caddy's own
// listeners cannot be given a connection, so it is an HTTP server beside, whose
// handler is Caddy's server: routes, logs and all else are the same.
type home struct {
	listen []string
	terms  park.Terms
	// tls are the policies by which the connections were let in, as policiesOf has
	// them.
	tls string

	mu     sync.Mutex
	queue  []net.Conn
	filled *sync.Cond
	closed bool
	// ending: not even what the crew serves gets a writer any more.
	ending  bool
	retired sync.Once
	// left is closed, for those who ask often.
	left atomic.Bool
	// crew serves the requests of connections that stay parked.
	crew *crew
	// server and caddy are nil when they have ended: parked connections know their
	// home for as long as they wait, and must not keep a whole configuration.
	server *http.Server
	caddy  *caddyhttp.Server
	// ended is closed when the last request of the server is answered.
	ended chan struct{}
}

// newHome returns the home of a server's connections, nil if they must stay where
// they are: where other modules have wrapped the listener, or want to be told of
// each connection.
func newHome(srv *caddyhttp.Server, policies string, logger *zap.Logger) *home {
	if hooks(srv, "listenerWrappers")+hooks(srv, "connContextFuncs")+hooks(srv, "connStateFuncs") > 0 {
		return nil
	}
	errorLog, _ := zap.NewStdLogAt(logger.Named("parked"), zapcore.DebugLevel) // fails for unknown levels only
	h := &home{
		caddy: srv, listen: srv.Listen, tls: policies, ended: make(chan struct{}),
		server: &http.Server{
			Handler:           lender{srv},
			ReadTimeout:       time.Duration(srv.ReadTimeout),
			ReadHeaderTimeout: time.Duration(srv.ReadHeaderTimeout),
			WriteTimeout:      time.Duration(srv.WriteTimeout),
			IdleTimeout:       time.Duration(srv.IdleTimeout),
			MaxHeaderBytes:    srv.MaxHeaderBytes,
			ErrorLog:          errorLog,
			TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/1 only
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				return context.WithValue(ctx, visitKey{}, park.VisitOf(c))
			},
		},
	}
	h.filled = sync.NewCond(&h.mu)
	h.terms = park.Terms{Home: h, Idle: time.Duration(srv.IdleTimeout), Own: true}
	h.crew = newCrew(h.attempt)
	server := h.server
	go func() { _ = server.Serve(h) }()
	return h
}

// visitKey is where the context of a request has the visit that its connection is
// on.
type visitKey struct{}

// lender is the handler of a home's server: Caddy's, unless a request has been
// served in part already.
type lender struct{ caddy http.Handler }

func (l lender) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if v, _ := r.Context().Value(visitKey{}).(*park.Visit); v != nil {
		if t := v.Claim(); t != nil && t.Owner != nil {
			t.Owner.(*attempt).lend(w, r)
			return
		}
	}
	l.caddy.ServeHTTP(w, r)
}

// door is where a request's connection can be taken.
func door(ctx context.Context, server http.Hijacker) park.Door {
	hijack := park.Hijacked{Writer: server, Context: ctx}
	if a, ok := server.(*attempt); ok {
		return either{a, hijack}
	}
	if v, ok := ctx.Value(visitKey{}).(*park.Visit); ok && v != nil {
		return either{v, hijack}
	}
	return hijack
}

// either is the first of two doors that opens.
type either struct{ first, second park.Door }

func (e either) Take(hand func(park.Taken)) error {
	if e.first.Take(hand) == nil {
		return nil
	}
	return e.second.Take(hand)
}

// policiesOf are a server's TLS policies as text, "" where it has none. Caddy
// forgets parts of them (matchers, whom to trust) when it provisions them, which
// is after it has provisioned the handlers.
func policiesOf(srv *caddyhttp.Server) string {
	if len(srv.TLSConnPolicies) == 0 {
		return ""
	}
	for _, p := range srv.TLSConnPolicies {
		if p.ClientAuthentication != nil {
			return unknownPolicies // whom it trusts may stand in files
		}
	}
	text, err := json.Marshal(srv.TLSConnPolicies)
	if err != nil {
		return unknownPolicies
	}
	return string(text)
}

// unknownPolicies are not the same as any others.
const unknownPolicies = "unknown"

// hooks is how many functions of a kind other modules have left with a server.
// Caddy has no word for that.
func hooks(srv *caddyhttp.Server, field string) int {
	f := reflect.ValueOf(srv).Elem().FieldByName(field)
	if f.Kind() != reflect.Slice {
		return 1 // Caddy has changed: better not
	}
	return f.Len()
}

// Return has the server go on with a connection, or the one that has come after
// it.
func (h *home) Return(c net.Conn) {
	if h.admit(c, false) {
		return
	}
	if next := h.successor(c.LocalAddr()); next != nil {
		next.Return(c)
		return
	}
	if v := park.VisitOf(c); v == nil || !v.Tried() || !h.admit(c, true) {
		_ = c.Close()
	}
}

// admit queues a connection for the server, and reports whether it does. The last
// are those of requests that are being served and have nowhere else to go on.
func (h *home) admit(c net.Conn, last bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ending || h.closed && !last {
		return false
	}
	h.queue = append(h.queue, c)
	h.filled.Signal()
	return true
}

// Try implements [park.Home].
func (h *home) Try(t *park.Trial) {
	if h.crew.take(t) {
		return
	}
	if next := h.successor(t.Local); next != nil && next.crew.take(t) {
		return
	}
	t.Return(nil)
}

// Accept, Close and Addr make it a [net.Listener].
func (h *home) Accept() (net.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.queue) == 0 {
		if h.ending {
			return nil, net.ErrClosed
		}
		h.filled.Wait()
	}
	c := h.queue[0]
	h.queue[0] = nil
	if h.queue = h.queue[1:]; len(h.queue) == 0 {
		h.queue = nil
	}
	return c, nil
}

// Close has the server take no more.
func (h *home) Close() error {
	h.leave(true)
	return nil
}

// leave has connections go on elsewhere; with end also those of requests that are
// being served.
func (h *home) leave(end bool) {
	h.mu.Lock()
	h.closed, h.ending = true, h.ending || end
	h.left.Store(true)
	rest := h.queue
	h.queue = nil
	h.filled.Broadcast()
	h.mu.Unlock()
	for _, c := range rest {
		h.Return(c)
	}
}

func (h *home) Addr() net.Addr { return addr{} }

// addr is the address of a listener that has none.
type addr struct{}

func (addr) Network() string { return "parked" }
func (addr) String() string  { return "parked" }

// retire has the server come to its end.
func (h *home) retire() {
	h.retired.Do(func() {
		h.leave(false)
		server := h.server
		server.SetKeepAlivesEnabled(false) // whoever has an answer asks elsewhere
		go func() {
			defer close(h.ended)
			h.crew.dismiss()
			_ = server.Shutdown(context.Background())
			h.mu.Lock()
			defer h.mu.Unlock()
			h.server, h.caddy = nil, nil
		}()
	})
}

// end waits for the end, and makes one when the time is over.
func (h *home) end(ctx context.Context) {
	select {
	case <-h.ended:
	case <-ctx.Done():
		h.mu.Lock()
		server := h.server
		h.mu.Unlock()
		if server != nil {
			_ = server.Close()
		}
	}
}

// successor is the home of the server that listens, in the configuration now in
// force, where this one did when the connection came, by the same rules. It must
// be the very same address: a connection from outside must never land on a
// server that is for this machine only.
func (h *home) successor(local net.Addr) *home {
	app := newestApp()
	if app == nil || h.tls == unknownPolicies {
		return nil
	}
	for _, srv := range h.listeners(app, local) {
		if next := app.home(srv); next != nil && next != h && next.tls == h.tls {
			return next
		}
	}
	return nil
}

// Open reports whether a connection that came at an address can still be returned.
func (h *home) Open(local func() net.Addr) bool {
	return !h.left.Load() || h.successor(local()) != nil
}

// listeners are a configuration's servers that listen where this one did.
func (h *home) listeners(app *App, local net.Addr) (servers []*caddyhttp.Server) {
	listen, ok := listenerOf(h.listen, local)
	for _, srv := range app.http().Servers {
		if ok && slices.Contains(srv.Listen, listen) {
			servers = append(servers, srv)
		}
	}
	return servers
}

// loggers are the names of the access loggers for a host, as the server is
// configured now on which a connection came.
func (h *home) loggers(local net.Addr, host string) []string {
	h.mu.Lock()
	srv := h.caddy
	closed := h.closed
	h.mu.Unlock()
	if app := newestApp(); app != nil && closed {
		srv = nil
		if servers := h.listeners(app, local); len(servers) > 0 {
			srv = servers[0]
		}
	}
	if srv == nil || srv.Logs == nil {
		return []string{""}
	}
	return loggerNames(srv.Logs, host)
}

// listenerOf returns the one of a server's addresses at which a connection came,
// as it is written there.
func listenerOf(listen []string, local net.Addr) (string, bool) {
	var found []string
	for _, l := range listen {
		a, err := caddy.ParseNetworkAddress(l)
		if err == nil && at(a, local) {
			found = append(found, l)
		}
	}
	if len(found) != 1 {
		return "", false
	}
	return found[0], true
}

// at reports whether a connection can have come at an address.
func at(a caddy.NetworkAddress, local net.Addr) bool {
	switch local := local.(type) {
	case *net.UnixAddr:
		path, _, _ := strings.Cut(a.Host, "|") // behind it the socket's mode
		return a.IsUnixNetwork() && path == local.Name
	case *net.TCPAddr:
		if !strings.HasPrefix(a.Network, "tcp") || uint(local.Port) < a.StartPort || uint(local.Port) > a.EndPort {
			return false
		}
		ip := net.ParseIP(a.Host)
		return a.Host == "" || ip == nil || ip.IsUnspecified() || ip.Equal(local.IP)
	}
	return false
}
