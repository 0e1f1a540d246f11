package access

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func sharedKey(t testing.TB, secret, issuer string) SharedKey {
	t.Helper()
	k, err := ReadSharedKey(secret, issuer)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sharedRing(t testing.TB) *Keyring {
	r := new(Keyring)
	r.Add(KeyOf(first))
	r.AddShared(sharedKey(t, string(secret), "realm"))
	r.AddShared(sharedKey(t, string(secret), "other realm"))
	r.AddShared(sharedKey(t, string(other), "realm"))
	return r
}

// TestASecretIsWrittenAsGRIPWritesIt: as it stands, or in base64.
func TestASecretIsWrittenAsGRIPWritesIt(t *testing.T) {
	binary := "\xff\x00" + string(secret)
	for text, want := range map[string]string{
		string(secret):              string(secret),
		" " + string(secret) + "\n": string(secret),
		"base64:" + base64.StdEncoding.EncodeToString([]byte(binary)):    binary,
		"base64:" + base64.RawStdEncoding.EncodeToString([]byte(binary)): binary,
	} {
		if k := sharedKey(t, text, "realm"); string(k.secret) != want {
			t.Errorf("%q: %q", text, k.secret)
		}
	}
	for text, want := range map[string]string{
		"":         "a secret has 32 bytes or more, and this one 0; make one by: openssl rand -hex 32",
		"changeme": "a secret has 32 bytes or more, and this one 8",
		"base64:" + base64.StdEncoding.EncodeToString(secret[:31]):                       "a secret has 32 bytes or more, and this one 31",
		"base64:" + string(secret) + "!":                                                 "what stands behind base64: is no base64; make one by: openssl rand -base64 32",
		"base64:" + base64.URLEncoding.EncodeToString([]byte("\xff\xff"+string(secret))): "is no base64",
		string(public(t, &rsaKey().PublicKey)):                                           "it is a key in PEM, and a secret for HS256 is needed",
		"file:/etc/pushpin/grip-signing-of-us.key":                                       "write {file./etc/caddy/grip.key}",
	} {
		_, err := ReadSharedKey(text, "realm")
		if err == nil || !strings.Contains(err.Error(), want) || len(text) > 8 && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, issuer := range []string{"", "a\nb", "\xff", strings.Repeat("x", 256)} {
		if _, err := ReadSharedKey(string(secret), issuer); err == nil || !strings.Contains(err.Error(), "the issuer is a name of 1 to 255 bytes") {
			t.Errorf("the issuer %q: %v", issuer, err)
		}
	}
}

// TestATokenOpensForWhoSignedIt: each key and issuer is somebody.
func TestATokenOpensForWhoSignedIt(t *testing.T) {
	r := sharedRing(t)
	if r.Empty() || !r.HasShared() {
		t.Error("the ring is empty")
	}
	seen := make(map[Key]string)
	for name, c := range map[string]struct {
		key     []byte
		payload string
	}{
		"pubcontrol":     {secret, `{"iss":"realm","exp":1760003600}`},
		"another issuer": {secret, `{"iss":"other realm","exp":1760000600}`},
		"another key":    {other, `{"iss":"realm","exp":1760000600}`},
	} {
		key, err := r.FindSigned(sign(t, jose.HS256, c.key, c.payload), "shop", now)
		if err != nil || seen[key] != "" {
			t.Errorf("%s: %v, as %s", name, err, seen[key])
		}
		seen[key] = name
	}
	for name, payload := range map[string]string{
		"a clock ahead": `{"iss":"realm","exp":1760003630}`,
		"more claims":   `{"iss":"realm","exp":1760000600.5,"nbf":1760000020,"iat":7,"sub":[],"aud":["shop","forum"]}`,
	} {
		key, err := r.FindSigned(sign(t, jose.HS256, secret, payload), "shop", now)
		if err != nil || seen[key] != "pubcontrol" {
			t.Errorf("%s: %v, as %s", name, err, seen[key])
		}
	}
	if opens(r, string(secret)) {
		t.Error("the secret itself opens")
	}
	files := new(Keyring)
	if files.AddShared(sharedKey(t, string(secret), "realm")); files.Empty() {
		t.Error("a ring with such a key alone is empty")
	}
}

// TestATokenThatOpensNothingIsRefusedInASentence by which its maker finds the mistake.
func TestATokenThatOpensNothingIsRefusedInASentence(t *testing.T) {
	r := sharedRing(t)
	encode := base64.RawURLEncoding.EncodeToString
	const payload = `{"iss":"realm","exp":1760000600}`
	hmac := func(payload string) string { return sign(t, jose.HS256, secret, payload) }
	unsigned := func(alg string) string {
		return encode([]byte(`{"alg":"`+alg+`"}`)) + "." + encode([]byte(payload)) + "."
	}
	good := hmac(payload)
	signature := good[strings.LastIndex(good, "."):]
	if _, err := r.FindSigned(good, "shop", now); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ token, want string }{
		"a plain key":        {string(secret), "three parts of base64url"},
		"1 MB":               {good + strings.Repeat("A", 1<<20), "and 8192 are the most"},
		"bytes":              {"\xff.\x00.\x80", "three parts of base64url"},
		"alg none":           {unsigned("none"), `its algorithm is "none", and this server takes ["HS256"]`},
		"no signature":       {unsigned("HS256"), "signed with none of the keys"},
		"another algorithm":  {sign(t, jose.HS512, append(secret, secret...), payload), `its algorithm is "HS512"`},
		"a public key's":     {sign(t, jose.RS256, rsaKey(), payload), `its algorithm is "RS256"`},
		"a wrong key":        {sign(t, jose.HS256, append([]byte("x"), secret...), payload), "signed with none of the keys"},
		"a foreign part":     {encode([]byte(`{"alg":"HS256"}`)) + "." + encode([]byte(payload)) + signature, "signed with none of the keys"},
		"cut":                {good[:len(good)-4], "signed with none of the keys"},
		"no object":          {hmac(`[]`), "no JSON object that has each claim once"},
		"a claim twice":      {hmac(`{"iss":"x",` + payload[1:]), "no JSON object that has each claim once"},
		"no UTF-8":           {hmac("{\"iss\":\"\xff\"}"), "is not UTF-8"},
		"no issuer":          {hmac(`{"exp":1760000600}`), `its iss is not that of the key which has signed it; write "iss": "other realm"`},
		"a wrong issuer":     {hmac(`{"iss":"pushpin","exp":1760000600}`), "its iss is not that of the key"},
		"another's issuer":   {sign(t, jose.HS256, other, `{"iss":"other realm","exp":1760000600}`), `write "iss": "realm"`},
		"a number as issuer": {hmac(`{"iss":7,"exp":1760000600}`), "its iss is not that of the key"},
		"no issuer but null": {hmac(`{"iss":null,"exp":1760000600}`), "its iss is not that of the key"},
		"another hub":        {hmac(`{"iss":"realm","aud":"forum","exp":1760000600}`), `it is for another hub; for this one it has the claim "aud": "shop"`},
		"no end":             {hmac(`{"iss":"realm"}`), `add the claim "exp"`},
		"a text as end":      {hmac(`{"iss":"realm","exp":"x"}`), "its exp is no number"},
		"over":               {hmac(`{"iss":"realm","exp":1760000000}`), "it ended 0s ago"},
		"long over":          {hmac(`{"iss":"realm","exp":1759999988}`), "it ended 12s ago"},
		"far":                {hmac(`{"iss":"realm","exp":1760003631}`), "it is good for 1h0m31s more, and who publishes makes one for an hour at most"},
		"for ever":           {hmac(`{"iss":"realm","exp":253402300799}`), "makes one for an hour at most"},
		"in milliseconds":    {hmac(`{"iss":"realm","exp":1760000600000}`), "not milliseconds"},
		"not yet":            {hmac(`{"iss":"realm","exp":1760000600,"nbf":1760000031}`), "it begins in 31s"},
		"a text as begin":    {hmac(`{"iss":"realm","exp":1760000600,"nbf":"x"}`), "its nbf is no number"},
		"a visitor's":        {hmac(said()), "its iss is not that of the key"},
	} {
		_, err := r.FindSigned(c.token, "shop", now)
		if !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 300 || strings.Contains(err.Error(), string(secret)) {
			t.Errorf("%s: %v\nshould say: %s", name, err, c.want)
		}
	}
}

// TestASignerSignsOnceAMinute, for an hour, what its reader takes.
func TestASignerSignsOnceAMinute(t *testing.T) {
	k := sharedKey(t, string(secret), `my "realm"`)
	s, err := NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	r := new(Keyring)
	r.AddShared(k)
	last := ""
	for _, c := range []struct {
		after time.Duration
		anew  bool
	}{{0, true}, {59 * time.Second, false}, {time.Minute, true}, {time.Minute + 1, false}, {time.Hour, true}, {0, true}} {
		token := s.Token(now.Add(c.after))
		if (token != last) != c.anew {
			t.Errorf("after %v: %s", c.after, token)
		}
		if _, err := r.FindSigned(token, "shop", now.Add(c.after)); err != nil {
			t.Errorf("after %v: %v", c.after, err)
		}
		last = token
	}
	signed, err := jose.ParseSignedCompact(last, []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := signed.Verify(secret)
	var claims map[string]any
	if err != nil || json.Unmarshal(payload, &claims) != nil || len(claims) != 2 || claims["iss"] != `my "realm"` || claims["exp"] != 1760003600.0 {
		t.Errorf("%s %v", payload, err)
	}
}

// FuzzFindSigned gives what was signed by a good key, too.
func FuzzFindSigned(f *testing.F) {
	r := sharedRing(f)
	f.Add(`{"iss":"realm","exp":1760000600}`, false)
	f.Add(`{"iss":"realm","exp":1e400,"aud":[]}`, false)
	f.Add(`{"iss":[[[[`, false)
	f.Add("eyJhbGciOiJub25lIn0.e30.", true)
	f.Fuzz(func(t *testing.T, text string, whole bool) {
		_, err := r.FindSigned(hostile(t, text, whole), "shop", now)
		if err != nil && !errors.Is(err, ErrToken) || err == nil && whole {
			t.Errorf("%q: %v", text, err)
		}
	})
}
