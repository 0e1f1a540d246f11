package caddymodule

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// subrequest is a request of our own to the site, through the site's own routes,
// in the name of a visitor: with his cookies, his address and his host.
type subrequest struct {
	// Target is a path and perhaps a query, as in a request's first line. Other
	// hosts cannot be asked.
	Target string
	// Method is GET if it is empty.
	Method string
	// Header is set in place of the visitor's values.
	Header http.Header
	Body   []byte
	// Limit is how many bytes the answer's body may have.
	Limit int
	// Time is how long the site may take.
	Time time.Duration
}

// subanswer is what the site answered.
type subanswer struct {
	Status int
	Header http.Header
	Body   []byte
}

var (
	errNoRoutes = errors.New("the request came through no server of Caddy's, so that there are no routes to ask")
	errSubLoop  = errors.New("the request is itself a sub-request of comet, so that no other one is made of it; have its address lead past comet")
	errSubLarge = errors.New("the site's answer is too large")
	errSubSlow  = errors.New("the site did not answer in time")
	errSubAbort = errors.New("the site broke its answer off")
)

// visitorsOwn are the headers of a visitor's request that are about itself: its
// body, its connection, and what the visitor has in his cache.
var visitorsOwn = []string{
	"Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "If-Match",
	"If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Keep-Alive", "Last-Event-Id",
	"Proxy-Authorization", "Proxy-Connection", "Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// ask sends the sub-request for r, on whose context it depends, and returns the
// whole answer, whatever its status. The error says why there is none. Nobody else
// uses r meanwhile.
func (s subrequest) ask(r *http.Request) (*subanswer, error) {
	srv, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil, errNoRoutes
	}
	if isSubrequest(r) {
		return nil, errSubLoop
	}
	bare, forget := routesContext(r)
	defer forget()
	ctx, cancel := context.WithTimeout(bare, s.Time)
	defer cancel()
	own, err := s.of(r, ctx)
	if err != nil {
		return nil, err
	}
	to := &subwriter{header: make(http.Header), limit: s.Limit}
	done := make(chan error, 1)
	go func() { // on a stack of its own, and left to itself where it does not heed its context
		defer func() {
			switch fault := recover(); fault {
			case nil:
				done <- nil
			case http.ErrAbortHandler:
				done <- errSubAbort
			default:
				done <- fmt.Errorf("the site's routes failed: %v", fault)
			}
		}()
		srv.ServeHTTP(to, own)
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		to.end(ctx.Err())
		err = ctx.Err()
	}
	answer, failed := to.answer()
	switch {
	case failed != nil && !errors.Is(failed, ctx.Err()):
		return nil, failed
	case r.Context().Err() != nil:
		return nil, r.Context().Err()
	case ctx.Err() != nil:
		return nil, errSubSlow
	case err != nil:
		return nil, err
	}
	return answer, nil
}

// of makes the request.
func (s subrequest) of(r *http.Request, ctx context.Context) (*http.Request, error) {
	target, err := url.ParseRequestURI(s.Target)
	if err != nil || !strings.HasPrefix(s.Target, "/") || strings.HasPrefix(s.Target, "//") {
		return nil, fmt.Errorf("%q is no address of the site's own; write a path that begins with one slash", s.Target)
	}
	ctx = context.WithValue(ctx, subrequestKey{}, s.Header)
	header := r.Header.Clone()
	for _, name := range visitorsOwn {
		header.Del(name)
	}
	for name := range header {
		if hasAnyPrefix(name, "Sec-Websocket-", "Comet-", "Grip-") { // whoever sends these is not the visitor
			delete(header, name)
		}
	}
	for name, values := range s.Header {
		header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	header.Set(subrequestHeader, subrequestMark())
	own := &http.Request{
		Method: or(s.Method, http.MethodGet), URL: target, RequestURI: s.Target, Host: r.Host, Header: header,
		Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
		RemoteAddr: r.RemoteAddr, TLS: r.TLS, Body: http.NoBody, ContentLength: int64(len(s.Body)),
	}
	if len(s.Body) > 0 {
		own.Body = io.NopCloser(bytes.NewReader(s.Body))
	}
	return own.WithContext(ctx), nil
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

// subrequestHeader marks a sub-request where it comes back from outside, should
// the site be a proxy to us. It is a secret of this process: a visitor who made one
// up would only be refused.
const subrequestHeader = "Comet-Subrequest"

var subrequestMark = sync.OnceValue(rand.Text)

// subrequestKey is where the context of a sub-request has what it says of its own.
type subrequestKey struct{}

// isSubrequest reports whether a request is one that comet has made.
func isSubrequest(r *http.Request) bool {
	if r.Context().Value(subrequestKey{}) != nil {
		return true
	}
	mark := r.Header.Get(subrequestHeader)
	return mark != "" && subtle.ConstantTimeCompare([]byte(mark), []byte(subrequestMark())) == 1
}

// refuseLoop refuses a sub-request that has come to where requests wait or where
// sub-requests are made, and reports whether it was one.
func refuseLoop(w http.ResponseWriter, r *http.Request, directive, hub string) bool {
	if !isSubrequest(r) {
		return false
	}
	fail(ofHolds, hub, "a sub-request of comet has come back to comet; have its address lead past it, or to PHP that does not wait",
		zap.String("directive", directive), zap.String("path", r.URL.Path))
	writeText(w, http.StatusLoopDetected, "comet asks itself")
	return true
}

// subwriter keeps an answer. It may still be written when nobody waits for it.
type subwriter struct {
	mu     sync.Mutex
	header http.Header
	limit  int
	// sent is the header as it went out.
	sent   http.Header
	status int
	body   []byte
	failed error
}

// Header implements [http.ResponseWriter].
func (w *subwriter) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter]. Interim answers are not kept.
func (w *subwriter) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin(status)
}

func (w *subwriter) begin(status int) {
	if w.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		w.status, w.sent = status, w.header.Clone()
	}
}

// Write implements [http.ResponseWriter].
func (w *subwriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin(http.StatusOK)
	if w.failed == nil && len(b) > w.limit-len(w.body) {
		w.failed = fmt.Errorf("%w: %d bytes are allowed", errSubLarge, w.limit)
	}
	if w.failed != nil {
		return 0, w.failed
	}
	w.body = append(w.body, b...)
	return len(b), nil
}

// Flush implements [http.Flusher], for handlers that ask for it.
func (w *subwriter) Flush() { w.WriteHeader(http.StatusOK) }

// end has the handler fail that still writes.
func (w *subwriter) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed = err
	}
}

func (w *subwriter) answer() (*subanswer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil {
		return nil, w.failed
	}
	w.begin(http.StatusOK) // where nobody answered, Caddy does, with an empty 200
	return &subanswer{w.status, w.sent, w.body}, nil
}
