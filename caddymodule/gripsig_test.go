package caddymodule

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/access"
)

// signer checks what requests are signed with.
func signer(t *testing.T, secret, issuer string) func(token string) error {
	t.Helper()
	k, err := access.ReadSharedKey(secret, issuer)
	if err != nil {
		t.Fatal(err)
	}
	ring := new(access.Keyring)
	ring.AddShared(k)
	return func(token string) error {
		_, err := ring.FindSigned(token, "", time.Now())
		return err
	}
}

// TestWhatGoesToTheSiteIsSigned, each time that it is asked, by the one who signs; what
// a client sends in its place is taken off.
func TestWhatGoesToTheSiteIsSigned(t *testing.T) {
	t.Setenv("GRIP_KEY", " "+tokenKey+"\n")
	for option, issuer := range map[string]string{"{env.GRIP_KEY}": "pushpin", "{file.DIR/key} me": "me", tokenKey + " \"a \\\"b\"": `a "b`} {
		sigs, hub := make(chan []string, 9), unique("signed")
		site := behind(t, func(w http.ResponseWriter, r *http.Request) {
			sigs <- r.Header["Grip-Sig"]
			switch r.URL.Path {
			case "/retry":
				says("own", "Grip-Hold", "retry", "Grip-Channel", "a", "Grip-Timeout", "100")(w, r)
			case "/stream":
				says("open\n", "Grip-Hold", "stream", "Grip-Channel", "a", "Grip-Link", "</next>; rel=next; timeout=100")(w, r)
			default:
				says("next\n")(w, r)
			}
		})
		s := newServer(t)
		if err := os.WriteFile(s.dir+"/key", []byte(tokenKey+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.reload("comet {\nhub "+hub+"\n}", strings.Replace(strings.Replace(handedSite(hub, site), "hold", "hold\n\t\tgrip_sig "+option, 1), "bind", "log\n\tbind", 1))
		checks := signer(t, tokenKey, issuer)
		signed := func(what string) {
			t.Helper()
			if sig := receive(t, sigs); len(sig) != 1 || checks(sig[0]) != nil {
				t.Errorf("%s %s: %q: %v", option, what, sig, checks(strings.Join(sig, "")))
			}
		}
		forged := "Grip-Sig: " + signedBy(t, tokenKey+"x", map[string]any{"iss": issuer, "exp": time.Now().Add(time.Hour).Unix()})
		c := s.dial("tcp")
		c.asks("/", forged, "grip-sig: x")
		c.hears().wants(t, "200", "next")
		signed("a page")
		c.asks("/retry", forged)
		signed("to be held")
		parks(t, hub, 1, 1)
		s.posts("/a", "").wants(t, 200, "")
		signed("asked again")
		c = s.dial("tcp")
		c.asks("/stream", forged)
		signed("a stream")
		parks(t, hub, 2, 1)
		s.posts("/publish/", `{"items":[{"channel":"a","http-stream":{"action":"hint"}}]}`).wants(t, 200, "")
		c.hears().wants(t, "200", "open\nnext\n")
		for range 2 { // the poll is asked again, too
			signed("a link")
		}
		// Caddy's own lines have what a client sent, and those of the poll are ours.
		logs := strings.ReplaceAll(s.logs(), strings.TrimPrefix(forged, "Grip-Sig: "), "")
		if strings.Contains(logs, tokenKey) || strings.Contains(logs, "eyJ") || !strings.Contains(logs, `"comet":"again"`) {
			t.Errorf("a log has the key or a signature: %s", logs)
		}
	}
}

// TestWhatIsNotToBeSignedIsNot: the site cannot be told by a client that it is.
func TestWhatIsNotToBeSignedIsNot(t *testing.T) {
	sigs := make(chan []string, 1)
	s, _ := handed(t, "", func(_ http.ResponseWriter, r *http.Request) { sigs <- r.Header["Grip-Sig"] })
	get("http://"+s.site+"/", "Grip-Sig", "x", "Grip_Sig", "x").wants(t, 200, "")
	if sig := receive(t, sigs); sig != nil {
		t.Errorf("the site got %q", sig)
	}
}

// TestASignedTokenIsAKey: it has a rate like any other, and what is wrong with it is
// said in a sentence, counted, and in no log.
func TestASignedTokenIsAKey(t *testing.T) {
	t.Setenv("OLD_KEY", "base64:"+strings.Repeat("k", 43)+"=")
	t.Setenv("GRIP_KEY", tokenKey)
	s := start(t, "debug", "http://PUBLISH {\nlog\nbind 127.0.0.1\ncomet_publish {\njwt_key {env.OLD_KEY} shop\njwt_key {env.GRIP_KEY} shop\njwt_key {env.GRIP_KEY} forum\nrate 2/h\n}\n}")
	name := unique("signed")
	as := func(token string, header ...string) answer {
		return send(plain, "POST", "http://"+s.publish+"/"+name, "x", append(header, "Authorization", token)...)
	}
	token := func(issuer string, life time.Duration) string {
		return "Bearer " + signedBy(t, tokenKey, map[string]any{"iss": issuer, "exp": time.Now().Add(life).Unix()})
	}
	before := metric(t, "caddy_comet_denied_total", defaultHub)
	for range 2 {
		as(token("shop", time.Minute)).wants(t, 200, "receivers")
	}
	as(token("shop", time.Hour)).wants(t, 429, "faster than its rate")
	as(token("forum", time.Minute)).wants(t, 200, "receivers")
	for sent, want := range map[string]string{
		"":                          "a key is needed: send Authorization: Bearer \\u003ckey\\u003e, or Bearer \\u003ctoken\\u003e, which a jwt_key signs",
		"Bearer ":                   "a key is needed",
		"Digest x":                  "a key is needed",
		"Bearer " + tokenKey:        "the token is refused: it is no signed JSON Web Token",
		token("blog", time.Minute):  `the token is refused: its iss is not that of the key which has signed it; write \"iss\": \"forum\"`,
		token("shop", -time.Second): "the token is refused: it ended ",
		token("shop", 2*time.Hour):  "the token is refused: it is good for ",
		"Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJzaG9wIiwiZXhwIjoxNzYwMDAwMDAwfQ.": `the token is refused: its algorithm is \"none\"`,
	} {
		a := as(sent)
		a.wants(t, http.StatusUnauthorized, want)
		if a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", sent)
		}
	}
	as(token("forum", time.Minute), "Origin", "https://example.com").wants(t, http.StatusForbidden, "browsers may not publish")
	if n := metric(t, "caddy_comet_denied_total", defaultHub) - before; n != 10 {
		t.Errorf("%v are counted as denied", n)
	}
	for _, secret := range []string{tokenKey, "eyJ", strings.Repeat("k", 43)} {
		if strings.Contains(s.logs(), secret) {
			t.Errorf("a log has %s: %s", secret, s.logs())
		}
	}
}
