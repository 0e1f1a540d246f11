package caddymodule

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/crypto/bcrypt"
)

// decider is a site that decides who may listen: whoever has a session may, to
// channels that are not secret.
type decider struct {
	*server
	mu sync.Mutex
	// questions are the requests that it was asked by.
	questions []*http.Request
	// answers, if not nil, has the last word.
	answers http.HandlerFunc
}

// authorized is a site with comet in each dialect, behind authorize with these options.
func authorized(t *testing.T, options string) *decider {
	t.Helper()
	d := new(decider)
	upstream := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/auth.php" {
			fmt.Fprint(w, "the site")
			return
		}
		d.mu.Lock()
		d.questions = append(d.questions, r)
		answers := d.answers
		d.mu.Unlock()
		switch c, err := r.Cookie("PHPSESSID"); {
		case answers != nil:
			answers(w, r)
		case err != nil:
			w.Header().Set("WWW-Authenticate", "Form")
			w.Header().Set("Content-Type", "text/x-sorry")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, "sign in")
		case strings.Contains(r.Header.Get("Comet-Channels"), "secret"):
			w.Header().Set("Comet-Allow", "a*, b%2Cc,,")
			w.Header().Set("Comet-User", c.Value)
		default:
			w.Header().Set("Comet-User", c.Value)
		}
	})
	authorize := "authorize /auth.php?x=1 {\n" + options + "\n}\n"
	d.server = start(t, "", "http://:PORT {\nbind 127.0.0.1\ncomet /comet/* {\njsonp\n"+authorize+"}\ncomet /comet.php novcomet {\n"+authorize+"}\ncomet /doorbell/* doorbell {\n"+authorize+
		"}\ncomet /chat.php filechat {\nchannel chat\n"+authorize+"}\nreverse_proxy "+upstream+"\n}\n"+publisherDoor)
	return d
}

// asked returns the questions since it was called last.
func (d *decider) asked() []*http.Request {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.questions
	d.questions = nil
	return q
}

func (d *decider) answer(f http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers = f
}

// wantAsked wants that the site was asked so often.
func (d *decider) wantAsked(n int) {
	d.t.Helper()
	if got := d.asked(); len(got) != n {
		d.t.Errorf("the site was asked %d times, want %d", len(got), n)
	}
}

func (d *decider) comet(channels string) string { return "http://" + d.site + "/comet/" + channels }

func TestTheSiteIsAskedOnceAndNotByEveryPoll(t *testing.T) {
	d := authorized(t, "cookies php")
	a := unique("a")
	const user = "PHPSESSID=42; _ga=1; other=2"
	at := get(d.comet(a)+"?since=", "Cookie", user, "User-Agent", "Test").poll(t).Cursor
	questions := d.asked()
	if len(questions) != 1 {
		t.Fatalf("%d questions", len(questions))
	}
	for name, want := range map[string]string{
		"Cookie": "PHPSESSID=42", "Comet-Channels": a, "Comet-Action": "listen", "User-Agent": "Test",
		"X-Original-Uri": "/comet/" + a + "?since=", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": d.site,
	} {
		if got := questions[0].Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if q := questions[0]; q.Method != http.MethodGet || q.RequestURI != "/auth.php?x=1" {
		t.Errorf("%s %s", q.Method, q.RequestURI)
	}
	for range 5 {
		get(d.comet(a)+"?wait=0", "Cookie", "other=changes; "+user).poll(t)
	}
	d.wantAsked(0)
	polling := make(chan answer, 1)
	go func() { polling <- get(d.comet(a)+"?since="+at, "Cookie", user) }()
	held(t, defaultHub, a, 1)
	d.must(a, "news")
	receive(t, polling).wants(t, 200, "news")
	d.wantAsked(0)
	// Anything else is another question.
	for _, c := range [][]string{
		{d.comet(a + ",b"), "Cookie", user}, {d.comet(a), "Cookie", "PHPSESSID=43"}, {d.comet(a), "Cookie", user, "Host", "other.example"},
		{d.comet(a), "Cookie", user, "Authorization", "Basic eDp5"},
	} {
		get(c[0]+"?wait=0", c[1:]...)
		d.wantAsked(1)
	}
	d.reloadSame()
	get(d.comet(a)+"?wait=0", "Cookie", user).poll(t)
	d.wantAsked(0)
}

// reloadSame loads the configuration anew.
func (d *decider) reloadSame() {
	d.t.Helper()
	config := send(d.admin(), "GET", "http://127.0.0.1/config/", "").body
	if err := loadJSON(strings.Replace(config, `"grace_period":5000000000`, `"grace_period":5000000001`, 1)); err != nil {
		d.t.Fatal(err)
	}
}

func TestTheSitesRefusalReachesTheVisitor(t *testing.T) {
	d := authorized(t, "")
	for _, path := range []string{"/comet/a", "/comet/a?as=sse", "/comet/a?as=stream", "/comet.php?subscribed[a]=0", "/chat.php?timestamp=0", "/doorbell/1"} {
		a := get("http://" + d.site + path)
		a.wants(t, 401, "sign in")
		if h := a.header; h.Get("WWW-Authenticate") != "Form" || h.Get("Content-Type") != "text/x-sorry" || !strings.Contains(h.Get("Cache-Control"), "no-store") {
			t.Errorf("%s: %v", path, h)
		}
	}
	d.wantAsked(3) // about a, chat and 1
	refused(t, d.comet("a")).wants(t, 401, "sign in")
	send(plain, "POST", "http://"+d.site+"/doorbell/2", "").wants(t, 401, "sign in")
	if q := d.asked(); len(q) != 1 || q[0].Header.Get("Comet-Action") != "publish" || q[0].Header.Get("Comet-Channels") != "2" {
		t.Errorf("%v", q)
	}
	get(d.comet("comet.js")).wants(t, 200, "") // is nobody's secret
	for status, want := range map[int]int{403: 403, 302: 403} {
		d.answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/login")
			w.WriteHeader(status)
			fmt.Fprint(w, strings.Repeat("long ", 10_000))
		})
		a := get(d.comet(fmt.Sprint("status", status)))
		a.wants(t, want, "site")
		if len(a.body) > 1000 || a.header.Get("Location") != "" {
			t.Errorf("%d: %q %v", status, shortened(a.body), a.header)
		}
	}
}

func TestTheSiteMayNarrow(t *testing.T) {
	d := authorized(t, "")
	secret, a := unique("secret"), unique("a")
	const user = "PHPSESSID=42"
	answers := make(chan answer, 2)
	go func() { answers <- get(d.comet(secret+","+a), "Cookie", user) }()
	go func() {
		answers <- get("http://"+d.site+"/comet.php?subscribed["+secret+"]=0&subscribed["+a+"]=0&subscribed[b%2Cc]=0", "Cookie", user)
	}()
	held(t, defaultHub, a, 2)
	held(t, defaultHub, secret, 0)
	held(t, defaultHub, "b,c", 1)
	d.must(secret, "not to be heard")
	d.must(a, "news")
	for range 2 {
		got := receive(t, answers)
		got.wants(t, 200, "")
		if strings.Contains(got.body, "secret") || !strings.Contains(got.body, a) || got.header.Get("Comet-Denied") != secret {
			t.Errorf("%q %v", got.body, got.header)
		}
	}
	get(d.comet(secret), "Cookie", user).wants(t, 403, "to none of these channels")
	for query, told := range map[string]bool{"?as=sse": false, "?as=sse&beat=15": true, "?as=stream&beat=15": false} {
		r := read(t, plain, d.comet(secret+","+a)+query, "Cookie", user)
		text := <-r.text
		if want := "event: denied\ndata: {\"denied\":[\"" + secret + "\"],\"error\":\"" + siteDenies + "\"}\n\n"; strings.HasPrefix(text, want) != told || strings.Contains(text, secret) != told {
			t.Errorf("%s: %q", query, shortened(text))
		}
	}
}

func TestAWebSocketFollowsWhatTheSiteAllows(t *testing.T) {
	d := authorized(t, "")
	a, b, secret := unique("a"), unique("b"), unique("secret")
	url := strings.Replace(d.comet(a), "http", "ws", 1)
	c := dialed(t, url, "Cookie", "PHPSESSID=42")
	c.position()
	d.wantAsked(1)
	c.says(`{"subscribe":["` + b + `"]}`)
	if m := c.hears(); !slices.Equal(m.Subscribed, []string{b}) {
		t.Errorf("%+v", m)
	}
	if q := d.asked(); len(q) != 1 || q[0].Header.Get("Comet-Channels") != b || q[0].Header.Get("Cookie") != "PHPSESSID=42" {
		t.Errorf("%v", q)
	}
	c.says(`{"subscribe":["` + b + `"]}`) // is known
	c.hears()
	d.wantAsked(0)
	c.says(`{"subscribe":["` + secret + `","abc"]}`)
	if m := c.hears(); !slices.Equal(m.Subscribed, []string{"abc"}) {
		t.Errorf("%+v", m)
	}
	if m := c.hears(); !slices.Equal(m.Denied, []string{secret}) || m.Error == "" {
		t.Errorf("%+v", m)
	}
	d.must(secret, "1")
	d.must(b, "2")
	c.event(b, `"2"`)

	// What it was let in with says all: nobody is asked.
	c = dialed(t, strings.Replace(d.comet(secret+","+a), "http", "ws", 1), "Cookie", "PHPSESSID=42")
	if m := c.hears(); !slices.Equal(m.Denied, []string{secret}) || m.Error != siteDenies {
		t.Errorf("%+v", m)
	}
	c.position()
	d.asked()
	c.says(`{"subscribe":["a-more"]}`)
	if m := c.hears(); !slices.Equal(m.Subscribed, []string{"a-more"}) {
		t.Errorf("%+v", m)
	}
	d.wantAsked(0)
	d.answer(func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	c.says(`{"subscribe":["x"]}`)
	if m := c.hears(); !slices.Equal(m.Denied, []string{"x"}) || !strings.Contains(m.Error, "ask again later") {
		t.Errorf("%+v", m)
	}
}

// TestASiteThatCannotSay has who is new come back, and keeps the others.
func TestASiteThatCannotSay(t *testing.T) {
	d := authorized(t, "ttl 1s\ntimeout 1s")
	a := unique("a")
	get(d.comet(a)+"?wait=0", "Cookie", "PHPSESSID=1").poll(t)
	block := make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(block) }))
	for what, answers := range map[string]http.HandlerFunc{
		"it answered 500":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"it answered 404":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"did not answer in": func(http.ResponseWriter, *http.Request) { <-block },
		"too large":         func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 2<<20)) },
		"its Comet-Ttl":     func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Comet-Ttl", "soon") },
		"its Comet-User":    func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Comet-User", strings.Repeat("x", 300)) },
		"its Comet-Allow":   func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Comet-Allow", "100%") },
	} {
		d.answer(answers)
		name := unique("new")
		answer := get(d.comet(name), "Cookie", "PHPSESSID=2")
		answer.wants(t, 503, "cannot say for now")
		if answer.header.Get("Retry-After") == "" {
			t.Errorf("%s: %v", what, answer.header)
		}
		sse := get(d.comet(name)+"?as=sse", "Cookie", "PHPSESSID=2")
		if !strings.Contains(sse.body, "retry:") || sse.status != 200 {
			t.Errorf("%s: %d %q", what, sse.status, sse.body)
		}
		c := dialed(t, strings.Replace(d.comet(name), "http", "ws", 1), "Cookie", "PHPSESSID=2")
		c.closes(1013, "cannot say for now")
		get(d.comet(a)+"?wait=0", "Cookie", "PHPSESSID=1").poll(t)
	}
	if log := d.logs(); !strings.Contains(log, "the site does not say who may listen") || !strings.Contains(log, `"authorize":"/auth.php?x=1"`) {
		t.Error("the log does not say why")
	}
}

func TestAtMostSoManyAreAskedAboutAtOnce(t *testing.T) {
	d := authorized(t, "php_concurrency 2")
	var mu sync.Mutex
	now, most := 0, 0
	d.answer(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(20 * time.Millisecond)
		mu.Lock()
		now--
		mu.Unlock()
	})
	answers := make(chan answer, 20)
	for i := range cap(answers) {
		go func() { answers <- get(d.comet(fmt.Sprint("c", i%10)) + "?wait=0") }()
	}
	for range cap(answers) {
		receive(t, answers).wants(t, 200, "cursor")
	}
	if most != 2 {
		t.Errorf("%d at once", most)
	}
	if n := len(d.asked()); n != 10 {
		t.Errorf("%d questions about ten things", n)
	}
}

func TestAHoldEndsWithWhatTheSiteAllowed(t *testing.T) {
	d := authorized(t, "ttl 1s")
	d.answer(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Comet-Ttl", "2") })
	a := unique("a")
	c := dialed(t, strings.Replace(d.comet(a), "http", "ws", 1))
	stream := make(chan answer, 1)
	go func() { stream <- get(d.comet(a) + "?as=stream") }()
	poll := holding(d.comet(a))
	receive(t, poll).wants(t, 200, `"events":[]`)
	receive(t, stream).wants(t, 200, `"retry":`)
	c.closes(ws.StatusGoingAway, "come back")
	held(t, defaultHub, a, 0)
}

func TestForgedHeadersReachNobody(t *testing.T) {
	d := authorized(t, "")
	get(d.comet("a")+"?wait=0", "Cookie", "PHPSESSID=42", "Comet-Channels", "all", "Comet-User", "root", "Comet-Action", "x",
		"Grip-Hold", "response", "X-Original-URI", "/forged")
	q := d.asked()[0].Header
	if q.Get("Comet-Channels") != "a" || q.Get("Comet-User")+q.Get("Grip-Hold") != "" || q.Get("X-Original-Uri") != "/comet/a?wait=0" || q.Get("Comet-Action") != "listen" {
		t.Errorf("%v", q)
	}
}

func TestAVisitorWithALotOfCookies(t *testing.T) {
	d := authorized(t, "cookies php")
	noise := "a=" + strings.Repeat("x", 12_000)
	get(d.comet("a")+"?wait=0", "Cookie", noise+"; PHPSESSID=1").wants(t, 200, "")
	get(d.comet("a")+"?wait=0", "Cookie", strings.Repeat(noise, 100)).wants(t, 431, "") // is more than Caddy takes
	get(d.comet("a")+"?wait=0", "Cookie", "PHPSESSID="+strings.Repeat("x", 9000)).wants(t, 431, "Name those that count")
	get(d.comet(strings.Repeat("long-name-of-a-channel,", 400)+"a")+"?wait=0", "Cookie", "PHPSESSID=1").wants(t, 400, "name fewer")
}

// TestNobodyHidesHisSessionFromAKick behind cookies that are none.
func TestNobodyHidesHisSessionFromAKick(t *testing.T) {
	d := authorized(t, "cookies php")
	a := unique("a")
	cookies := func(junk int) string { return strings.Repeat("__Secure-PHPSESSID=x; ", junk) + "PHPSESSID=42" }
	stream := make(chan answer, 1)
	go func() { stream <- get(d.comet(a)+"?as=stream", "Cookie", cookies(50)) }()
	held(t, defaultHub, a, 1)
	send(plain, "DELETE", "http://"+d.publish+"/_holds?session=42", "").wants(t, 200, `"ended":1`)
	receive(t, stream).wants(t, 200, `"retry":`)
	get(d.comet(a)+"?wait=0", "Cookie", cookies(100)).wants(t, 431, "name those that count")
}

// TestScriptsOfOtherSitesAreNotTold what a visitor's session may hear.
func TestScriptsOfOtherSitesAreNotTold(t *testing.T) {
	d := authorized(t, "")
	const user = "PHPSESSID=42"
	send(plain, "POST", "http://"+d.site+"/doorbell/3", "", "Cookie", user).wants(t, 200, "")
	for _, url := range []string{d.comet("a") + "?wait=0&callback=f", "http://" + d.site + "/doorbell/3"} {
		for _, c := range []struct {
			header []string
			status int
		}{
			{[]string{"Sec-Fetch-Site", "same-origin"}, 200},
			{[]string{"Sec-Fetch-Site", "none"}, 200},
			{[]string{"Sec-Fetch-Site", "cross-site"}, 403},
			{[]string{"Sec-Fetch-Site", "same-site"}, 403},
			{[]string{"Sec-Fetch-Site", "cross-site", "Referer", "http://" + d.site + "/"}, 403},
			{nil, 403},
			{[]string{"Referer", "http://" + d.site + "/page"}, 200},
			{[]string{"Referer", "http://evil.example/" + d.site}, 403},
			{[]string{"Origin", "http://evil.example"}, 403},
		} {
			a := get(url, append([]string{"Cookie", user}, c.header...)...)
			if a.status != c.status || a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %q: %d %v", url, c.header, a.status, a.header)
			}
		}
	}
}

// TestAPictureOnAnotherSitesPagePublishesNothing by its visitor's session.
func TestAPictureOnAnotherSitesPagePublishesNothing(t *testing.T) {
	d := authorized(t, "")
	dir := t.TempDir()
	d.reload("", "http://SITE {\nbind 127.0.0.1\ncomet /comet.php novcomet {\nanswer_publish\nwatch "+dir+"/*.comet\ntoken "+tokenKey+"\n}\n}")
	url := "http://" + d.site + "/comet.php?publish=a"
	cookie := "comet_token=" + tokenOf(t, tokenKey, defaultHub, "42", "a")
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Referer", "http://evil.example/"}, nil,
	} {
		get(url, append(header, "Cookie", cookie)...).wants(t, 403, "it publishes nothing")
	}
	get(url, "Sec-Fetch-Site", "same-origin").wants(t, 401, "a token is needed")
	get(url, "Sec-Fetch-Site", "same-origin", "Cookie", cookie).wants(t, 200, "true")
	get(strings.Replace(url, "=a", "=b", 1), "Sec-Fetch-Site", "same-origin", "Cookie", cookie).wants(t, 403, "none of these channels")
}

func TestNamedOriginsMayListenWithTheirVisitorsCookies(t *testing.T) {
	s := start(t, "", "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\norigins https://app.example http://b.example:8080\n}\n}")
	address := "http://" + s.site + "/comet/a?wait=0"
	for origin, yes := range map[string]bool{
		"https://app.example": true, "http://b.example:8080": true, "": false, "http://app.example": false,
		"https://app.example.evil.example": false, "https://app.example:443": false, "null": false,
	} {
		var header []string
		if origin != "" {
			header = []string{"Origin", origin}
		}
		a := get(address, append(header, "Cookie", "x=1")...)
		h := a.header
		if (h.Get("Access-Control-Allow-Origin") == origin && origin != "") != yes || (h.Get("Access-Control-Allow-Credentials") == "true") != yes || strings.Contains(h.Get("Access-Control-Expose-Headers"), "Comet-Denied") != yes || h.Get("Vary") != "Origin" {
			t.Errorf("%s: %v", origin, h)
		}
		if want := map[bool]int{true: 200, false: 403}[yes || origin == ""]; a.status != want {
			t.Errorf("%s: %d", origin, a.status)
		}
		before := send(plain, "OPTIONS", address, "", append(header, "Access-Control-Request-Method", "GET")...)
		if (before.header.Get("Access-Control-Allow-Methods") != "") != yes {
			t.Errorf("%s: %v", origin, before.header)
		}
		if yes {
			dialed(t, "ws"+strings.TrimPrefix(address, "http"), "Origin", origin, "Cookie", "x=1").position()
		}
	}
	// A star in the answer would stand for no header where cookies come along.
	pre := send(plain, "OPTIONS", address, "", "Origin", "https://app.example", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization")
	if allowed := pre.header.Get("Access-Control-Allow-Headers"); pre.status != 204 || !strings.Contains(allowed, "Authorization") || !strings.Contains(allowed, "Last-Event-ID") {
		t.Errorf("%d, headers %q", pre.status, allowed)
	}
}

// TestAQuestionThatComesBackIsRefused where authorize's path leads to comet.
func TestAQuestionThatComesBackIsRefused(t *testing.T) {
	s := start(t, "", "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nauthorize /comet/auth\n}\ncomet /far {\nauthorize /proxied\n}\nreverse_proxy /proxied SITE {\nrewrite /far\n}\n}")
	get("http://"+s.site+"/comet/a").wants(t, 503, "cannot say for now")
	get("http://"+s.site+"/far").wants(t, 503, "cannot say for now")
	eventually(t, "the log says why", func() bool {
		return strings.Count(s.logs(), "a sub-request of comet has come back to comet") == 2 && strings.Contains(s.logs(), "it answered 508")
	})
}

func TestTheCommandKicks(t *testing.T) {
	d := authorized(t, "")
	a, b := unique("a"), unique("b")
	streams := make(chan answer, 3)
	for _, c := range [][2]string{{a, "PHPSESSID=42"}, {b, "PHPSESSID=42"}, {b, "PHPSESSID=43"}} {
		go func() { streams <- get(d.comet(c[0])+"?as=stream", "Cookie", c[1]) }()
	}
	held(t, defaultHub, a, 1)
	held(t, defaultHub, b, 2)
	d.wantAsked(3)
	address := "unix/" + d.dir + "/admin.sock"
	out, errs, code := run(t, "", "kick", "--address", address, "--user", "42", "--channel", b)
	if out != "1 ended\n" || code != 0 {
		t.Errorf("%d %q %q", code, out, errs)
	}
	receive(t, streams).wants(t, 200, `"retry":`)
	held(t, defaultHub, b, 1)
	get(d.comet(b)+"?wait=0", "Cookie", "PHPSESSID=42").poll(t)
	d.wantAsked(1)
	get(d.comet(a)+"?wait=0", "Cookie", "PHPSESSID=42").poll(t)
	d.wantAsked(0)
	if out, errs, code = run(t, "", "kick", "--address", address, "--session", "43"); out != "1 ended\n" || code != 0 {
		t.Errorf("%d %q %q", code, out, errs)
	}
	receive(t, streams).wants(t, 200, `"retry":`)
	if _, errs, code = run(t, "", "kick", "--address", address); code == 0 || !strings.Contains(errs, "--user, --session or --channel") {
		t.Errorf("%d %q", code, errs)
	}
}

func TestTheEndpointKicks(t *testing.T) {
	password, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, "", "http://SITE {\nbind 127.0.0.1\nbasic_auth /comet/* {\nanna "+string(password)+"\n}\ncomet /comet/*\ncomet /doorbell/* doorbell\n}\n"+publisherDoor)
	kick := func(query string) answer { return send(plain, "DELETE", "http://"+s.publish+"/_holds"+query, "") }
	for query, part := range map[string]string{
		"": "say whose holds are to end", "?": "say whose", "?user=": "one value", "?user=1&user=2": "one value", "?name=x": "none of user", "?user=%zz": "cannot be read",
	} {
		kick(query).wants(t, 400, part)
	}
	kick("?user=nobody+here").wants(t, 200, `"ended":0`)
	send(plain, "POST", "http://"+s.publish+"/_holds", "").wants(t, 405, "DELETE")
	send(plain, "DELETE", "http://"+s.publish+"/_holds?user=1", "", "Origin", "http://evil.example").wants(t, 403, "browsers")

	// Whom one of Caddy's own handlers has let in has a name, and what is held for an
	// event variable is held on a channel of the hub, too.
	n := newNumber()
	signedIn := make(chan answer, 1)
	go func() {
		signedIn <- get("http://"+s.site+"/comet/a", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("anna:secret")))
	}()
	bell, other := holding("http://"+s.site+"/doorbell/"+n), holding("http://"+s.site+"/doorbell/"+n)
	held(t, defaultHub, "a", 1)
	held(t, bells, n, 2)
	kick("?user=anna").wants(t, 200, `"ended":1`)
	receive(t, signedIn).wants(t, 200, `"events":[]`)
	kick("?channel="+n).wants(t, 200, `"ended":2`)
	receive(t, bell).wants(t, 503, "")
	receive(t, other).wants(t, 503, "")
}
