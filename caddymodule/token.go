package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/access"
)

// Token has visitors show a token that the site signs: a JSON Web Token (HS256, RS256
// or ES256) that says who they are (`sub`), which channels they may follow (`channels`,
// with `*` for any characters), from when until when (`iat`, `exp`, a day at most) and
// for which hub (`aud`).
//
// It comes as `Authorization: Bearer`, as a cookie or in the address; the first of them
// that is there counts.
type Token struct {
	// Secrets for HS256, of which a token is signed with one: 32 bytes or more each,
	// as from `openssl rand -hex 32`. May be placeholders such as
	// `{env.COMET_TOKEN_KEY}`.
	Keys []string `json:"keys,omitempty"`

	// Files of keys: secrets, one on each line, or a public key in PEM for RS256 (RSA)
	// or ES256 (P-256). Absolute paths. They are read with the configuration.
	KeyFiles []string `json:"key_files,omitempty"`

	// Where there is a JSON Web Key Set: an absolute path, or an address of HTTPS. It
	// is followed: a path within ten seconds, an address within five minutes, or ten
	// seconds for a token that fits none of its keys.
	JWKS string `json:"jwks,omitempty"`

	// What a token must have as its `aud`. Default: the name of the hub, `default`
	// where none is declared.
	Audience string `json:"audience,omitempty"`

	// The name of the cookie. Default: `comet_token`.
	Cookie string `json:"cookie,omitempty"`

	// The name of the parameter in the address. Access logs have REDACTED in place of
	// its value. Default: `token`.
	Query string `json:"query,omitempty"`

	tokens *access.Tokens
}

const (
	defaultTokenCookie = "comet_token"
	defaultTokenQuery  = "token"
)

// tokenOption reads `token <secret>`, or a block.
func tokenOption(v **Token) option {
	return option{read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, "one secret, or a block", 0, 1)
		if err != nil {
			return err
		}
		t := &Token{Keys: a}
		*v = t
		line := *d
		err = options{
			"key": {many: true, read: func(d *caddyfile.Dispenser) error {
				keys, err := args(d, "one or more secrets", 1, 100)
				t.Keys = append(t.Keys, keys...)
				return err
			}},
			"key_file": {many: true, read: func(d *caddyfile.Dispenser) error {
				files, err := args(d, "one or more paths", 1, 100)
				t.KeyFiles = append(t.KeyFiles, files...)
				return err
			}},
			"jwks":     text(&t.JWKS),
			"audience": text(&t.Audience),
			"cookie":   text(&t.Cookie),
			"query":    text(&t.Query),
		}.parse(d, "token")
		if err != nil {
			return err
		}
		if err := t.check(); err != nil {
			return line.WrapErr(err)
		}
		return nil
	}}
}

// tokenName is what cookies and parameters may be called.
var tokenName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// check reports what is wrong as far as the configuration itself says it: placeholders
// and files are for later.
func (t *Token) check() error {
	if len(t.Keys) == 0 && len(t.KeyFiles) == 0 && t.JWKS == "" {
		return errors.New("token needs a key that tokens are signed with, as in: token {env.COMET_TOKEN_KEY}; make one by: openssl rand -hex 32")
	}
	for _, key := range t.Keys {
		if strings.Contains(key, "{") {
			continue
		}
		if _, err := access.ReadTokenKey(key); err != nil {
			return fmt.Errorf("token: key: %w", err)
		}
	}
	for option, name := range map[string]string{"cookie": t.Cookie, "query": t.Query} {
		if name != "" && !tokenName.MatchString(name) {
			return fmt.Errorf("token: %s %q is no name; use letters, digits and _ . -", option, name)
		}
	}
	return checkJWKS(t.JWKS)
}

// provision reads the keys.
func (t *Token) provision(logger *zap.Logger) error {
	if err := t.check(); err != nil {
		return err
	}
	var keys []access.TokenKey
	for _, key := range t.Keys {
		key, err := secretOf(key, inKeyFile)
		if err != nil {
			return fmt.Errorf("token: %w", err)
		}
		k, err := access.ReadTokenKey(key)
		if err != nil {
			return fmt.Errorf("token: key: %w", err)
		}
		keys = append(keys, k)
	}
	for _, config := range t.KeyFiles {
		path, err := keyFileOf(config)
		if err != nil {
			return fmt.Errorf("token: %w", err)
		}
		more, err := access.ReadTokenFile(path)
		if err != nil {
			return fmt.Errorf("token: key_file: %w", err)
		}
		keys = append(keys, more...)
	}
	set, err := newJWKS(t.JWKS, logger)
	if err != nil {
		return err
	}
	t.tokens, err = access.NewTokens(keys, set)
	return err
}

func (t *Token) query() string { return or(t.Query, defaultTokenQuery) }

// read returns what a request's token grants in a hub, and whether the request has one.
// The error is a sentence for the visitor, and [tokenStatus] says its status.
func (t *Token) read(r *http.Request, hub string) (access.Grant, bool, error) {
	token := t.of(r)
	if token == "" {
		return access.Grant{}, false, nil
	}
	g, err := t.tokens.Read(token, or(t.Audience, hub), time.Now())
	return g, true, err
}

// of returns a request's token, "" if it has none.
func (t *Token) of(r *http.Request) string {
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		if token = strings.TrimSpace(token); token != "" {
			return token
		}
	}
	if cookie, err := r.Cookie(or(t.Cookie, defaultTokenCookie)); err == nil && cookie.Value != "" {
		return cookie.Value
	}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if value, ok := strings.CutPrefix(pair, t.query()+"="); ok && value != "" {
			// What cannot be decoded is no token either way.
			if token, err := url.QueryUnescape(value); err == nil {
				return token
			}
			return value
		}
	}
	return ""
}

// inAddress reports whether what counts is a token in the address, which a page knows;
// a cookie it need not.
func (t *Token) inAddress(r *http.Request) bool {
	if t == nil || r.Header.Get("Authorization") != "" {
		return false
	}
	cookie, err := r.Cookie(or(t.Cookie, defaultTokenCookie))
	return (err != nil || cookie.Value == "") && t.of(r) != ""
}

// errNoToken is for who has none, where one is needed.
var errNoToken = errors.New("a token is needed: the site gives one, and it is sent as Authorization: Bearer <token>, as a cookie, or in the address")

// tokenStatus is the status for an error of [Token.read].
func tokenStatus(err error) int {
	if errors.Is(err, access.ErrKeys) {
		return http.StatusServiceUnavailable
	}
	return http.StatusUnauthorized
}
