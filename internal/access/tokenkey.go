package access

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// TokenKey is one by which tokens are signed. It is good for one algorithm only, so that
// nobody can sign with a public key as if it were a secret.
type TokenKey struct {
	// id is what tokens call it, "" where they need not.
	id        string
	algorithm jose.SignatureAlgorithm
	value     any
}

const (
	// minSecret is how many bytes a secret must have: as many as HS256 has (RFC 7518
	// section 3.2).
	minSecret = 32
	// minRSA is how many bits (RFC 7518 section 3.3).
	minRSA = 2048
	// maxTokenKeys bounds what a token without the key's name costs.
	maxTokenKeys = 64
)

// ReadTokenKey reads a secret (HS256), or a public key in PEM (RS256, ES256). No error
// repeats it.
func ReadTokenKey(text string) (TokenKey, error) {
	text = strings.TrimSpace(text)
	block, rest := pem.Decode([]byte(text))
	switch {
	case block != nil && len(bytes.TrimSpace(rest)) > 0:
		return TokenKey{}, errors.New("it is more than one key in PEM; give each a file of its own")
	case block != nil && block.Type == "PUBLIC KEY":
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return TokenKey{}, fmt.Errorf("the public key cannot be read: %w", err)
		}
		return publicKey("", public)
	case block != nil:
		return TokenKey{}, fmt.Errorf("it is a %s, and a public key is needed, as from: openssl pkey -in private.pem -pubout", block.Type)
	case strings.HasPrefix(text, beginPEM):
		return TokenKey{}, errors.New("it begins like a key in PEM, but is none; is it whole?")
	case len(text) < minSecret:
		return TokenKey{}, fmt.Errorf("a secret has %d bytes or more, and this one %d; make one by: openssl rand -hex 32", minSecret, len(text))
	}
	return TokenKey{algorithm: jose.HS256, value: []byte(text)}, nil
}

// beginPEM is how a key in PEM begins.
const beginPEM = "-----BEGIN "

// ReadTokenFile reads the keys of a file: one public key, or secrets, one on each line,
// as in other files of keys.
func ReadTokenFile(path string) (keys []TokenKey, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	text, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	read := func(text string) error {
		k, err := ReadTokenKey(text)
		keys = append(keys, k)
		return err
	}
	if bytes.Contains(text, []byte(beginPEM)) {
		err = read(string(text))
	} else if err = shut(path, info); err == nil {
		err = eachKey(text, read)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case len(keys) == 0:
		return nil, fmt.Errorf("%s: it has no key; write one on each line, for example from: openssl rand -hex 32", path)
	}
	return keys, nil
}

func publicKey(id string, public any) (TokenKey, error) {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if p.N.BitLen() < minRSA {
			return TokenKey{}, fmt.Errorf("an RSA key has %d bits or more, and this one %d", minRSA, p.N.BitLen())
		}
		return TokenKey{id, jose.RS256, p}, nil
	case *ecdsa.PublicKey:
		if p.Curve == elliptic.P256() {
			return TokenKey{id, jose.ES256, p}, nil
		}
	}
	return TokenKey{}, errors.New("it is for neither RS256 nor ES256: an RSA key, or one of the curve P-256, is needed")
}

// ReadJWKS reads the keys of a JSON Web Key Set (RFC 7517) that tokens may be signed
// with. What else it has is left out.
func ReadJWKS(text []byte) ([]TokenKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("it is no JSON Web Key Set: %w", err)
	}
	var keys []TokenKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		// A secret that others can read is none, so keys of type oct are left out, too.
		if json.Unmarshal(raw, &k) != nil || (k.Use != "" && k.Use != "sig") {
			continue
		}
		key, err := publicKey(k.KeyID, k.Public().Key)
		if err != nil || (k.Algorithm != "" && k.Algorithm != string(key.algorithm)) {
			continue
		}
		if keys = append(keys, key); len(keys) > maxTokenKeys {
			return nil, fmt.Errorf("it has more than %d keys", maxTokenKeys)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New(`it has no key for RS256 or ES256, as in {"keys": [{"kty": "RSA", …}]}`)
	}
	return keys, nil
}
