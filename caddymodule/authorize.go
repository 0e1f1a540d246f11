package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/caddy-comet/caddy-comet/internal/access"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// Authorize has the site decide who may listen. Before a visitor is held for the
// first time the site is asked by a request of its own, through the site's own
// routes: with the visitor's session cookies, `Comet-Channels` (the channels, each
// percent-encoded, with commas between them), `Comet-Action` (`listen`, or `publish`
// for the publish requests of a dialect), and `X-Original-URI`.
//
// An answer of 2xx allows; it may narrow (`Comet-Allow: a,b-*`), say for how long
// (`Comet-Ttl: 300`, in seconds) and to whom (`Comet-User: 42`). The visitor gets an
// answer of 401 or 403. It is remembered, so that no poll asks again.
type Authorize struct {
	// The address to ask, a path of the same site and perhaps a query. It must not
	// lead to a `comet`.
	Path string `json:"path"`

	// For how long an answer is good that does not say so itself. Default: 5m.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// The cookies that are the visitor's session: names, patterns with `*`, or
	// `php`, `wordpress`, `laravel`, `drupal`, `phpbb`, `nextcloud`. An answer is
	// remembered by them, and they are all that the site is shown. Default: all but
	// those of counters and consent banners.
	Cookies []string `json:"cookies,omitempty"`

	// How many questions may be on their way at once. Default: 4.
	Concurrency int `json:"php_concurrency,omitempty"`

	// How long an answer may take, the wait for others' included. Default: 10s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	cookies access.Cookies
	places  *semaphore.Weighted
}

// The defaults.
const (
	authorizeTTL         = 5 * time.Minute
	authorizeConcurrency = 4
	authorizeTimeout     = 10 * time.Second
)

const (
	// maxAnswer is how long the site's answer may be, maxRefusal what is kept of one
	// that refuses.
	maxAnswer, maxRefusal = 1 << 20, 4 << 10
	// maxSession is how long a visitor's session cookies may be, maxNames how long
	// the channels that are asked about: web servers take some 8 KB of a header.
	maxSession, maxNames = 8000, 6000
)

// check reports what is wrong with it by itself.
func (a *Authorize) check() (err error) {
	if a == nil {
		return nil
	}
	if u, err := url.ParseRequestURI(a.Path); err != nil || !strings.HasPrefix(a.Path, "/") || strings.HasPrefix(a.Path, "//") || u.Fragment != "" {
		return fmt.Errorf("authorize %s: write a path of the same site, as in authorize /comet-auth.php", a.Path)
	}
	if a.TTL < 0 || time.Duration(a.TTL) > hub.KickKeep {
		return fmt.Errorf("authorize: ttl is %v at most", hub.KickKeep)
	}
	_, err = access.ParseCookies(a.Cookies)
	return err
}

func (a *Authorize) provision() (err error) {
	if err := a.check(); err != nil {
		return err
	}
	a.TTL = or(a.TTL, caddy.Duration(authorizeTTL))
	a.Concurrency = or(a.Concurrency, authorizeConcurrency)
	a.Timeout = or(a.Timeout, caddy.Duration(authorizeTimeout))
	a.cookies, err = access.ParseCookies(a.Cookies)
	a.places = semaphore.NewWeighted(int64(a.Concurrency))
	return err
}

// visitor is who asks to listen: what the site needs to know of a request, and may
// outlive it.
type visitor struct {
	*http.Request
	session string
	digests []string
	action  string
}

// visitor returns who made the request.
func (a *Authorize) visitor(r *http.Request, action string) (*visitor, error) {
	cookies := strings.Join(r.Header.Values("Cookie"), "; ")
	session, digests := a.cookies.Choose(cookies)
	if len(session) > maxSession {
		return nil, fmt.Errorf("the session cookies have %d bytes; %d are the most. Name those that count: authorize %s { cookies … }", len(session), maxSession, a.Path)
	}
	if len(digests) > access.MaxDigests {
		return nil, fmt.Errorf("there are more session cookies than a kick could name; name those that count: authorize %s { cookies … }", a.Path)
	}
	ctx := context.Background()
	for _, key := range []any{caddyhttp.ServerCtxKey, http.ServerContextKey, http.LocalAddrContextKey} {
		ctx = context.WithValue(ctx, key, r.Context().Value(key))
	}
	if isSubrequest(r) {
		ctx = context.WithValue(ctx, subrequestKey{}, true)
	}
	uri := r.RequestURI
	if first, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		uri = first.RequestURI
	}
	own := &http.Request{
		Method: r.Method, Host: r.Host, Header: r.Header, RequestURI: uri, URL: r.URL,
		Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor, RemoteAddr: r.RemoteAddr, TLS: r.TLS,
	}
	return &visitor{own.WithContext(ctx), session, digests, action}, nil
}

// question is whether the visitor may follow the channels. The error says that it
// cannot be asked.
func (a *Authorize) question(v *visitor, h *sharedHub, channels []string) (access.Question, error) {
	list := escapeNames(channels)
	if len(list) > maxNames {
		return access.Question{}, fmt.Errorf("the channels' names have %d bytes together, and the site can be asked about %d; name fewer", len(list), maxNames)
	}
	who := v.session + "\x00" + v.Header.Get("Authorization")
	if who == "\x00" {
		// The site may decide by the address of who has no session.
		who, _, _ = net.SplitHostPort(v.RemoteAddr)
		who += "\x00" + v.Header.Get("X-Forwarded-For")
	}
	return access.Question{
		Fingerprint: access.FingerprintOf(a.Path, strings.ToLower(v.Host), v.action, who, list),
		Ask: func(began time.Time) (access.Verdict, error) {
			verdict, err := a.ask(v, list, began)
			result := askAnswered
			switch {
			case err != nil:
				result = askFailed
				fail(ofHolds, h.name, "the site does not say who may listen: whom it allowed before stays so, others are sent away for a while",
					zap.String("authorize", a.Path), zap.Error(err))
			case verdict.Refusal != nil:
				result = askRefused
			}
			askedSite(h.name, askAuthorize, result, time.Since(began))
			return verdict, err
		},
		Void: func(g access.Grant) bool { return h.Kicked(g.Who, channels) },
	}, nil
}

// errBusy says that too many ask.
var errBusy = errors.New("others are being asked about, and none of the places became free in time; PHP is slow, or authorize's php_concurrency too small")

func (a *Authorize) ask(v *visitor, list string, began time.Time) (access.Verdict, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(a.Timeout))
	defer cancel()
	if a.places.Acquire(ctx, 1) != nil {
		return access.Verdict{}, errBusy
	}
	defer a.places.Release(1)
	answer, err := subrequest{
		Target: a.Path,
		Header: http.Header{
			"Cookie": {v.session}, "Comet-Channels": {list}, "Comet-Action": {v.action}, "X-Original-Uri": {v.RequestURI},
		},
		Limit: maxAnswer, Time: time.Duration(a.Timeout) - time.Since(began),
	}.ask(v.Request)
	if err != nil {
		return access.Verdict{}, err
	}
	return a.verdict(v, answer, began)
}

// verdict is what the site's answer means.
func (a *Authorize) verdict(v *visitor, answer *subanswer, began time.Time) (access.Verdict, error) {
	no := func(status int, text string) (access.Verdict, error) {
		return access.Verdict{Refusal: &access.Refusal{Status: status, ContentType: "text/plain; charset=utf-8", Body: []byte(text + "\n")}}, nil
	}
	switch status := answer.Status; {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		if len(answer.Body) > maxRefusal {
			return no(status, "the site does not let you listen here")
		}
		return access.Verdict{Refusal: &access.Refusal{
			Status: status, ContentType: answer.Header.Get("Content-Type"), Authenticate: answer.Header.Get("WWW-Authenticate"), Body: answer.Body,
		}}, nil
	case 300 <= status && status < 400:
		return no(http.StatusForbidden, "the site sends you elsewhere, most likely to sign in, when it is asked whether you may listen here")
	case status < 200 || status >= 300:
		return access.Verdict{}, fmt.Errorf("it answered %d, where 2xx allows, and 401 and 403 refuse; does the path lead to your PHP?", status)
	}
	verdict := access.Verdict{For: time.Duration(a.TTL), Grant: access.Grant{Who: &hub.Who{
		User: answer.Header.Get("Comet-User"), Sessions: v.digests, Granted: began,
	}}}
	if err := access.CheckVisitor(verdict.Who.User); err != nil {
		return access.Verdict{}, fmt.Errorf("its Comet-User: %w", err)
	}
	if ttl := answer.Header.Get("Comet-Ttl"); ttl != "" {
		seconds, err := strconv.ParseUint(ttl, 10, 32)
		if err != nil || seconds == 0 {
			return access.Verdict{}, fmt.Errorf("its Comet-Ttl %.40q is no number of seconds from 1 on", ttl)
		}
		verdict.For = min(time.Duration(seconds)*time.Second, hub.KickKeep)
	}
	if allow, ok := answer.Header["Comet-Allow"]; ok {
		var err error
		if verdict.Channels, err = readAllowed(allow); err != nil {
			return access.Verdict{}, err
		}
	}
	return verdict, nil
}

// readAllowed reads Comet-Allow: names and patterns, percent-encoded, with commas
// between them. No name is none.
func readAllowed(values []string) (access.Patterns, error) {
	var names []string
	for part := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, err := url.PathUnescape(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("a name in its Comet-Allow is not percent-encoded as rawurlencode() does it")
		}
		if name != "" {
			names = append(names, name)
		}
	}
	p, err := access.ParsePatterns(names)
	if err != nil {
		return nil, fmt.Errorf("its Comet-Allow: %w", err)
	}
	return p, nil
}

// authorizeOption reads
//
//	authorize <path> {
//		ttl             <duration>
//		cookies         <name>…
//		php_concurrency <number>
//		timeout         <duration>
//	}
func authorizeOption(v **Authorize) option {
	return option{read: func(d *caddyfile.Dispenser) error {
		arg, err := args(d, "one path of the site, as in authorize /comet-auth.php", 1, 1)
		if err != nil {
			return err
		}
		a := &Authorize{Path: arg[0]}
		*v = a
		if err := (options{
			"ttl": duration(&a.TTL),
			"cookies": {read: func(d *caddyfile.Dispenser) (err error) {
				a.Cookies, err = args(d, "names of cookies, or "+strings.Join(access.Presets(), ", "), 1, 100)
				return err
			}},
			"php_concurrency": number(&a.Concurrency),
			"timeout":         duration(&a.Timeout),
		}).parse(d, "authorize"); err != nil {
			return err
		}
		if err := a.check(); err != nil {
			return d.WrapErr(err)
		}
		return nil
	}}
}
