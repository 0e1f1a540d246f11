package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/access"
)

func init() {
	caddy.RegisterModule(new(Backend))
	httpcaddyfile.RegisterHandlerDirective("comet_backend", parseBackend)
	// Behind comet, which stands right after encode, and around whatever answers.
	// Caddy lets no directive name another plugin's, and push is what follows
	// encode in its own list.
	httpcaddyfile.RegisterDirectiveOrder("comet_backend", httpcaddyfile.Before, "push")
}

// Backend stands around the site behind us and uses its ordinary answers: they
// can carry news to the client, and events from PHP. Each is off until it is
// named.
type Backend struct {
	// The hub of the site. Needed once hubs are declared in the `comet` app, and
	// only then allowed.
	Hub string `json:"hub,omitempty"`

	// Tells a request that sends `Comet-Since: <cursor>` and `Comet-Channels:
	// a,b` in which of these channels anything happened since: its answer gets
	// `Comet-Cursor` and, where there is news, `Comet-News`.
	Piggyback bool `json:"piggyback,omitempty"`

	// Publishes what the site's answers say in headers: `Comet-Publish:
	// <channel>[; type=<type>][; data=<percent-encoded>]`. Clients do not see
	// them. Whoever answers behind this handler publishes, so it goes around the
	// own site alone.
	Publish bool `json:"publish,omitempty"`

	// Holds requests whose answer says so: `Comet-Hold: response` (or `stream`, or
	// `retry`) and `Comet-Channel: <channel>`, or the same in the words of GRIP. The
	// site is free at once. Clients do not see those headers.
	Hold bool `json:"hold,omitempty"`

	// How many held requests ask the site again at once, with `hold`. Default: 4.
	PHPConcurrency int `json:"php_concurrency,omitempty"`

	// Signs every request that goes to the site, with `hold`: `Grip-Sig` then has a JSON
	// Web Token with the claims `iss` and `exp`, an hour ahead. By it libraries of GRIP
	// see that the request came through a proxy. Default: none.
	GripSig *JWTKey `json:"grip_sig,omitempty"`

	app    *App
	use    *hubUse
	turns  *turns
	signer *access.Signer
}

// CaddyModule returns the Caddy module information.
func (*Backend) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.comet_backend", New: func() caddy.Module { return new(Backend) }}
}

// Provision refers to the hub.
func (b *Backend) Provision(ctx caddy.Context) error {
	if err := b.check(); err != nil {
		return err
	}
	app, err := ctx.App("comet")
	if err != nil {
		return err
	}
	a := app.(*App)
	if b.use, err = a.serve(b.Hub, Settings{}, nil); err != nil {
		return fmt.Errorf("comet_backend: %w", err)
	}
	if err := b.sign(); err != nil {
		return fmt.Errorf("comet_backend: grip_sig: %w", err)
	}
	// It ends the waiting, also for PHP whose visitor is gone.
	a.onShutdown(ctx, b.Hold)
	b.app, b.turns = a, &turns{most: or(b.PHPConcurrency, defaultTurns)}
	return nil
}

func (b *Backend) check() error {
	switch {
	case b.PHPConcurrency < 0 || b.PHPConcurrency > maxCount:
		return fmt.Errorf("php_concurrency: %d is no number from 1 up to %d", b.PHPConcurrency, maxCount)
	case b.PHPConcurrency > 0 && !b.Hold:
		return errors.New("php_concurrency is for hold, which is not there; write hold into the block as well")
	case b.GripSig != nil && !b.Hold:
		return errors.New("grip_sig is for hold, which is not there; write hold into the block as well")
	case b.Piggyback || b.Publish || b.Hold:
		return nil
	}
	return errors.New("comet_backend is told nothing to do; write piggyback, publish, hold or several of them into its block: comet_backend { piggyback }")
}

// sign reads the key that requests are signed with.
func (b *Backend) sign() error {
	if b.GripSig == nil {
		return nil
	}
	key, err := b.GripSig.read()
	if err == nil {
		b.signer, err = access.NewSigner(key)
	}
	return err
}

// ServeHTTP passes the request on and reads and completes the answer's header.
func (b *Backend) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	var asked *newsAsked
	if b.Piggyback {
		asked = b.readAsked(r.Header)
	}
	if asked == nil && !b.Publish && !b.Hold {
		return next.ServeHTTP(w, r)
	}
	b.app.awaitReady(r.Context())
	aw := &answerWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, asked: asked}
	if b.Hold {
		if aw.handover = b.handOver(w, r); aw.handover != nil {
			defer aw.strip()
		}
	}
	if b.Publish {
		// From here on whoever sets the header is the site: PHP that sends back
		// what it was sent must not publish for its visitor.
		r.Header.Del(publishHeader)
		answered := make(chan struct{})
		ctx, cancel := outlive(r.Context(), answered, process.stop)
		defer cancel()
		r = r.WithContext(ctx)
		path := r.URL.Path
		aw.publish = func(values []string) {
			defer close(answered)
			b.publish(ctx, values, path)
		}
		defer aw.strip()
	}
	err := next.ServeHTTP(aw, r)
	if err == nil {
		aw.final(http.StatusOK) // where nobody answered, Caddy does, with an empty 200
	} else if aw.handover != nil {
		aw.handover.count(0)
	}
	if err == nil && aw.kept != nil {
		return aw.handover.finish()
	}
	return err
}

// publish takes the events of an answer. The client gets the answer in any case,
// so that what is wrong with them is for the log.
func (b *Backend) publish(ctx context.Context, values []string, path string) {
	if len(values) == 0 {
		return
	}
	drafts, refused, err := headerEvents(values, b.use.hub.Limits().EventBytes)
	if len(drafts) > 0 {
		if _, failed := b.use.hub.tell(ctx, drafts); failed != nil {
			refused, err = refused+len(drafts), errors.Join(err, failed)
		}
	}
	if refused == 0 {
		return
	}
	metrics().denied.WithLabelValues(b.use.hub.name, "backend").Add(float64(refused))
	warn(ofBackend, b.use.hub.name, "events that the site published by Comet-Publish are refused",
		zap.String("path", path), zap.Int("events", refused), zap.Error(err))
}

// parseBackend reads the directive. Syntax:
//
//	comet_backend [<matcher>] {
//		hub <name>
//		piggyback
//		publish
//		hold
//		php_concurrency <number>
//		grip_sig <secret> [<issuer>]
//	}
func parseBackend(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	b := new(Backend)
	return b, b.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive; see parseBackend for the syntax.
func (b *Backend) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	line := *d
	a := d.RemainingArgs()
	if err := matcherFirst(d, "comet_backend", a); err != nil {
		return err
	}
	if len(a) > 0 {
		return d.Errf("comet_backend takes a block, not %q beside it: comet_backend { piggyback }", a[0])
	}
	err := options{
		"hub":       text(&b.Hub),
		"piggyback": flag(&b.Piggyback),
		"publish":   flag(&b.Publish),
		"hold":      flag(&b.Hold),

		"php_concurrency": number(&b.PHPConcurrency),

		"grip_sig": jwtKeyOption("a secret and perhaps the iss of the tokens, as in grip_sig {env.GRIP_KEY}", usualIssuer, false,
			func(k JWTKey) { b.GripSig = &k }),
	}.parse(d, "comet_backend")
	if err != nil {
		return err
	}
	if err := b.check(); err != nil {
		return line.WrapErr(err)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Backend)(nil)
	_ caddyhttp.MiddlewareHandler = (*Backend)(nil)
	_ caddyfile.Unmarshaler       = (*Backend)(nil)
)
