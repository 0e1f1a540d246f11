package access

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Tokens reads tokens: JSON Web Tokens (RFC 7519) that the site signs, and that say who
// may follow which channels.
//
// What was read is kept: a public key takes long to verify with, and all holds by one
// token share one Who.
type Tokens struct {
	keys       []TokenKey
	jwks       *JWKS
	algorithms []jose.SignatureAlgorithm

	mu    sync.Mutex
	known *simplelru.LRU[Fingerprint, Grant]
	// version is that of the keys by which the known ones are good.
	version int
}

// maxKnown is how many are kept, those that were shown last.
const maxKnown = 10_000

// maxToken is how many bytes a token may have: as many as a cookie or an address, or
// more.
const maxToken = 8192

// ErrToken says that a token gives no right. The whole error is a sentence for whoever
// made the token, and gives no secret away.
var ErrToken = errors.New("the token is refused")

var errUnsigned = errors.New("it is signed with none of the keys that this server knows")

// NewTokens returns what reads tokens that are signed by one of the keys. The set of
// keys is nil where there is none.
func NewTokens(keys []TokenKey, set *JWKS) (*Tokens, error) {
	if len(keys) == 0 && set == nil {
		return nil, errors.New("there is no key that tokens could be signed with; make one by: openssl rand -hex 32")
	}
	if len(keys) > maxTokenKeys {
		return nil, fmt.Errorf("%d keys are too many; %d are the most", len(keys), maxTokenKeys)
	}
	t := &Tokens{keys: keys, jwks: set}
	t.known, _ = simplelru.NewLRU[Fingerprint, Grant](maxKnown, nil) // fails for no size only
	for _, k := range keys {
		t.algorithms = append(t.algorithms, k.algorithm)
	}
	if set != nil {
		t.algorithms = append(t.algorithms, jose.RS256, jose.ES256)
	}
	slices.Sort(t.algorithms)
	t.algorithms = slices.Compact(t.algorithms)
	return t, nil
}

// Read returns what a token grants at the audience, which is most often a hub's name.
// The error is an [ErrToken] or [ErrKeys].
func (t *Tokens) Read(token, audience string, now time.Time) (Grant, error) {
	if len(token) > maxToken {
		return Grant{}, fmt.Errorf("%w: it has %d bytes, and %d are the most; name channels by patterns, as in user-42-*", ErrToken, len(token), maxToken)
	}
	keys, version, err := t.all(now, false)
	if err != nil && len(keys) == 0 {
		return Grant{}, err
	}
	key := FingerprintOf(audience, token)
	if g, ok := t.recall(key, version, now); ok {
		return g, nil
	}
	signed, err := jose.ParseSignedCompact(token, t.algorithms)
	if err != nil {
		return Grant{}, unreadable(err, t.algorithms)
	}
	payload := verify(signed, keys)
	if payload == nil && t.jwks != nil {
		if keys, version, err = t.all(now, true); err != nil {
			return Grant{}, err
		}
		payload = verify(signed, keys)
	}
	if payload == nil {
		return Grant{}, fmt.Errorf("%w: %w", ErrToken, errUnsigned)
	}
	g, err := readClaims(payload, audience, now)
	if err != nil {
		return Grant{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return t.keep(key, g, version, now), nil
}

// all returns the keys, and which version they are.
func (t *Tokens) all(now time.Time, missing bool) ([]TokenKey, int, error) {
	if t.jwks == nil {
		return t.keys, 0, nil
	}
	more, version, err := t.jwks.all(now, missing)
	return append(slices.Clip(t.keys), more...), version, err
}

// verify returns what is signed, nil where none of the keys signed it.
func verify(signed *jose.JSONWebSignature, keys []TokenKey) []byte {
	head := signed.Signatures[0].Header
	for _, k := range keys {
		if string(k.algorithm) != head.Algorithm || (k.id != "" && head.KeyID != "" && k.id != head.KeyID) {
			continue
		}
		if payload, err := signed.Verify(k.value); err == nil {
			return payload
		}
	}
	return nil
}

// unreadable says why a token that cannot be read is none, for who takes these
// algorithms.
func unreadable(err error, algorithms []jose.SignatureAlgorithm) error {
	var other *jose.ErrUnexpectedSignatureAlgorithm
	if errors.As(err, &other) {
		return fmt.Errorf("%w: its algorithm is %.20q, and this server takes %q", ErrToken, other.Got, algorithms)
	}
	return fmt.Errorf("%w: it is no signed JSON Web Token, which is three parts of base64url with dots between", ErrToken)
}

func (t *Tokens) recall(k Fingerprint, version int, now time.Time) (Grant, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.recallLocked(k, version, now)
}

func (t *Tokens) recallLocked(k Fingerprint, version int, now time.Time) (Grant, bool) {
	if t.version != version {
		t.known.Purge()
		t.version = version
	}
	g, ok := t.known.Get(k)
	return g, ok && now.Before(g.Who.Expires)
}

// keep keeps what a token granted, and returns what is kept: another request may have
// read it at the same time.
func (t *Tokens) keep(k Fingerprint, g Grant, version int, now time.Time) Grant {
	t.mu.Lock()
	defer t.mu.Unlock()
	if other, ok := t.recallLocked(k, version, now); ok {
		return other
	}
	t.known.Add(k, g)
	return g
}
