package caddymodule

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-comet/caddy-comet/internal/access"
)

// JWTKey is a secret by which short-lived JSON Web Tokens are signed (HS256), and what
// they say of who signs them.
type JWTKey struct {
	// 32 bytes or more, as from `openssl rand -hex 32`; behind `base64:` in base64. May
	// be a placeholder such as `{env.GRIP_KEY}` or `{file./etc/caddy/grip.key}`.
	Key string `json:"key"`

	// The claim `iss` of the tokens.
	Issuer string `json:"issuer"`
}

// check reports what is wrong as far as the configuration itself says it.
func (k JWTKey) check() error {
	if strings.Contains(k.Key, "{") {
		return access.CheckIssuer(k.Issuer)
	}
	_, err := access.ReadSharedKey(k.Key, k.Issuer)
	return err
}

// read returns the key, also that of a placeholder.
func (k JWTKey) read() (access.SharedKey, error) {
	secret, err := secretOf(k.Key, "{file.<path>}")
	if err != nil {
		return access.SharedKey{}, err
	}
	return access.ReadSharedKey(secret, k.Issuer)
}

// jwtKeyOption reads `<secret> <issuer>`, where an issuer that is usual may be left out.
func jwtKeyOption(usage, usual string, many bool, set func(JWTKey)) option {
	least := 2
	if usual != "" {
		least = 1
	}
	return option{many: many, read: func(d *caddyfile.Dispenser) error {
		name := d.Val()
		a, err := args(d, usage, least, 2)
		if err != nil {
			return err
		}
		k := JWTKey{Key: a[0], Issuer: usual}
		if len(a) > 1 {
			k.Issuer = a[1]
		}
		if err := k.check(); err != nil {
			return d.WrapErr(fmt.Errorf("%s: %w", name, err))
		}
		set(k)
		return nil
	}}
}
