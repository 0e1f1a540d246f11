package caddymodule

import (
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// parking is how the hold may be parked, nil if it may not.
func (c *Comet) parking(w http.ResponseWriter, r *http.Request, b *book, position dialect.Position) *hold.Parking {
	p := parkingOf(c.app, w, r, b)
	if lease := c.use.settings.lease(); p != nil && lease > 0 && position != nil && ownQuery(r) {
		p.Lease = &hold.Lease{For: lease, Position: position, Void: c.app.retire}
	}
	return p
}

// ownQuery reports whether a request's query is the one that its client sent.
func ownQuery(r *http.Request) bool {
	sent, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	return !ok || sent.URL.RawQuery == r.URL.RawQuery
}

// parkingOf is how any hold may be parked, nil where the answer would not be the same
// then, byte for byte.
func parkingOf(app *App, w http.ResponseWriter, r *http.Request, b *book) *hold.Parking {
	if r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.Method != http.MethodGet || r.ContentLength != 0 {
		return nil
	}
	srv, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	home := app.home(srv)
	server, logged, ok := bottom(w)
	lot := theLot()
	if home == nil || !ok || lot == nil {
		return nil
	}
	return &hold.Parking{
		Lot: lot, Terms: &home.terms, Door: door(r.Context(), server), Close: r.Close, Ended: b,
		Taken: taken(r, home, b, logged),
	}
}

// socket is how a WebSocket's connection is parked: always, for from its handshake on
// nothing in the chain has a say any more.
func (c *Comet) socket(w http.ResponseWriter, r *http.Request, b *book) *hold.Parking {
	srv, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	var home *home
	if ok {
		home = c.app.home(srv)
	}
	p := &hold.Parking{Lot: theLot(), Terms: new(park.Terms), Ended: b}
	if home != nil {
		p.Terms = &home.terms
	}
	_, logged, _ := bottom(w)
	p.Taken = taken(r, home, b, logged && ok)
	p.Door = park.Hijacked{Writer: lowest(w), Context: r.Context()}
	return p
}

// taken notes that a hold goes on without its request.
func taken(r *http.Request, h *home, b *book, logged bool) func() {
	return func() {
		if logged {
			b.log = takeLog(r, h)
		}
		b.park()
	}
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
