package caddymodule

import (
	"context"
	"net/http"
	"time"
)

// afterVisitor is how long a site may still work on the request of a visitor who
// hung up: as long as a slow page takes.
const afterVisitor = 30 * time.Second

// outlive returns a context for the site behind us that goes on when the
// visitor's ends, for otherwise reverse_proxy ends its request to the site at
// once and what PHP publishes at its end is lost. It ends with the visitor's as
// soon as the site has answered, after [afterVisitor], or with stop.
func outlive(parent context.Context, answered, stop <-chan struct{}) (context.Context, context.CancelFunc) {
	visitor := visitorOf(parent)
	ctx, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(parent), visitorKey{}, visitor))
	forget := context.AfterFunc(visitor, func() {
		defer cancel()
		patience := time.NewTimer(afterVisitor)
		defer patience.Stop()
		select {
		case <-answered:
		case <-patience.C:
		case <-stop:
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		forget()
		cancel()
	}
}

// visitorKey is where the context of [outlive] keeps the visitor's.
type visitorKey struct{}

func visitorOf(ctx context.Context) context.Context {
	if visitor, ok := ctx.Value(visitorKey{}).(context.Context); ok {
		return visitor
	}
	return ctx
}

// ofVisitor returns a request that ends when its visitor hangs up: a hold must,
// also where somebody put it inside a comet_backend.
func ofVisitor(r *http.Request) *http.Request {
	if visitor := visitorOf(r.Context()); visitor != r.Context() {
		return r.WithContext(visitor)
	}
	return r
}
