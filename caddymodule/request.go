package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// ServeHTTP holds the request, or passes it on.
func (c *Comet) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if refuseLoop(w, r, "comet", c.use.hub.name) {
		return nil
	}
	c.app.awaitReady(r.Context())
	if c.visit(w, r) {
		return nil
	}
	begin := c.begin
	if r.ProtoMajor > 1 { // else it is parked, most likely
		begin = c.beginAside
	}
	line := c.Token.hide(w, r)
	held, err := begin(w, r)
	switch {
	case errors.Is(err, dialect.ErrPass):
		return next.ServeHTTP(w, r)
	case err != nil:
		return err
	}
	defer line.write(held)
	if held == nil {
		return nil
	}
	return held.end(r.Context())
}

// beginAside is begin on a stack of its own.
func (c *Comet) beginAside(w http.ResponseWriter, r *http.Request) (held *heldRequest, err error) {
	hold.Aside(func() { held, err = c.begin(w, r) })
	return held, err
}

// begin does all that is to be done before the request waits. It returns nil where
// that was all.
func (c *Comet) begin(w http.ResponseWriter, r *http.Request) (*heldRequest, error) {
	if c.library(w, r) {
		return nil, nil
	}
	ask, err := c.dialect.Read(r)
	if errors.Is(err, dialect.ErrPass) {
		return nil, err
	}
	ask.Public = ask.Public && !c.private()
	if ask.Public {
		forEveryone(w.Header())
	} else {
		c.share(w.Header(), r)
	}
	if r.Method == http.MethodOptions {
		w.Header().Set("Allow", strings.Join(c.methods(), ", "))
		if w.Header().Get("Access-Control-Allow-Origin") != "" {
			preflight(w.Header(), c.methods())
		}
		w.WriteHeader(http.StatusNoContent)
		return nil, nil
	}
	_, talks := ask.Answer.(hold.Talk)
	if !slices.Contains(c.methods(), r.Method) && !(r.Method == http.MethodConnect && (talks || err != nil)) {
		w.Header().Set("Allow", strings.Join(c.methods(), ", "))
		text := "this address is for listening, by GET; publishing goes to comet_publish"
		if c.Dialect == "doorbell" {
			text = "GET waits until the event variable is set, POST sets it"
		}
		return nil, c.refuse(w, "method", http.StatusMethodNotAllowed, text)
	}
	if err != nil {
		var bad *dialect.Error
		if errors.As(err, &bad) {
			return nil, c.refuse(w, "request", bad.Status, bad.Text)
		}
		return nil, err
	}
	if !ask.Public {
		text := foreign(w, r, talks)
		if text == "" && c.private() && isScript(ask) && !c.ours(r) {
			text = foreignScript
		}
		if text != "" {
			return nil, c.refuse(w, "origin", http.StatusForbidden, text)
		}
	}
	if r.Method != http.MethodPost && !talks {
		if status, text := drain(w, r); status != 0 {
			return nil, c.refuse(w, "request", status, text)
		}
	}
	if ask.Publish != "" {
		c.publishAs(w, r, ask)
		return nil, nil
	}
	right, ok := c.enter(w, r, &ask, actionListen)
	if !ok {
		return nil, nil
	}
	return c.hold(w, r, ask, right)
}

// publishAs publishes what a request says that is a dialect's own.
func (c *Comet) publishAs(w http.ResponseWriter, r *http.Request, ask dialect.Ask) {
	if c.private() && r.Method != http.MethodPost && !c.ours(r) {
		_ = c.refuse(w, "origin", http.StatusForbidden, foreignPicture)
		return
	}
	may := dialect.Ask{Channels: []string{ask.Publish}}
	switch right, ok := c.enter(w, r, &may, actionPublish); {
	case !ok:
	case right.busy != "":
		w.Header().Set("Retry-After", "3")
		_ = c.refuse(w, "authorize", http.StatusServiceUnavailable, right.busy)
	case r.Method == http.MethodPost: // sets an event variable, whatever body comes
		c.publish.publish(w, r, ask.Publish, nil)
	default:
		c.publish.publish(w, r, ask.Publish, ask.Data)
	}
}

func (c *Comet) methods() []string {
	if c.Dialect == "doorbell" {
		return []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions}
	}
	return []string{http.MethodGet, http.MethodHead, http.MethodOptions}
}

// refuse answers a request that cannot be held, in a sentence. The client is a
// program, and whoever wrote it reads the answer in the browser's console, so it
// is not left to the site's error pages.
func (c *Comet) refuse(w http.ResponseWriter, reason string, status int, text string) error {
	metrics().denied.WithLabelValues(c.use.hub.name, reason).Inc()
	writeText(w, status, text)
	return nil
}

func writeText(w http.ResponseWriter, status int, text string) {
	dropBody(w)
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}
