package caddymodule

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/access"
)

const tokenKey = "0123456789abcdef0123456789abcdef"

// tokenOf is a token for a user.
func tokenOf(t *testing.T, key, hub, user string, channels ...string) string {
	t.Helper()
	now := time.Now()
	return signedBy(t, key, map[string]any{
		"sub": user, "aud": hub, "channels": channels,
		"iat": float64(now.UnixMilli()) / 1000, "exp": now.Add(time.Hour).Unix(),
	})
}

// signedBy is a token as a site without any library makes it.
func signedBy(t *testing.T, key string, said map[string]any) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	claims, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims)
	sum := hmac.New(sha256.New, []byte(key))
	sum.Write([]byte(text))
	return text + "." + encode(sum.Sum(nil))
}

func provisioned(t *testing.T, token Token) *Token {
	t.Helper()
	if err := token.provision(zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	return &token
}

// TestWhereATokenComesFrom: a header, a cookie, the address, and the first counts.
func TestWhereATokenComesFrom(t *testing.T) {
	of := func(user string) string { return tokenOf(t, tokenKey, "shop", user, "news") }
	usual := provisioned(t, Token{Keys: []string{tokenKey}})
	named := provisioned(t, Token{Keys: []string{tokenKey}, Cookie: "mine", Query: "t"})
	for _, c := range []struct {
		name, query string
		header      []string
		token       *Token
		want        string // "": there is none
	}{
		{"none", "?since=now", nil, usual, ""},
		{"header", "", []string{"Authorization", "Bearer " + of("1")}, usual, "1"},
		{"header in other words", "", []string{"Authorization", "bearer   " + of("1") + " "}, usual, "1"},
		{"cookie", "", []string{"Cookie", "a=b; comet_token=" + of("2")}, usual, "2"},
		{"address", "?since=now&token=" + of("3") + "&wait=1", nil, usual, "3"},
		{"address, encoded", "?token=" + strings.ReplaceAll(of("3"), ".", "%2E"), nil, usual, "3"},
		{"all", "?token=" + of("3"), []string{"Cookie", "comet_token=" + of("2"), "Authorization", "Bearer " + of("1")}, usual, "1"},
		{"cookie and address", "?token=" + of("3"), []string{"Cookie", "comet_token=" + of("2")}, usual, "2"},
		{"another kind of header", "?token=" + of("3"), []string{"Authorization", "Basic eDp5"}, usual, "3"},
		{"empty ones", "?token=", []string{"Cookie", "comet_token=", "Authorization", "Bearer "}, usual, ""},
		{"empty cookie", "?token=" + of("3"), []string{"Cookie", "comet_token="}, usual, "3"},
		{"other names", "?token=" + of("3") + "&t=" + of("4"), []string{"Cookie", "comet_token=" + of("2")}, named, "4"},
		{"another cookie", "", []string{"Cookie", "mine=" + of("5")}, named, "5"},
		{"a parameter that ends like it", "?mytoken=" + of("3"), nil, usual, ""},
		{"no encoding", "?token=%zz", nil, usual, "!three parts of base64url"},
		{"a bad one is not passed over", "?token=" + of("3"), []string{"Authorization", "Bearer x"}, usual, "!three parts of base64url"},
		{"another hub", "?token=" + tokenOf(t, tokenKey, "forum", "1", "news"), nil, usual, "!it is for another hub"},
	} {
		r := httptest.NewRequest("GET", "/comet/news"+c.query, nil)
		for i := 0; i+1 < len(c.header); i += 2 {
			r.Header.Set(c.header[i], c.header[i+1])
		}
		g, there, err := c.token.read(r, "shop")
		switch wrong, refused := strings.CutPrefix(c.want, "!"); {
		case refused:
			if !there || !strings.Contains(errorText(err), wrong) || tokenStatus(err) != http.StatusUnauthorized {
				t.Errorf("%s: %v %v", c.name, there, err)
			}
		case err != nil || there != (c.want != "") || there && g.Who.User != c.want:
			t.Errorf("%s: %v %+v %v", c.name, there, g.Who, err)
		}
	}
	if g, _, err := usual.read(httptest.NewRequest("GET", "/?token="+of("7"), nil), "shop"); err != nil || !g.Channels.Match("news") || g.Channels.Match("new") {
		t.Errorf("%v %v", g.Channels, err)
	}
	for _, audience := range []string{"shop", "https://api.example.com"} {
		elsewhere := provisioned(t, Token{Keys: []string{tokenKey}, Audience: "https://api.example.com"})
		_, _, err := elsewhere.read(httptest.NewRequest("GET", "/?token="+tokenOf(t, tokenKey, audience, "1", "news"), nil), "shop")
		if (err == nil) != (audience != "shop") {
			t.Errorf("audience %s: %v", audience, err)
		}
	}
	if tokenStatus(errNoToken) != http.StatusUnauthorized || tokenStatus(fmt.Errorf("x: %w", access.ErrKeys)) != http.StatusServiceUnavailable {
		t.Error("a status")
	}
}

// TestKeysOfTokens come from placeholders and files, and mistakes are found with the
// configuration.
func TestKeysOfTokens(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("TOKEN_KEY", tokenKey)
	t.Setenv("SHORT_KEY", "short")
	other, third := strings.Repeat("k", 32), strings.Repeat("3", 64)
	open := file("open", tokenKey)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	token := provisioned(t, Token{Keys: []string{"{env.TOKEN_KEY}"}, KeyFiles: []string{file("key", "# of last year\n"+other+"\n\n"+third)}})
	for _, key := range []string{tokenKey, other, third} {
		if _, _, err := token.read(httptest.NewRequest("GET", "/?token="+tokenOf(t, key, "shop", "1", "a"), nil), "shop"); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct{ options, want string }{
		{"token {env.SHORT_KEY}", "token: key: a secret has 32 bytes or more, and this one 5; make one by: openssl rand -hex 32"},
		{"token {env.NOT_SET_KEY}", "token: key: "},
		{"token {\nkey_file " + dir + "/none\n}", "token: key_file: stat " + dir + "/none: no such file"},
		{"token {\nkey_file " + file("private", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n") + "\n}", "it is a PRIVATE KEY, and a public key is needed"},
		{"token {\nkey_file " + file("short", other+"\nsecret") + "\n}", "short: line 2: a secret has 32 bytes or more, and this one 6"},
		{"token {\nkey_file " + file("empty", "# nothing\n") + "\n}", "empty: it has no key; write one on each line, for example from: openssl rand -hex 32"},
		{"token {\nkey_file " + file("two", strings.Repeat("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", 2)) + "\n}", "it is more than one key in PEM; give each a file of its own"},
		{"token {\nkey_file " + open + "\n}", "every user of this machine may read or write it; shut it"},
		{"token {\nkey_file relative\n}", "token: key_file relative: not an absolute path"},
		{"token " + other + "{x.y}", "token: key: it has braces with no known placeholder in them"},
		{"token {\njwks " + dir + "/none\n}", "token: jwks: stat " + dir + "/none: no such file"},
	} {
		err := validate(t, "", ":1 {\ncomet {\n"+c.options+"\n}\n}")
		if !strings.Contains(errorText(err), c.want) || strings.Contains(errorText(err), other) {
			t.Errorf("%s\nthe error is\n\t%v\nand should say\n\t%s", c.options, err, c.want)
		}
	}
}

// TestASetOfKeysIsGot from a path and from an address.
func TestASetOfKeysIsGot(t *testing.T) {
	var status, size int
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "http://192.0.2.1/keys", http.StatusFound)
			return
		}
		w.WriteHeader(status)
		fmt.Fprint(w, strings.Repeat("x", size))
	}))
	defer there.Close()
	text := func(where string) (string, error) {
		set, err := newJWKS(where, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		b, err := set.Get(t.Context())
		return string(b), err
	}
	status, size = 200, 3
	if got, err := text(there.URL + "/keys"); got != "xxx" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if _, err := text(there.URL + "/away"); !strings.Contains(errorText(err), "an address of https") {
		t.Errorf("a redirection to whoever answers there: %v", err)
	}
	size = maxJWKS + 1
	if _, err := text(there.URL + "/keys"); !strings.Contains(errorText(err), "more than 1048576 bytes") {
		t.Error(err)
	}
	status, size = 404, 0
	if _, err := text(there.URL + "/keys"); !strings.Contains(errorText(err), "404 Not Found") {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := text(path); got != "{}" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	// Nobody knows whether a token is good while there are no keys.
	token := provisioned(t, Token{JWKS: path})
	if _, _, err := token.read(httptest.NewRequest("GET", "/?token=x.y.z", nil), "shop"); !errors.Is(err, access.ErrKeys) {
		t.Error(err)
	}
}

func TestRedaction(t *testing.T) {
	for uri, want := range map[string]string{
		"/comet/a":                        "/comet/a",
		"/comet/token=1":                  "/comet/token=1",
		"/comet/a?token=1.2.3":            "/comet/a?token=REDACTED",
		"/comet/a?since=x&token=1&wait=1": "/comet/a?since=x&token=REDACTED&wait=1",
		"/comet/a?token=1&token=2":        "/comet/a?token=REDACTED&token=REDACTED",
		"/comet/a?token=a=b?token=c":      "/comet/a?token=REDACTED",
		"/comet/a?mytoken=1":              "/comet/a?mytoken=1",
		"/comet/a?token":                  "/comet/a?token",
	} {
		if got := redact(uri, "token"); got != want {
			t.Errorf("%s: %s", uri, got)
		}
	}
	if got := redact("/comet/a?=1", ""); got != "/comet/a?=1" {
		t.Errorf("%s", got)
	}
}

// TestNoLogHasAToken whether its request was parked, leased, waited in its goroutine,
// was refused or became a WebSocket.
func TestNoLogHasAToken(t *testing.T) {
	for _, park := range []string{"on", "off"} {
		s := newServer(t)
		hub := unique("token")
		site := strings.NewReplacer("LOG", "access", "header Set-Cookie secret=1", "", "log_append /n/* kept yes", "", "hub HUB", "hub HUB\ntoken "+tokenKey, "HUB", hub).Replace(logging)
		s.reload("debug\nservers {\nprotocols h1 h2c\n}\ncomet {\nlease 1m\npark "+park+"\nhub "+hub+"\n}", strings.ReplaceAll(site, "HUB", hub))
		token := tokenOf(t, tokenKey, hub, "42", "*")
		query := "token=" + token
		hears := func(w *wire, channel string) {
			t.Helper()
			held(t, hub, channel, 1)
			publishes(t, hub, event(channel, "here"))
			w.hearsUntil("here").wants(t, "200", "here")
		}
		want := 0
		w := s.dial("tcp")
		since := "now"
		for range 4 { // of which the last ones are leased
			w.asks("/n/a?since=" + since + "&" + query)
			held(t, hub, "a", 1)
			publishes(t, hub, event("a", "here"))
			var p poll
			if err := json.Unmarshal([]byte(w.hears().wants(t, "200", "here").body), &p); err != nil {
				t.Fatal(err)
			}
			since = p.Cursor
			want++
		}
		if leased := metric(t, "caddy_comet_leased_total", hub); park == "on" && leased == 0 {
			t.Error("none of the polls was leased")
		}
		w = s.dial("tcp")
		w.asks("/n/b?" + query + "&as=sse")
		hears(w, "b")
		w.c.Close()
		want++
		socket := dialed(t, "ws://"+s.site+"/n/c?"+query)
		held(t, hub, "c", 1)
		socket.conn.Close()
		want++
		get("http://"+s.site+"/n/*?"+query).wants(t, 400, "not allowed")
		want++
		get("http://"+s.site+"/n/comet.js?"+query).wants(t, 200, "")
		want++
		get("http://"+s.site+"/old/d?wait=1&"+query).wants(t, 200, `"events":[]`)
		want++
		send(h2Client(true), "GET", "http://"+s.site+"/n/named?wait=1&"+query, "").wants(t, 200, `"events":[]`)
		path := s.dir + "/access"
		eventually(t, "all lines", func() bool { return len(lines(t, path)) >= want && len(lines(t, path+".other")) >= 1 })
		all := append(lines(t, path), lines(t, path+".other")...)
		if len(all) != want+1 {
			t.Errorf("park %s: %d lines; want %d", park, len(all), want+1)
		}
		for _, line := range all {
			if !strings.Contains(line, "token=REDACTED") || !strings.Contains(line, `"status":`) || strings.Contains(line, `"status":0`) {
				t.Errorf("park %s: %s", park, line)
			}
		}
		for line := range strings.Lines(strings.Join(all, "") + s.logs()) {
			// What runs before us, and tells at level debug what it does, knows of no tokens.
			if strings.Contains(line, token) && !strings.Contains(line, `"http.handlers.rewrite"`) {
				t.Errorf("park %s: a log has the token: %s", park, line)
			}
		}
	}
}

// TestATokenElsewhereIsNoneOfOurBusiness: Caddy logs what is not ours as ever.
func TestATokenElsewhereIsNoneOfOurBusiness(t *testing.T) {
	s := start(t, "", "http://SITE {\nbind 127.0.0.1\nlog {\noutput file DIR/access {\nroll_disabled\n}\n}\ncomet /c novcomet {\ntoken "+tokenKey+"\n}\nrespond passed\n}")
	get("http://"+s.site+"/c?publish=a&token=x").wants(t, 200, "passed")
	get("http://"+s.site+"/other?token=x").wants(t, 200, "passed")
	eventually(t, "both lines", func() bool { return len(lines(t, s.dir+"/access")) == 2 })
	for _, line := range lines(t, s.dir+"/access") {
		if !strings.Contains(line, "token=x") || strings.Contains(line, `"comet":`) {
			t.Error(line)
		}
	}
}
