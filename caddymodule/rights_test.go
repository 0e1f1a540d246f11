package caddymodule

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestATokenLetsIn to what it names, by each way in which it can come, and no other
// hub's, and nobody without one.
func TestATokenLetsIn(t *testing.T) {
	s := start(t, "", "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\njsonp\ntoken "+tokenKey+"\n}\ncomet /comet.php novcomet {\ntoken "+tokenKey+"\n}\n}\n"+publisherDoor)
	mine, others := unique("user-42"), unique("user-43")
	token := tokenOf(t, tokenKey, defaultHub, "42", "news", mine+"*")
	base := "http://" + s.site + "/comet/"
	for name, a := range map[string]answer{
		"header":                             get(base+mine+"?wait=0", "Authorization", "Bearer "+token),
		"cookie":                             get(base+mine+"?wait=0", "Cookie", "comet_token="+token),
		"address":                            get(base + mine + "?wait=0&token=" + token),
		"a page of another site that has it": get(base+mine+"?wait=0&callback=f&token="+token, "Sec-Fetch-Site", "cross-site"),
	} {
		if a.wants(t, 200, `"events":[]`); t.Failed() {
			t.Fatal(name)
		}
	}
	get(base+mine+"?wait=0&callback=f", "Sec-Fetch-Site", "cross-site", "Cookie", "comet_token="+token).wants(t, 403, "not from a page of this site")
	a := get(base + mine + "," + others + "?wait=0&token=" + token)
	a.wants(t, 200, "")
	if got := a.header.Get("Comet-Denied"); got != others {
		t.Errorf("Comet-Denied is %q", got)
	}
	get(base+others+"?wait=0&token="+token).wants(t, 403, "none of these channels")
	if a = get(base + mine); a.status != 401 || !strings.Contains(a.body, "a token is needed") || a.header.Get("WWW-Authenticate") == "" {
		t.Errorf("without one: %d %q %v", a.status, a.body, a.header)
	}
	get(base+mine+"?token="+tokenOf(t, tokenKey, "shop", "42", "*")).wants(t, 401, "")
	get(base+mine+"?token="+tokenOf(t, strings.Repeat("x", 32), defaultHub, "42", "*")).wants(t, 401, "")
	get(base+mine+"?token=a.b.c").wants(t, 401, "")
	refused(t, base+mine+"?token=a.b.c").wants(t, 401, "")

	answer := holding("http://" + s.site + "/comet.php?token=" + token + "&subscribed[" + others + "]=0&subscribed[" + url.QueryEscape(mine+"é") + "]=0")
	held(t, defaultHub, mine+"é", 1)
	s.must(others, "")
	s.must(url.PathEscape(mine+"é"), "")
	if a := receive(t, answer); a.status != 200 || strings.Contains(a.body, others) || !strings.Contains(a.body, `"s":1`) {
		t.Errorf("NovComet got %d %q", a.status, a.body)
	}

	c := dialed(t, strings.Replace(base, "http", "ws", 1)+mine+"?token="+token)
	c.position()
	c.says(`{"subscribe":["news","` + others + `"]}`)
	if m := c.hears(); !slices.Equal(m.Subscribed, []string{"news"}) {
		t.Errorf("%+v", m)
	}
	if m := c.hears(); !slices.Equal(m.Denied, []string{others}) || m.Error != "the token does not name them" {
		t.Errorf("%+v", m)
	}
}

// TestAKickTakesATokenBack, and one that is made later lets in again.
func TestAKickTakesATokenBack(t *testing.T) {
	s := start(t, "", "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\ntoken "+tokenKey+"\n}\n}\n"+publisherDoor)
	name := unique("kicked")
	token := tokenOf(t, tokenKey, defaultHub, name, name)
	address := "http://" + s.site + "/comet/" + name + "?token="
	stream := holding(address + token + "&as=stream")
	held(t, defaultHub, name, 1)
	time.Sleep(2 * time.Millisecond) // tokens tell milliseconds apart
	send(plain, "DELETE", "http://"+s.publish+"/_holds?user="+name, "").wants(t, 200, `"ended":1`)
	receive(t, stream).wants(t, 200, `"retry":`)
	get(address+token).wants(t, 401, "taken back")
	time.Sleep(2 * time.Millisecond)
	get(address+tokenOf(t, tokenKey, defaultHub, name, name)+"&wait=0").wants(t, 200, "cursor")
}

// TestASiteThatHasBothAsksAboutWhoHasNoToken.
func TestASiteThatHasBothAsksAboutWhoHasNoToken(t *testing.T) {
	d := authorized(t, "}\ntoken {\nkey "+tokenKey)
	token := tokenOf(t, tokenKey, defaultHub, "42", "a")
	get(d.comet("a")+"?wait=0&token="+token).wants(t, 200, "cursor")
	d.wantAsked(0)
	get(d.comet("a")+"?wait=0", "Cookie", "PHPSESSID=1").wants(t, 200, "cursor")
	d.wantAsked(1)
	get(d.comet("a")+"?wait=0&token=x", "Cookie", "PHPSESSID=1").wants(t, 401, "")
	d.wantAsked(0)
}
