package caddymodule

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/park"
)

// attempt serves a request of a connection that stays parked: by Caddy's routes, as
// ever, but with a writer that has no connection. Most such requests are polls that
// are parked again, and need none. As soon as something is to be written, the
// connection goes to an HTTP server of Go's, which reads the request once more and
// lends its own writer; from there on this one only passes on.
type attempt struct {
	handler http.Handler
	trial   *park.Trial
	header  http.Header
	cancel  context.CancelFunc

	// lent is where the HTTP server brings its writer.
	lent chan http.ResponseWriter
	// done is closed when the handler has returned; fault is what it panicked with.
	done  chan struct{}
	fault any
	// real is the server's writer, nil until it is needed.
	real http.ResponseWriter
	err  error
	// wrote: the header has been written.
	wrote bool
	// read and write are deadlines that were set meanwhile.
	read, write *time.Time
}

// attempt serves a request.
func (h *home) attempt(t *park.Trial) {
	if !t.Fetch() {
		return
	}
	r, err := readRequest(t.Head)
	if err != nil {
		t.Return(nil) // net/http says what is wrong
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ctx = context.WithValue(ctx, http.ServerContextKey, h.server) // which ends after the crew
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, t.Local)
	r.RemoteAddr, r.TLS = t.Remote, t.TLS()
	if turn, ok := t.Note.(*turn); ok {
		defer turn.leaver()() // the routes may lead elsewhere now
		ctx = context.WithValue(ctx, turnKey{}, turn)
	}
	a := &attempt{
		handler: h.caddy, trial: t, header: make(http.Header), cancel: cancel,
		lent: make(chan http.ResponseWriter, 1), done: make(chan struct{}),
	}
	t.OnGone(cancel)
	a.serve(r.WithContext(ctx))
	if t.Taken() {
		t.Done()
	} else {
		a.reach() // who writes nothing, or panics, has the server answer
		if a.real != nil {
			a.dress() // there may be trailers
		}
	}
	close(a.done)
}

var readers = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

func readRequest(head []byte) (*http.Request, error) {
	b := readers.Get().(*bufio.Reader)
	b.Reset(bytes.NewReader(head))
	r, err := http.ReadRequest(b)
	b.Reset(nil)
	readers.Put(b)
	return r, err
}

func (a *attempt) serve(r *http.Request) {
	defer func() { a.fault = recover() }()
	a.handler.ServeHTTP(a, r)
}

// lend serves a request that an attempt has had until now. It returns when that is
// over.
func (a *attempt) lend(w http.ResponseWriter, r *http.Request) {
	context.AfterFunc(r.Context(), a.cancel)
	a.lent <- w
	<-a.done
	if a.fault != nil {
		panic(a.fault)
	}
}

var errLost = errors.New("comet: the connection is gone")

// reach gets the server's writer.
func (a *attempt) reach() {
	if a.real != nil || a.err != nil {
		return
	}
	if a.trial.Taken() {
		a.err = http.ErrHijacked
		return
	}
	lost := make(chan struct{})
	a.trial.Owner = a
	a.trial.Return(sync.OnceFunc(func() { close(lost) }))
	select {
	case a.real = <-a.lent:
		control := http.NewResponseController(a.real)
		if a.read != nil {
			_ = control.SetReadDeadline(*a.read)
		}
		if a.write != nil {
			_ = control.SetWriteDeadline(*a.write)
		}
	case <-lost:
		a.err = errLost
		a.cancel()
	}
}

// Header implements [http.ResponseWriter], like those that follow.
func (a *attempt) Header() http.Header { return a.header }

func (a *attempt) WriteHeader(status int) {
	a.reach()
	if a.real == nil || a.wrote {
		return
	}
	a.dress()
	a.wrote = status >= http.StatusOK || status == http.StatusSwitchingProtocols
	a.real.WriteHeader(status)
}

// dress has the server's writer know the header.
func (a *attempt) dress() {
	header := a.real.Header()
	clear(header)
	maps.Copy(header, a.header)
}

func (a *attempt) Write(b []byte) (int, error) {
	if !a.wrote {
		a.WriteHeader(http.StatusOK)
	}
	if a.err != nil {
		return 0, a.err
	}
	return a.real.Write(b)
}

// ReadFrom lets files be sent by the kernel.
func (a *attempt) ReadFrom(r io.Reader) (int64, error) {
	if !a.wrote {
		a.WriteHeader(http.StatusOK)
	}
	if a.err != nil {
		return 0, a.err
	}
	return io.Copy(a.real, r)
}

// FlushError is found by [http.ResponseController].
func (a *attempt) FlushError() error {
	if !a.wrote {
		a.WriteHeader(http.StatusOK)
	}
	if a.err != nil {
		return a.err
	}
	return http.NewResponseController(a.real).Flush()
}

// Flush implements [http.Flusher].
func (a *attempt) Flush() { _ = a.FlushError() }

// Hijack implements [http.Hijacker].
func (a *attempt) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.reach()
	if a.err != nil {
		return nil, nil, a.err
	}
	return http.NewResponseController(a.real).Hijack()
}

// SetReadDeadline is found by [http.ResponseController], like those that follow.
func (a *attempt) SetReadDeadline(t time.Time) error {
	if a.real == nil {
		a.read = &t
		return a.err
	}
	return http.NewResponseController(a.real).SetReadDeadline(t)
}

func (a *attempt) SetWriteDeadline(t time.Time) error {
	if a.real == nil {
		a.write = &t
		return a.err
	}
	return http.NewResponseController(a.real).SetWriteDeadline(t)
}

// EnableFullDuplex has nothing to do: the request has no body.
func (a *attempt) EnableFullDuplex() error { return a.err }

// Take implements [park.Door].
func (a *attempt) Take(hand func(park.Taken)) error {
	if a.real == nil {
		return a.trial.Take(hand)
	}
	return errLost
}
