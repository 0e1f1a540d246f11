package caddymodule

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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
	// closed: connections go on elsewhere. It changes under mu.
	closed atomic.Bool
	// ending: not even what the crew serves gets a writer any more.
	ending  bool
	retired sync.Once
	// crew serves the requests of connections that stay parked.
	crew *crew
	// server and caddy are nil when they have ended: parked connections know their
	// home for as long as they wait, and must not keep a whole configuration.
	server *http.Server
	caddy  *caddyhttp.Server
	// logs stay, for the lines of those that end after the server.
	logs *caddyhttp.ServerLogConfig
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
		caddy: srv, logs: srv.Logs, listen: srv.Listen, tls: policies, ended: make(chan struct{}),
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
				newcomers.yield()
				return context.WithValue(ctx, visitKey{}, park.VisitOf(c))
			},
		},
	}
	h.filled = sync.NewCond(&h.mu)
	h.terms = park.Terms{Home: h, Idle: time.Duration(srv.IdleTimeout)}
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
		t := v.Claim()
		if t != nil && t.Owner != nil {
			t.Owner.(*attempt).lend(w, r)
			return
		}
		if t != nil {
			if turn, ok := t.Note.(*turn); ok {
				defer turn.leaver()()
				r = r.WithContext(context.WithValue(r.Context(), turnKey{}, turn))
			}
		}
	}
	l.caddy.ServeHTTP(w, r)
}

// hooks is how many functions of a kind other modules have left with a server.
// Caddy has no word for that.
func hooks(srv *caddyhttp.Server, field string) (others int) {
	f := reflect.ValueOf(srv).Elem().FieldByName(field)
	if f.Kind() != reflect.Slice {
		return 1 // Caddy has changed: better not
	}
	for i := range f.Len() {
		if h := f.Index(i); h.Kind() != reflect.Func || !slices.Contains(ownHooks, h.Pointer()) {
			others++
		}
	}
	return others
}

// ownHooks are those that this module leaves with a server.
var ownHooks = []uintptr{reflect.ValueOf(welcome).Pointer(), reflect.ValueOf(rememberPeer).Pointer()}

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
	if h.ending || h.closed.Load() && !last {
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
	h.closed.Store(true)
	h.ending = h.ending || end
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
		h.crew.close()
		server := h.server
		server.SetKeepAlivesEnabled(false) // whoever has an answer asks elsewhere
		go func() {
			defer close(h.ended)
			h.crew.wait()
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
