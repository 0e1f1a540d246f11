package access

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func set(t testing.TB, keys ...jose.JSONWebKey) []byte {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// issuer is somebody who keeps a set of keys.
type issuer struct {
	text atomic.Pointer[[]byte] // nil: he cannot be reached
	asks atomic.Int32
	told atomic.Int32
}

func (i *issuer) has(t testing.TB, keys ...jose.JSONWebKey) {
	text := set(t, keys...)
	i.text.Store(&text)
}

func (i *issuer) jwks() *JWKS {
	return &JWKS{
		Get: func(context.Context) ([]byte, error) {
			i.asks.Add(1)
			if text := i.text.Load(); text != nil {
				return *text, nil
			}
			return nil, errors.New("nobody answers")
		},
		Every:  5 * time.Minute,
		Failed: func(error) { i.told.Add(1) },
	}
}

func TestKeysOfASetAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := jose.JSONWebKey{KeyID: "a", Key: &rsaKey().PublicKey, Use: "sig", Algorithm: "RS256"}
		b := jose.JSONWebKey{KeyID: "b", Key: &ecKey().PublicKey}
		byA := sign(t, jose.RS256, jose.JSONWebKey{KeyID: "a", Key: rsaKey()}, said("exp:1760003600"))
		byB := sign(t, jose.ES256, jose.JSONWebKey{KeyID: "b", Key: ecKey()}, said("exp:1760003600"))
		i := new(issuer)
		all := tokens(t, i.jwks(), secret)
		at := now
		reads := func(token string, want error) (g Grant) {
			t.Helper()
			g, err := all.Read(token, "shop", at)
			if !errors.Is(err, want) || (want == nil) != (err == nil) {
				t.Fatalf("%v, should be %v", err, want)
			}
			synctest.Wait()
			return g
		}
		asked := func(n int32) {
			t.Helper()
			if got := i.asks.Load(); got != n {
				t.Fatalf("asked %d times, should be %d", got, n)
			}
		}

		// He cannot be reached: nobody can say whether the token is good. Those of our own key are.
		reads(byA, ErrKeys)
		reads(byA, ErrKeys)
		reads(sign(t, jose.HS256, secret, said()), nil)
		asked(1)
		if i.told.Load() != 1 {
			t.Error("nobody was told")
		}
		i.has(t, a)
		reads(byA, ErrKeys) // so soon he is not asked again
		at = at.Add(JWKSPause)
		reads(byA, nil)
		asked(2)

		// A key that nobody knows: he is asked, but not for each of them.
		reads(byB, ErrToken)
		asked(2)
		at = at.Add(JWKSPause)
		i.has(t, a, b)
		reads(byB, nil)
		reads(byA, nil)
		asked(3)
		at = at.Add(time.Minute)
		who := reads(byA, nil).Who
		if reads(byA, nil).Who != who {
			t.Error("nothing is kept")
		}
		asked(3)

		// The same set again, in the background: what is known stays.
		at = at.Add(5 * time.Minute)
		reads(byA, nil)
		asked(4)
		if reads(byA, nil).Who != who {
			t.Error("the same keys are not the same")
		}

		// A key is gone: the next one who comes starts the asking, and then it is over.
		i.has(t, b)
		at = at.Add(5 * time.Minute)
		reads(byA, nil)
		reads(byA, ErrToken)
		reads(byB, nil)
		asked(5)
	})
}

// TestAnOldSetIsNotGoodAnyMore for who comes after a long time: he waits for the new one.
func TestAnOldSetIsNotGoodAnyMore(t *testing.T) {
	i := new(issuer)
	i.has(t, jose.JSONWebKey{KeyID: "a", Key: &rsaKey().PublicKey})
	all := tokens(t, i.jwks())
	token := func(iat, exp string) string {
		return sign(t, jose.RS256, rsaKey(), said("iat:"+iat, "exp:"+exp)) // which names no key
	}
	if _, err := all.Read(token("1760000000", "1760000600"), "shop", now); err != nil {
		t.Fatal(err)
	}
	i.has(t, jose.JSONWebKey{KeyID: "a", Key: &ecKey().PublicKey})
	if _, err := all.Read(token("1760000700", "1760001300"), "shop", now.Add(15*time.Minute)); !errors.Is(err, ErrToken) {
		t.Errorf("its key is gone for ten minutes: %v", err)
	}
	// When he is away, the keys of last time go on.
	i.text.Store(nil)
	good := sign(t, jose.ES256, ecKey(), said("iat:1760001700", "exp:1760002300"))
	if _, err := all.Read(good, "shop", now.Add(30*time.Minute)); err != nil {
		t.Error(err)
	}
}

func TestASetHasKeysThatCanBeUsed(t *testing.T) {
	good := jose.JSONWebKey{KeyID: "a", Key: &rsaKey().PublicKey}
	keys, err := ReadJWKS(set(t,
		jose.JSONWebKey{Key: secret}, // a secret in a set is none
		jose.JSONWebKey{Key: &rsaKey().PublicKey, Use: "enc"},
		jose.JSONWebKey{Key: &rsaKey().PublicKey, Algorithm: "RS512"},
		jose.JSONWebKey{Key: rsaKey(), KeyID: "private"},
		good,
	))
	if err != nil || len(keys) != 2 || keys[0].id != "private" || keys[1].id != "a" {
		t.Errorf("%v %v", keys, err)
	}
	for text, want := range map[string]string{
		"":                            "no JSON Web Key Set",
		"<html>":                      "no JSON Web Key Set",
		"[]":                          "no JSON Web Key Set",
		"{}":                          "no key for RS256 or ES256",
		`{"keys":[1,{"kty":"moon"}]}`: "no key for RS256 or ES256",
		string(set(t, jose.JSONWebKey{Key: secret})): "no key for RS256 or ES256",
	} {
		if _, err := ReadJWKS([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	var many []jose.JSONWebKey
	for range maxTokenKeys + 1 {
		many = append(many, good)
	}
	if _, err := ReadJWKS(set(t, many...)); err == nil {
		t.Error("as many keys as one likes")
	}
}

func FuzzReadJWKS(f *testing.F) {
	f.Add(set(f, jose.JSONWebKey{KeyID: "a", Key: &rsaKey().PublicKey}))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if keys, err := ReadJWKS(text); err == nil && len(keys) == 0 {
			t.Error("no key and no error")
		}
	})
}
