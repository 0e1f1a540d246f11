package faults

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// silence is after how long without a byte a client complains and asks anew. The
// server is to give a sign of life each second or two; what proxies hold up is
// less. It decides nothing but when a hang is called one.
const silence = 45 * time.Second

var errSilent = errors.New("silent")

// watched is a context for a request, which ends when a server is silent; its cause
// is errSilent then, and silent is told, if it is not nil. The answer is to be read
// by [alive].
func watched(ctx context.Context, name string, silent func(name string)) (_ context.Context, watch *time.Timer, over func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	watch = time.AfterFunc(silence, func() {
		if silent != nil {
			silent(name)
		}
		cancel(errSilent)
	})
	return ctx, watch, func() {
		watch.Stop()
		cancel(nil)
	}
}

// alive notes each sign of life.
type alive struct {
	io.ReadCloser
	watch *time.Timer
}

func (a alive) Read(b []byte) (int, error) {
	n, err := a.ReadCloser.Read(b)
	if n > 0 {
		a.watch.Reset(silence)
	}
	return n, err
}

// Write is for the body of a connection that has switched its protocol.
func (a alive) Write(b []byte) (int, error) {
	to, ok := a.ReadCloser.(io.Writer)
	if !ok {
		return 0, http.ErrNotSupported
	}
	return to.Write(b)
}
