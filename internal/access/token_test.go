package access

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var (
	secret = []byte("0123456789abcdef0123456789abcdef")
	other  = []byte("fedcba9876543210fedcba9876543210")
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return k
	})
	ecKey = sync.OnceValue(func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	})
	now = time.UnixMilli(1_760_000_000_250)
)

// sign returns a token. key is a secret, a private key, or a JSONWebKey that names it.
func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, payload string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, new(jose.SignerOptions).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func public(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func tokens(t testing.TB, set *JWKS, texts ...[]byte) *Tokens {
	t.Helper()
	var keys []TokenKey
	for _, text := range texts {
		k, err := ReadTokenKey(string(text))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	all, err := NewTokens(keys, set)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// said is what a token says, but for those claims that are replaced: "name:value". An
// empty value takes the claim out.
func said(replaced ...string) string {
	names := []string{"sub", "aud", "iat", "exp", "channels"}
	claims := map[string]string{
		"sub": `"42"`, "aud": `"shop"`, "channels": `["news","user-42-*"]`,
		"iat": "1760000000.123", "exp": "1760000600",
	}
	for _, r := range replaced {
		name, value, _ := strings.Cut(r, ":")
		if _, known := claims[name]; !known {
			names = append(names, name)
		}
		claims[name] = value
	}
	var parts []string
	for _, name := range names {
		if claims[name] != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", name, claims[name]))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func TestATokenOfEveryAlgorithmGrants(t *testing.T) {
	all := tokens(t, nil, secret, public(t, &rsaKey().PublicKey), public(t, &ecKey().PublicKey), other)
	for name, token := range map[string]string{
		"HS256":         sign(t, jose.HS256, secret, said()),
		"a second key":  sign(t, jose.HS256, other, said()),
		"RS256":         sign(t, jose.RS256, rsaKey(), said()),
		"ES256":         sign(t, jose.ES256, ecKey(), said()),
		"with kid":      sign(t, jose.HS256, jose.JSONWebKey{KeyID: "k", Key: secret}, said()),
		"more for whom": sign(t, jose.HS256, secret, said(`aud:["a","shop"]`, "nbf:1760000000", `jti:"x"`, `other:{"deep":[1]}`)),
	} {
		g, err := all.Read(token, "shop", now)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if w := g.Who; w.User != "42" || w.Granted.UnixMilli() != 1_760_000_000_123 || w.Expires.Unix() != 1_760_000_600 {
			t.Errorf("%s: %+v", name, w)
		}
		if g.Who.Sessions != nil {
			t.Errorf("%s: sessions %q", name, g.Who.Sessions)
		}
		allowed, denied := g.Narrow([]string{"news", "user-42-x", "user-43-x"})
		if fmt.Sprint(allowed, denied) != "[news user-42-x] [user-43-x]" {
			t.Errorf("%s: %v %v", name, allowed, denied)
		}
	}
}

func TestATokenMaySayWhichSession(t *testing.T) {
	g, err := tokens(t, nil, secret).Read(sign(t, jose.HS256, secret, said(`sid:"the one"`)), "shop", now)
	if err != nil || len(g.Who.Sessions) != 1 || g.Who.Sessions[0] != Digest("the one") {
		t.Errorf("%+v %v", g.Who, err)
	}
}

// TestABadTokenIsRefusedInASentence by which its maker finds the mistake.
func TestABadTokenIsRefusedInASentence(t *testing.T) {
	encode := base64.RawURLEncoding.EncodeToString
	none := func(alg string) string {
		return encode([]byte(`{"alg":"`+alg+`"}`)) + "." + encode([]byte(said())) + "."
	}
	hmac := func(replaced ...string) string { return sign(t, jose.HS256, secret, said(replaced...)) }
	raw := func(payload string) string { return sign(t, jose.HS256, secret, payload) }
	good := hmac()
	forged := strings.Split(hmac(`sub:"1"`), ".")[0] + "." + strings.Split(hmac(`sub:"1"`), ".")[1] + "." + strings.Split(good, ".")[2]
	all := tokens(t, nil, secret, public(t, &rsaKey().PublicKey))
	if _, err := all.Read(good, "shop", now); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, token, want string }{
		{"empty", "", "three parts of base64url"},
		{"no token", "abc", "three parts of base64url"},
		{"four parts", good + ".x", "three parts of base64url"},
		{"no base64", good + "!", "three parts of base64url"},
		{"JSON form", `{"payload":"e30","signatures":[]}`, "three parts of base64url"},
		{"bytes", "\xff.\x00.\x80", "three parts of base64url"},
		{"1 MB", good + strings.Repeat("A", 1<<20), "and 8192 are the most; name channels by patterns"},
		{"alg none", none("none"), `its algorithm is "none", and this server takes ["HS256" "RS256"]`},
		{"alg None", none("None"), `its algorithm is "None"`},
		{"no alg", encode([]byte("{}")) + "." + encode([]byte(said())) + ".", `its algorithm is ""`},
		{"long alg", none(strings.Repeat("x", 2000)), `its algorithm is "` + strings.Repeat("x", 20) + `", and`},
		{"another algorithm", sign(t, jose.HS512, append(secret, secret...), said()), `its algorithm is "HS512"`},
		{"algorithm not set up", sign(t, jose.ES256, ecKey(), said()), `its algorithm is "ES256"`},
		{"no signature", none("HS256"), "signed with none of the keys"},
		{"wrong key", sign(t, jose.HS256, other, said()), "signed with none of the keys"},
		{"public key as secret", sign(t, jose.HS256, public(t, &rsaKey().PublicKey), said()), "signed with none of the keys"},
		{"forged", forged, "signed with none of the keys"},
		{"cut", good[:len(good)-4], "signed with none of the keys"},

		{"no object", raw(`[]`), "no JSON object that has each claim once"},
		{"no JSON", raw(`{"sub":`), "no JSON object that has each claim once"},
		{"more behind", raw(said() + "{}"), "no JSON object that has each claim once"},
		{"a claim twice", raw(`{"channels":["a"],"channels":["*"],` + said()[1:]), "no JSON object that has each claim once"},
		{"deep", raw(strings.Repeat("[", 5000)), "no JSON object that has each claim once"},
		{"deep in a claim", hmac("x:" + strings.Repeat("[", 2900) + strings.Repeat("]", 2900)), ""},
		{"not UTF-8", hmac("sub:\"\xff\""), "what it says is not UTF-8"},

		{"no aud", hmac("aud:"), `add the claim "aud": "shop"`},
		{"aud null", hmac("aud:null"), `it is for another hub`},
		{"aud of a wrong type", hmac("aud:7"), `write "aud": "shop"`},
		{"another hub", hmac(`aud:"forum"`), `it is for another hub; for this one it has the claim "aud": "shop"`},
		{"other hubs", hmac(`aud:["forum","shop2"]`), "it is for another hub"},

		{"no iat", hmac("iat:"), `add the claim "iat", seconds since 1970`},
		{"no exp", hmac("exp:"), `add the claim "exp", seconds since 1970`},
		{"exp null", hmac("exp:null"), "its exp is no number of seconds since 1970"},
		{"exp text", hmac(`exp:"1760000600"`), "its exp is no number of seconds since 1970"},
		{"exp negative", hmac("exp:-1"), "its exp is no number of seconds since 1970"},
		{"exp huge", hmac("exp:1e400"), "its exp is no number of seconds since 1970"},
		{"exp in ms", hmac("exp:1760000600000"), "not milliseconds"},
		{"iat in ms", hmac("iat:1760000000000"), "not milliseconds"},
		{"over", hmac("exp:1760000000.25"), "it ended 0s ago"},
		{"long over", hmac("iat:1759990000", "exp:1759999988"), "it ended 12s ago"},
		{"a day and a bit", hmac("iat:1760000000", "exp:1760086401"), "good for more than 24 hours; who is kicked"},
		{"far", hmac("exp:1860000000"), "good for more than 24 hours; who is kicked"},
		{"not made yet", hmac("iat:1760000031"), "it was made in 31s; the clocks of both machines must agree to 30s"},
		{"not yet", hmac("nbf:1760000031"), "it begins in 31s"},
		{"nbf text", hmac(`nbf:"x"`), "its nbf is no number of seconds since 1970"},

		{"no channels", hmac("channels:"), `it names no channels; add the claim "channels": ["news", "user-42-*"]`},
		{"empty list", hmac("channels:[]"), "it names no channels"},
		{"null list", hmac("channels:null"), "it names no channels"},
		{"one name", hmac(`channels:"news"`), `its channels are no list of names; write "channels": ["news", "user-42-*"]`},
		{"channels of numbers", hmac("channels:[1]"), "its channels are no list of names"},
		{"empty channel", hmac(`channels:[""]`), "a list of channels cannot be read"},
		{"controls in a channel", hmac(`channels:["a\nb"]`), "control character"},
		{"long channel", hmac(`channels:["` + strings.Repeat("x", 256) + `"]`), "255 are the most"},
		{"many channels", hmac("channels:[" + strings.Repeat(`"a",`, 1000) + `"b"]`), "1000 are the most; use patterns"},
		{"numeric user", hmac("sub:42"), `its sub, the user, is no string; write "sub": "42"`},
		{"numeric session", hmac("sid:42"), "its sid, the session, is no string of 1 to 255 bytes"},
		{"empty session", hmac(`sid:""`), "its sid, the session, is no string"},
		{"long session", hmac(`sid:"` + strings.Repeat("x", 256) + `"`), "its sid, the session, is no string"},
		{"null user", hmac("sub:null"), "its sub, the user, is no string"},
		{"long user", hmac(`sub:"` + strings.Repeat("x", 256) + `"`), "the user's name has 256 bytes, and 255 are the most"},
		{"controls in the user", hmac(`sub:"a\u0000"`), "the user's name has the control character U+0000"},
	} {
		g, err := all.Read(c.token, "shop", now)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), c.want) || g.Who != nil {
			t.Errorf("%s: %v %v\nshould say: %s", c.name, g, err, c.want)
		}
		if err != nil && (len(err.Error()) > 300 || strings.Contains(err.Error(), string(secret))) {
			t.Errorf("%s: says too much: %v", c.name, err)
		}
	}
}

// TestClocksMayDiffer a little, and a token that comes from the future is as old as its
// coming: whoever is kicked then is kicked.
func TestClocksMayDiffer(t *testing.T) {
	all := tokens(t, nil, secret)
	g, err := all.Read(sign(t, jose.HS256, secret, said("iat:1760000020", "nbf:1760000020", "sub:")), "shop", now)
	if err != nil || !g.Who.Granted.Equal(now) || g.Who.User != "" {
		t.Fatalf("%+v %v", g.Who, err)
	}
	if _, err = all.Read(sign(t, jose.HS256, secret, said("iat:1760000000", "exp:1760086400")), "shop", now); err != nil {
		t.Errorf("a day: %v", err)
	}
}

// TestEqualTokensShareOneWho until they end.
func TestEqualTokensShareOneWho(t *testing.T) {
	all := tokens(t, nil, secret)
	token := sign(t, jose.HS256, secret, said(`aud:["shop","forum"]`))
	read := func(audience string, at time.Time) Grant {
		g, err := all.Read(token, audience, at)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	first := read("shop", now)
	if again := read("shop", now.Add(9*time.Minute)); again.Who != first.Who {
		t.Error("a second one")
	}
	if elsewhere := read("forum", now); elsewhere.Who == first.Who {
		t.Error("one for two hubs")
	}
	if _, err := all.Read(token, "blog", now); !errors.Is(err, ErrToken) {
		t.Errorf("a token that is known, for another hub: %v", err)
	}
	if _, err := all.Read(token, "shop", now.Add(10*time.Minute)); !errors.Is(err, ErrToken) {
		t.Errorf("it has ended: %v", err)
	}

	for i := range maxKnown + 100 {
		g, _ := all.Read(sign(t, jose.HS256, secret, said(fmt.Sprintf(`sub:"%d"`, i))), "shop", now)
		if g.Who == nil || all.known.Len() > maxKnown {
			t.Fatalf("%d: %d are known", i, all.known.Len())
		}
	}
}

func TestKeysThatAreNoneAreErrorsThatSayWhatToDo(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	private, _ := x509.MarshalPKCS8PrivateKey(ecKey())
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"short":       {[]byte(" 0123456789abcdef0123456789abcde \n"), "and this one 31; make one by: openssl rand -hex 32"},
		"private key": {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), "it is a PRIVATE KEY, and a public key is needed, as from: openssl pkey -in private.pem -pubout"},
		"cut":         {public(t, &rsaKey().PublicKey)[:200], "is it whole?"},
		"no key":      {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}), "the public key cannot be read"},
		"small RSA":   {public(t, &small.PublicKey), "2048 bits or more, and this one 1024"},
		"P-384":       {public(t, &p384.PublicKey), "neither RS256 nor ES256"},
	} {
		if _, err := ReadTokenKey(string(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewTokens(nil, nil); err == nil || !strings.Contains(err.Error(), "openssl rand") {
		t.Error(err)
	}
	if _, err := NewTokens(make([]TokenKey, maxTokenKeys+1), nil); err == nil {
		t.Error("as many keys as one likes")
	}
}

// FuzzRead gives what was signed by a good key, too: what a token says is as hostile as
// what it looks like.
// hostile is a token: the whole text, or what it comes to as the claims of a good one.
func hostile(t testing.TB, text string, whole bool) string {
	if whole || text == "" {
		return text
	}
	return sign(t, jose.HS256, secret, text)
}

func FuzzRead(f *testing.F) {
	all := tokens(f, nil, secret, public(f, &rsaKey().PublicKey))
	f.Add(said(), false)
	f.Add(said(`aud:["a","shop"]`, "nbf:1e3", "exp:1e400"), false)
	f.Add(`{"channels":[[[[`, false)
	f.Add(sign(f, jose.HS256, other, said()), true)
	f.Add("eyJhbGciOiJub25lIn0.e30.", true)
	f.Fuzz(func(t *testing.T, text string, whole bool) {
		g, err := all.Read(hostile(t, text, whole), "shop", now)
		switch {
		case err != nil && !errors.Is(err, ErrToken):
			t.Errorf("%v", err)
		case err == nil && (whole || len(g.Channels) == 0 || g.Who == nil || !now.Before(g.Who.Expires) || g.Who.Granted.After(now) || g.Who.Granted.IsZero()):
			t.Errorf("%q grants %v %+v", text, g.Channels, g.Who)
		}
	})
}
