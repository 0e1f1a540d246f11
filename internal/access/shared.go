package access

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// SharedKey is a secret by which a site and this server sign short-lived tokens for each
// other (HS256), as GRIP has it, and the name of who signs, the claim "iss".
type SharedKey struct {
	issuer string
	secret []byte
}

const (
	// base64Prefix is how GRIP's libraries begin a secret that is written in base64.
	base64Prefix = "base64:"
	// sharedLife is how long such a token is good for: GRIP's proxies and publishers
	// have it end within the hour.
	sharedLife = time.Hour
)

// ReadSharedKey reads a secret: as it stands, or in base64 behind "base64:". No error
// repeats it.
func ReadSharedKey(secret, issuer string) (SharedKey, error) {
	if err := CheckIssuer(issuer); err != nil {
		return SharedKey{}, err
	}
	value, err := readSecret(strings.TrimSpace(secret))
	if err == nil && len(value) < minSecret {
		err = fmt.Errorf("a secret has %d bytes or more, and this one %d; make one by: openssl rand -hex 32", minSecret, len(value))
	}
	if err != nil {
		return SharedKey{}, fmt.Errorf("key: %w", err)
	}
	return SharedKey{issuer, value}, nil
}

func readSecret(text string) ([]byte, error) {
	encoded, is64 := strings.CutPrefix(text, base64Prefix)
	switch {
	case is64:
		value, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
		if err != nil {
			return nil, errors.New("what stands behind base64: is no base64; make one by: openssl rand -base64 32")
		}
		return value, nil
	case strings.HasPrefix(text, beginPEM):
		return nil, errors.New("it is a key in PEM, and a secret for HS256 is needed; make one by: openssl rand -hex 32")
	case strings.HasPrefix(text, "file:"):
		return nil, errors.New("for a secret that is in a file write {file./etc/caddy/grip.key}, with its absolute path")
	}
	return []byte(text), nil
}

// CheckIssuer reports why nobody who signs can have that name.
func CheckIssuer(issuer string) error {
	if issuer == "" || len(issuer) > maxVisitor || !utf8.ValidString(issuer) || strings.ContainsFunc(issuer, unicode.IsControl) {
		return fmt.Errorf("the issuer is a name of 1 to %d bytes of UTF-8 without control characters: what the tokens have as their iss", maxVisitor)
	}
	return nil
}

// AddShared adds a key by which publishers sign tokens.
func (r *Keyring) AddShared(k SharedKey) { r.shared = append(r.shared, k) }

// HasShared reports whether tokens may open.
func (r *Keyring) HasShared() bool { return len(r.shared) > 0 }

// FindSigned returns the key that has signed a token, which opens a hub's door within
// the hour. The error is an [ErrToken].
func (r *Keyring) FindSigned(token, hub string, now time.Time) (Key, error) {
	if len(token) > maxToken {
		return Key{}, fmt.Errorf("%w: it has %d bytes, and %d are the most", ErrToken, len(token), maxToken)
	}
	only := []jose.SignatureAlgorithm{jose.HS256}
	signed, err := jose.ParseSignedCompact(token, only)
	if err != nil {
		return Key{}, unreadable(err, only)
	}
	err = errUnsigned
	for _, k := range r.shared {
		payload, failed := signed.Verify(k.secret)
		if failed != nil {
			continue
		}
		c, failed := parseClaims(payload)
		switch {
		case failed != nil:
			err = failed
		case c.issuedBy(k.issuer):
			if err = c.opens(hub, now); err == nil {
				return KeyOf(k.issuer + "\n" + string(k.secret)), nil
			}
			return Key{}, fmt.Errorf("%w: %w", ErrToken, err)
		default:
			err = fmt.Errorf(`its iss is not that of the key which has signed it; write "iss": %q`, k.issuer)
		}
	}
	return Key{}, fmt.Errorf("%w: %w", ErrToken, err)
}

func (c *claims) issuedBy(issuer string) bool {
	var said *string
	return json.Unmarshal(c.Issuer, &said) == nil && said != nil && *said == issuer
}

// opens reports why a publisher's token opens nothing.
func (c *claims) opens(hub string, now time.Time) error {
	if c.Audience != nil {
		if err := c.meant(hub); err != nil {
			return err
		}
	}
	expires, err := date("exp", c.Expires)
	if err != nil {
		return err
	}
	begins, err := date("nbf", c.Begins)
	switch {
	case err != nil:
		return err
	case expires.IsZero():
		return errNoEnd
	case !now.Before(expires):
		return ended(expires, now)
	case expires.Sub(now) > sharedLife+skew:
		return fmt.Errorf("it is good for %v more, and who publishes makes one for an hour at most", expires.Sub(now).Round(time.Second))
	case begins.Sub(now) > skew:
		return fmt.Errorf("it begins in %v", begins.Sub(now).Round(time.Second))
	}
	return nil
}
