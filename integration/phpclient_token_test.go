package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/access"
)

const tokenKey = "0123456789abcdef0123456789abcdef+secret"

// granted reads a token as the server does.
func granted(t *testing.T, token, hub string) (access.Grant, error) {
	t.Helper()
	key, err := access.ReadTokenKey(tokenKey)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := access.NewTokens([]access.TokenKey{key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tokens.Read(token, hub, time.Now())
}

// TestCometPHPMakesTokens that are read here.
func TestCometPHPMakesTokens(t *testing.T) {
	dir := runDir(t)
	cometPHP(t, dir)
	for _, c := range []struct {
		call, hub, user string
		ttl             time.Duration
		yes, no         string
	}{
		{`['news'], []`, "default", "", time.Hour, "news", "new"},
		{`['news', 'user-42-*'], ['user' => '42', 'ttl' => 60, 'hub' => 'shop', 'session' => 'one']`, "shop", "42", time.Minute, "user-42-x", "user-43-x"},
		{`[7, 'Zoë/日本'], ['user' => 7, 'ttl' => 86400]`, "default", "7", 24 * time.Hour, "Zoë/日本", "8"},
		{`['first' => 'a'], ['user' => "it's \"me\" <b>/\\"]`, "default", `it's "me" <b>/\`, time.Hour, "a", "first"},
		{`array_fill(0, 400, 'channel'), []`, "default", "", time.Hour, "channel", "x"},
	} {
		for _, ini := range []string{"serialize_precision=-1", "serialize_precision=17", "serialize_precision=3"} {
			t.Setenv("COMET_TOKEN_KEY", " "+tokenKey+"\n")
			before := time.Now().Truncate(time.Millisecond)
			out := runPHP(t, dir, strict+"echo Comet::token("+c.call+", $error), $error;", "-d", ini)
			after := time.Now()
			g, err := granted(t, out, c.hub)
			if err != nil {
				t.Errorf("%s, %s: %v: %s", c.call, ini, err, out)
				continue
			}
			if c.hub == "shop" != (len(g.Who.Sessions) == 1 && g.Who.Sessions[0] == access.Digest("one")) {
				t.Errorf("%s: sessions %q", c.call, g.Who.Sessions)
			}
			life := g.Who.Expires.Sub(g.Who.Granted)
			if g.Who.User != c.user || g.Who.Granted.Before(before) || g.Who.Granted.After(after) || life > c.ttl || life <= c.ttl-time.Second ||
				!g.Channels.Match(c.yes) || g.Channels.Match(c.no) {
				t.Errorf("%s, %s: %+v %v", c.call, ini, g.Who, g.Channels)
			}
			if _, err := granted(t, out, c.hub+"2"); err == nil {
				t.Errorf("%s: good for another hub", c.call)
			}
		}
	}
	t.Setenv("COMET_TOKEN_KEY", "")
	if _, err := granted(t, runPHP(t, dir, strict+"echo Comet::token(['a'], ['key' => '"+tokenKey+"']);"), "default"); err != nil {
		t.Error(err)
	}
}

// TestCometPHPSaysWhyThereIsNoToken, and no error handler hears of it.
func TestCometPHPSaysWhyThereIsNoToken(t *testing.T) {
	dir := runDir(t)
	cometPHP(t, dir)
	script := strict
	cases := []struct{ call, why string }{
		{"['a'], ['key' => '']", "no key is given, and COMET_TOKEN_KEY is not set; for php-fpm it is a line of the pool"},
		{"['a'], []", "no key is given, and COMET_TOKEN_KEY is not set"},
		{"['a'], ['key' => 7]", "no key is given"},
		{"['a'], ['key' => str_repeat('k', 31)]", "the key has 32 bytes or more; make one by: openssl rand -hex 32"},
		{"['a'], 'x'", "the options are an array"},
		{"['a'], ['users' => 1] + $key", "there is no option users; there are user, session, ttl, hub and key"},
		{"'a', $key", "the channels are an array of 1 to 1000 names"},
		{"[], $key", "the channels are an array of 1 to 1000 names"},
		{"array_fill(0, 1001, 'a'), $key", "the channels are an array of 1 to 1000 names"},
		{"array_fill(0, 1000, 'channel'), $key", "the token has more than 8192 bytes; name channels by patterns"},
		{"[''], $key", "a channel is UTF-8 of 1 to 255 bytes without control characters"},
		{"[null], $key", "a channel is UTF-8"},
		{`["a\n"], $key`, "a channel is UTF-8"},
		{`["\xff"], $key`, "a channel is UTF-8"},
		{"[str_repeat('a', 256)], $key", "a channel is UTF-8"},
		{"['a'], ['ttl' => 0] + $key", "the ttl is a number of seconds, from 1 to 86400"},
		{"['a'], ['ttl' => 86401] + $key", "the ttl is a number of seconds, from 1 to 86400"},
		{"['a'], ['ttl' => '60'] + $key", "the ttl is a number of seconds, from 1 to 86400"},
		{"['a'], ['user' => ''] + $key", "the user is UTF-8 of 1 to 255 bytes"},
		{`['a'], ['user' => "\xff"] + $key`, "the user is UTF-8 of 1 to 255 bytes"},
		{"['a'], ['user' => []] + $key", "the user is UTF-8 of 1 to 255 bytes"},
		{"['a'], ['session' => 7] + $key", "the session is UTF-8 of 1 to 255 bytes"},
		{"['a'], ['hub' => null] + $key", "the hub is UTF-8 of 1 to 64 bytes"},
	}
	script += "$key = ['key' => '" + tokenKey + "']; $all = [];\n"
	for _, c := range cases {
		script += fmt.Sprintf("$token = Comet::token(%s, $error); $all[] = $token === null ? $error : 'made';\n", c.call)
	}
	var all []string
	if out := runPHP(t, dir, script+"echo json_encode($all);"); json.Unmarshal([]byte(out), &all) != nil || len(all) != len(cases) {
		t.Fatal(out)
	}
	for i, c := range cases {
		if !strings.Contains(all[i], c.why) {
			t.Errorf("%s\nsays  %s\nshould say %s", c.call, all[i], c.why)
		}
	}
}

// TestTheDocumentedPageGivesATokenInACookie, which the server reads.
func TestTheDocumentedPageGivesATokenInACookie(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	cometPHP(t, dir+"/www")
	fpm(t, dir, 1, documented(t, "php-comet-token-pool", "5f0c", tokenKey))
	write(t, filepath.Join(dir, "www/page.php"), documented(t, "php-comet-token"))
	listen := port(t)
	t.Setenv("COMET_TOKEN_KEY", tokenKey)
	caddy(t, dir, "{\n\tauto_https off\n}\n"+documented(t, "token-site",
		"example.com", "http://127.0.0.1:"+listen, "/srv/www/example", dir+"/www", "unix//run/php/php-fpm.sock", "unix/"+dir+"/fpm.sock"))
	base := "http://127.0.0.1:" + listen
	res, body := get(t, base+"/page.php")
	if res.StatusCode != 200 || len(res.Cookies()) != 1 {
		t.Fatalf("%s %v %s", res.Status, res.Cookies(), body)
	}
	cookie := res.Cookies()[0]
	if g, err := granted(t, cookie.Value, "default"); err != nil || cookie.Name != "comet_token" || cookie.Path != "/comet/" || !cookie.HttpOnly || !cookie.Secure || g.Who.User != "guest" || !g.Channels.Match("user-guest-mail") {
		t.Errorf("%v %v %+v", cookie, err, g.Who)
	}
	r, err := http.NewRequest("GET", base+"/comet/news?since=", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Errorf("a visitor with a token: %s", answer.Status)
	}
}
