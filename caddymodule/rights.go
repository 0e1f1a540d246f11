package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-comet/caddy-comet/internal/access"
	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// right is what a request may do that has been let in.
type right struct {
	who   *hub.Who
	admit hold.Admit
	// busy is why nobody could say whether it may, "" where somebody did.
	busy string
}

// The actions that a site is asked about.
const (
	actionListen  = "listen"
	actionPublish = "publish"
)

// enter finds out whether the request may have what it asks for, and leaves in ask
// what it may. It reports false where it has answered that it may not.
func (c *Comet) enter(w http.ResponseWriter, r *http.Request, ask *dialect.Ask, action string) (right, bool) {
	if c.Token != nil {
		grant, shown, err := c.Token.read(r, c.use.hub.name)
		switch {
		case shown && err != nil:
			return c.refuseToken(w, err)
		case shown:
			return c.enterByToken(w, r, ask, grant)
		case c.Authorize == nil:
			return c.refuseToken(w, errNoToken)
		}
	}
	if c.Authorize == nil {
		return right{who: whoSignedIn(r)}, true
	}
	visitor, err := c.Authorize.visitor(r, action)
	if err != nil {
		_ = c.refuse(w, "request", http.StatusRequestHeaderFieldsTooLarge, err.Error())
		return right{}, false
	}
	question, err := c.Authorize.question(visitor, c.use.hub, ask.Channels)
	if err != nil {
		_ = c.refuse(w, "request", http.StatusBadRequest, err.Error())
		return right{}, false
	}
	verdict, err := c.use.hub.decisions.Decide(r.Context(), question)
	switch {
	case errors.Is(err, errSubLoop):
		_ = c.refuse(w, "authorize", http.StatusLoopDetected, "the site is asked by a request to itself that comes back here; the log says more")
		return right{}, false
	case err != nil:
		return right{busy: "the site cannot say for now whether you may listen here"}, true
	case verdict.Refusal != nil:
		c.pass(w, verdict.Refusal)
		return right{}, false
	}
	if !c.narrow(w, r, ask, verdict.Grant, siteDenies) {
		return right{}, false
	}
	return right{who: verdict.Who, admit: c.admitting(visitor, verdict.Grant)}, true
}

// enterByToken is enter for who has a token that is good.
func (c *Comet) enterByToken(w http.ResponseWriter, r *http.Request, ask *dialect.Ask, g access.Grant) (right, bool) {
	if c.use.hub.Kicked(g.Who, ask.Channels) {
		return c.refuseToken(w, errors.New("the token was made before its right was taken back; the site has to give another"))
	}
	if !c.narrow(w, r, ask, g, tokenDenies) {
		return right{}, false
	}
	return right{who: g.Who, admit: func(channels []string) (hold.Admission, func() hold.Admission) {
		allowed, denied := g.Narrow(channels)
		return hold.Admission{Allowed: allowed, Denied: denied, Reason: tokenDenies}, nil
	}}, true
}

// refuseToken says what is wrong with a token (RFC 6750 section 3).
func (c *Comet) refuseToken(w http.ResponseWriter, err error) (right, bool) {
	status, reason := tokenStatus(err), "token"
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="comet"`)
	} else {
		w.Header().Set("Retry-After", "5")
		reason = "keys"
	}
	_ = c.refuse(w, reason, status, err.Error())
	return right{}, false
}

// Why channels are denied.
const (
	siteDenies  = "the site does not let you listen to them"
	tokenDenies = "the token does not name them"
)

// narrow leaves in ask what is granted, tells the client of the rest and why, and notes
// who it is. It reports false where it has answered that nothing is.
func (c *Comet) narrow(w http.ResponseWriter, r *http.Request, ask *dialect.Ask, g access.Grant, why string) bool {
	if denied := narrow(ask, g); len(denied) > 0 {
		if len(ask.Channels) == 0 {
			_ = c.refuse(w, "authorize", http.StatusForbidden, "you may listen to none of these channels")
			return false
		}
		w.Header().Set("Comet-Denied", escapeNames(denied))
		ask.Deny(denied, why)
	}
	setUser(r, g.Who.User)
	return true
}

// narrow leaves those of the channels in ask that may be followed, and returns the
// others.
func narrow(ask *dialect.Ask, g access.Grant) (denied []string) {
	allowed, denied := g.Narrow(ask.Channels)
	if len(denied) == 0 {
		return nil
	}
	kept := make(map[string]bool, len(allowed))
	for _, name := range allowed {
		kept[name] = true
	}
	ask.Since = ask.Since.Of(func(i int) bool { return kept[ask.Channels[i]] })
	ask.Channels = allowed
	return denied
}

// admitting says what a WebSocket's client may follow later.
func (c *Comet) admitting(v *visitor, g access.Grant) hold.Admit {
	return func(channels []string) (hold.Admission, func() hold.Admission) {
		if g.Channels != nil && !c.use.hub.Kicked(g.Who, channels) {
			if _, denied := g.Narrow(channels); len(denied) == 0 {
				return hold.Admission{Allowed: channels}, nil
			}
		}
		question, err := c.Authorize.question(v, c.use.hub, channels)
		if err != nil {
			return hold.Admission{Denied: channels, Reason: err.Error()}, nil
		}
		if verdict, ok := c.use.hub.decisions.Known(question); ok {
			return admission(channels, verdict, nil), nil
		}
		return hold.Admission{}, func() hold.Admission {
			verdict, err := c.use.hub.decisions.Decide(context.Background(), question)
			return admission(channels, verdict, err)
		}
	}
}

func admission(channels []string, v access.Verdict, err error) (a hold.Admission) {
	switch {
	case err != nil:
		return hold.Admission{Denied: channels, Reason: "the site cannot say for now whether you may listen to them; ask again later"}
	case v.Refusal != nil:
		return hold.Admission{Denied: channels, Reason: siteDenies}
	}
	a.Allowed, a.Denied = v.Narrow(channels)
	a.Expires = v.Who.Expires
	if len(a.Denied) > 0 {
		a.Reason = siteDenies
	}
	return a
}

// pass gives the site's refusal to the visitor.
func (c *Comet) pass(w http.ResponseWriter, refusal *access.Refusal) {
	metrics().denied.WithLabelValues(c.use.hub.name, "authorize").Inc()
	dropBody(w)
	h := w.Header()
	for name, value := range map[string]string{"Content-Type": refusal.ContentType, "WWW-Authenticate": refusal.Authenticate} {
		if value != "" {
			h.Set(name, value)
		}
	}
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(refusal.Status)
	_, _ = w.Write(refusal.Body)
}

// whoSignedIn is who one of Caddy's own handlers for authentication let in, nil if
// none did.
func whoSignedIn(r *http.Request) *hub.Who {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return nil
	}
	user, _ := repl.GetString(userKey)
	if user == "" {
		return nil
	}
	return &hub.Who{User: user, Granted: time.Now()}
}

// setUser has the access log know whom the site named.
func setUser(r *http.Request, user string) {
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok && user != "" {
		repl.Set(userKey, user)
	}
}

// userKey is Caddy's placeholder for whoever has signed in.
const userKey = "http.auth.user.id"

// escapeNames lists names in a header: percent-encoded, with commas between them.
func escapeNames(names []string) string {
	escaped := make([]string, len(names))
	for i, name := range names {
		escaped[i] = strings.ReplaceAll(url.PathEscape(name), ",", "%2C")
	}
	return strings.Join(escaped, ",")
}

// private reports whether it matters who asks.
func (c *Comet) private() bool { return c.Authorize != nil || c.Token != nil }

// whoAsks is who asks the site now. It names nobody but whom Caddy has let in.
func whoAsks(r *http.Request) *hub.Who {
	if who := whoSignedIn(r); who != nil {
		return who
	}
	return &hub.Who{Granted: time.Now()}
}
