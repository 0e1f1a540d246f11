package caddymodule

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-comet/caddy-comet/internal/samples"
)

const statusSite = `
http://SITE {
	bind 127.0.0.1
	comet /comet/*
	comet /nov novcomet {
		watch DIR/*.comet
	}
	comet /bell/* doorbell
}
http://PUBLISH {
	bind 127.0.0.1
	comet_status /status*
	comet_publish
}
`

func statusJSON(t *testing.T, a answer) (s samples.Status) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &s); err != nil || a.status != 200 {
		t.Fatalf("no figures: %d %q %v", a.status, shortened(a.body), a.err)
	}
	return s
}

// told opens a stream of server-sent events, and returns what reads the data of the next
// one that has some; its type where that is not message.
func told(t *testing.T, address string) (next func() (kind, data string)) {
	t.Helper()
	lines := stream(t, address)
	return func() (kind, data string) {
		t.Helper()
		for lines.Scan() {
			if k, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				kind = k
			}
			if d, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return kind, d
			}
		}
		t.Fatalf("the stream has ended: %v", lines.Err())
		return "", ""
	}
}

// TestTheStatusPageShowsWhatIsHeld: by dialect and transport, as JSON, in the stream, and
// afterwards in the history.
func TestTheStatusPageShowsWhatIsHeld(t *testing.T) {
	s := start(t, "comet {\nmax_holds 10\n}", statusSite)
	name, number := unique("orders"), "4711"
	base := "http://" + s.publish + "/status/"
	poll := holding("http://" + s.site + "/comet/" + name)
	nov := holding("http://" + s.site + "/nov?subscribed[" + name + "]=0")
	bell := holding("http://" + s.site + "/bell/" + number)
	held(t, defaultHub, name, 2)
	held(t, defaultHub+doorbellNamespace, number, 1)

	var now samples.Status
	eventually(t, "these alone are held", func() bool {
		now = statusJSON(t, get(base+"status.json"))
		return now.Held == 3
	})
	if now.Held != 3 || now.Hub != "" || now.Since.IsZero() || !now.Tail || now.Process == nil || len(now.Hubs) != 1 || now.Hubs[0].Hub != defaultHub || now.Hubs[0].Held != 3 {
		t.Errorf("%+v", now)
	}
	by := make(map[string]int)
	for _, d := range now.Dialects {
		for transport, n := range d.Transport {
			by[d.Dialect+" "+transport] = n
		}
	}
	if by["native poll"] != 1 || by["novcomet poll"] != 1 || by["doorbell script"] != 1 || len(by) != 3 {
		t.Errorf("%v", by)
	}
	if i := slices.IndexFunc(now.Limits, func(l samples.Limit) bool { return l.Name == "max_holds" }); i < 0 || now.Limits[i].Used != 2 || now.Limits[i].Most != 10 {
		t.Errorf("%+v", now.Limits)
	}
	if len(now.Watches) != 1 || now.Watches[0].Glob != s.dir+"/*.comet" || now.Watches[0].Mode == "" {
		t.Errorf("%+v", now.Watches)
	}

	next := told(t, base+"live")
	for { // the hub is other tests', too, some of whose clients come once more
		_, data := next()
		if live := statusJSON(t, answer{status: 200, body: data}); live.Held == 3 {
			break
		}
	}
	s.must(name, "x")
	receive(t, poll)
	receive(t, nov)
	for { // a second later
		_, data := next()
		if live := statusJSON(t, answer{status: 200, body: data}); live.Held == 1 && live.Hubs[0].Sources["post"] > 0 {
			break
		}
	}
	var past struct {
		T []int64
		V map[string][]*float64
	}
	a := get(base + "history.json")
	if err := json.Unmarshal([]byte(a.body), &past); err != nil {
		t.Fatal(err)
	}
	column := past.V["held native"]
	if len(past.T) == 0 || len(column) != len(past.T) || !slices.ContainsFunc(column, func(v *float64) bool { return v != nil && *v == 1 }) {
		t.Errorf("the history is %s", shortened(a.body))
	}
	median := past.V["median"]
	if !slices.ContainsFunc(median, func(v *float64) bool { return v != nil }) {
		t.Errorf("the history has no time from publish to answer: %s", shortened(a.body))
	}
	send(plain, "POST", "http://"+s.site+"/bell/"+number, "").wants(t, 200, "set")
	receive(t, bell)
}

// TestTheStatusPageOfOneHubHasNothingOfOthers, neither figures nor channels nor events.
func TestTheStatusPageOfOneHubHasNothingOfOthers(t *testing.T) {
	shop, forum := unique("shop"), unique("forum")
	s := start(t, "comet {\nhub "+shop+"\nhub "+forum+" {\nwatch DIR/forum/*.x\n}\n}", `
http://SITE {
	bind 127.0.0.1
	comet /comet/* {
		hub `+forum+`
	}
	comet_status /status* {
		hub `+shop+`
		allow everyone
	}
	comet_status /all* {
		allow everyone
	}
}`)
	base := "http://" + s.site + "/status/"
	poll := holding("http://" + s.site + "/comet/secret")
	held(t, forum, "secret", 1)
	for _, path := range []string{"status.json", "history.json", "history.json?by=minutes", "channels.json"} {
		a := get(base + path)
		a.wants(t, 200, "")
		if strings.Contains(a.body, forum) || strings.Contains(a.body, "secret") || strings.Contains(a.body, "goroutines") {
			t.Errorf("%s tells %s", path, a.body)
		}
		if path == "status.json" && statusJSON(t, a).Held != 0 {
			t.Errorf("what others have held counts: %s", a.body)
		}
	}
	get(base+"channels.json?hub="+forum).wants(t, 403, "this page is of the hub "+shop+" alone")
	get(base+"events?channel=secret&hub="+forum).wants(t, 403, "this page is of the hub "+shop+" alone")
	all := statusJSON(t, get("http://"+s.site+"/all/status.json"))
	if len(all.Hubs) != 2 || all.Held != 1 {
		t.Errorf("%+v", all)
	}
	get("http://"+s.site+"/all/channels.json?hub="+forum).wants(t, 200, `"channel":"secret","held":1`)
	get("http://"+s.site+"/all/channels.json?hub=none").wants(t, 404, `there is no hub "none"`)
	h, _ := findHub(forum)
	h.Delete("secret")
	send(s.admin(), "POST", "http://127.0.0.1/comet/"+forum+"/secret", "x").wants(t, 200, "")
	receive(t, poll)
}

// TestTheStatusPageTailsChannels: what is kept of them, and what comes; no more of an
// event than one looks at; counted as held.
func TestTheStatusPageTailsChannels(t *testing.T) {
	s := start(t, "", statusSite)
	name := unique("chat")
	base := "http://" + s.publish + "/status/"
	const hostile = `</script><img src=x onerror=alert(1)>`
	s.must(name, hostile)
	next := told(t, base+"events?channel="+name)
	event := func() (e tailed) {
		t.Helper()
		kind, data := next()
		if err := json.Unmarshal([]byte(data), &e); err != nil || kind != "" {
			t.Fatalf("%s %q: %v", kind, data, err)
		}
		return e
	}
	if e := event(); e.Data != hostile || e.Channel != name || e.Type != "message" || e.Size != len(hostile) {
		t.Errorf("%+v", e)
	}
	held(t, defaultHub, name, 1)
	if now := statusJSON(t, get(base+"status.json")); !slices.ContainsFunc(now.Dialects, func(d samples.Dialect) bool { return d.Dialect == samples.Watching && d.Held == 1 }) {
		t.Errorf("%+v", now.Dialects)
	}
	get(base+"channels.json").wants(t, 200, `"channel":"`+name+`","held":1`)
	s.must(name, strings.Repeat("ä", tailBytes))
	if e := event(); e.Size != 2*tailBytes || len(e.Data) != tailBytes || strings.Trim(e.Data, "ä") != "" {
		t.Errorf("%d of %d bytes", len(e.Data), e.Size)
	}
	s.must(name, "x"+strings.Repeat("ä", tailBytes))
	if e := event(); len(e.Data) != tailBytes-1 || strings.Trim(e.Data[1:], "ä") != "" {
		t.Errorf("cut within a letter: %d bytes", len(e.Data))
	}
	s.must(name, "\xff\x00")
	if e := event(); !e.Binary || e.Data != "/wA=" {
		t.Errorf("%+v", e)
	}
	for path, want := range map[string]string{
		"events":               "name the channels",
		"events?channel=":      "not a channel name",
		"events?channel=a%00b": "not a channel name",
		"events?" + strings.Repeat("channel=a&", maxTailChannels+1): "name the channels",
	} {
		get(base+path).wants(t, 400, want)
	}
	get(base+"events?channel=a", "Last-Event-ID", "why").wants(t, 400, "cursor")
}

// TestOneStatusPageTooManyIsToldSo, and there is room again when another goes.
func TestOneStatusPageTooManyIsToldSo(t *testing.T) {
	s := start(t, "", statusSite)
	base := "http://" + s.publish + "/status/"
	for path, n := range map[string]*atomic.Int64{"live": &lookers, "events?channel=a": &tails} {
		most := map[string]int64{"live": livePages, "events?channel=a": maxTails}[path]
		n.Add(most)
		a := get(base + path)
		a.wants(t, 503, "close one")
		if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
			t.Errorf("%s is refused as %s", path, kind)
		}
		if got := n.Add(-1); got != most-1 {
			t.Errorf("%s: %d are counted after a refusal, want %d", path, got, most-1)
		}
		ctx, leave := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s, the last: %v %v", path, res, err)
		}
		leave()
		n.Add(1 - most)
		eventually(t, "nobody is counted", func() bool { return n.Load() == 0 })
	}
}

// TestOfManyEventsAtOnceTheLastAreShown, and how many others there were.
func TestOfManyEventsAtOnceTheLastAreShown(t *testing.T) {
	s := start(t, "comet {\nhistory 1000\n}", statusSite)
	name := unique("busy")
	for range tailEvents + 7 {
		s.must(name, "x")
	}
	s.must(name, "last")
	next := told(t, "http://"+s.publish+"/status/events?channel="+name)
	if kind, data := next(); kind != "more" || data != "8" {
		t.Errorf("%s %q", kind, data)
	}
	for i := range tailEvents {
		if _, data := next(); strings.Contains(data, `"data":"last"`) != (i == tailEvents-1) {
			t.Errorf("%d: %s", i, data)
		}
	}
}

// TestTheStatusPageIsForThisMachine unless the configuration says else.
func TestTheStatusPageIsForThisMachine(t *testing.T) {
	const page = "/status/"
	sites := `
http://SITE {
	bind 127.0.0.1
	comet_status /status*
}
http:// {
	bind unix/SOCKET
	comet_status /status*
}
http://PUBLISH {
	bind 127.0.0.1
	route /users/* {
		basic_auth {
			ann $2a$04$M2ob5LAzq1CFcqz9yMK81OHcKlfsGzF3mbJoeOChwY/cCFJZBsyjW
		}
		comet_status {
			allow users
		}
	}
	comet_status /open/* {
		allow users
	}
	comet_status /everyone/* {
		allow everyone
	}
}
http://evil.example:PORT, http://[::1]:PORT {
	bind 127.0.0.1
	comet_status /status*
}`
	s := start(t, "", sites)
	local, other := "http://"+s.site+page, "http://"+s.publish
	get(local).wants(t, 200, "<!DOCTYPE html>")
	get(local, "Host", "evil.example").wants(t, 403, `the Host "evil.example" is not its own`)
	send(overSocket(s.socket), "GET", "http://localhost"+page, "").wants(t, 200, "<!DOCTYPE html>")
	send(overSocket(s.socket), "GET", "http://evil.example"+page, "").wants(t, 403, `the Host "evil.example" is not its own`)
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		get(local, header, "127.0.0.1").wants(t, 403, "came through a proxy ("+header+" is set)")
		send(overSocket(s.socket), "GET", "http://localhost"+page, "", header, "x").wants(t, 403, "came through a proxy")
	}
	for _, path := range []string{"", "status.json", "history.json", "live", "events?channel=a", "channels.json", "page.js"} {
		get(local+path, "Sec-Fetch-Site", "cross-site").wants(t, 403, "a page of another site asks")
		get(local+path, "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe").wants(t, 403, "a page of another site asks")
		get(other+"/open/"+path).wants(t, 403, "put basic_auth before comet_status")
		get(other+"/users/"+path).wants(t, 401, "")
	}
	get(local, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document").wants(t, 200, "<!DOCTYPE html>")
	get(other+"/users/", "Authorization", "Basic YW5uOmhpY2N1cA==").wants(t, 200, "<!DOCTYPE html>")
	get(other+"/everyone/", "X-Forwarded-For", "192.0.2.1", "Host", s.publish).wants(t, 200, "<!DOCTYPE html>")
	send(plain, "POST", local, "x").wants(t, 405, "POST is not for this address")

	p := &StatusPage{app: new(App)}
	r, _ := http.NewRequest("GET", local, nil)
	for _, peer := range []string{"192.0.2.1:1234", "@", "", "[2001:db8::1]:1"} {
		if r.RemoteAddr = peer; p.admit(r) == nil {
			t.Errorf("%q is let in", peer)
		}
	}
	for _, peer := range []string{"127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"} {
		if r.RemoteAddr = peer; p.admit(r) != nil {
			t.Errorf("%q is refused: %v", peer, p.admit(r))
		}
	}
}

// TestTheStatusPageKeepsItselfToItself: nothing of elsewhere runs in it, frames it or
// reads it, and its addresses lead nowhere else.
func TestTheStatusPageKeepsItselfToItself(t *testing.T) {
	s := start(t, "", statusSite+"\nhttp://localhost:PORT {\nbind 127.0.0.1\nhandle_path /below* {\ncomet_status\n}\ncomet_status\n}")
	base := "http://" + s.publish + "/status"
	for _, path := range []string{"/", "/status.json", "/page.js", "/page.css", "/icon.svg"} {
		a := get(base + path)
		a.wants(t, 200, "")
		for name, part := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; ", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
			"Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-",
		} {
			if !strings.Contains(a.header.Get(name), part) {
				t.Errorf("%s: %s is %q", path, name, a.header.Get(name))
			}
		}
		if a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: any page may read it", path)
		}
	}
	if a := get(base+"/", "Accept", "application/json"); statusJSON(t, a).Version == "" {
		t.Errorf("%s", a.body)
	}
	get(base+"/", "Accept", "text/html,application/json").wants(t, 200, "<!DOCTYPE html>")
	get(base+"/other.js").wants(t, 404, "the status page has no other.js")

	client := *plain
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	at := "http://" + s.site
	for path, want := range map[string]string{
		"/status": "./status/", "//evil.example": "./evil.example/", "/a:b": "./a:b/", "/%5Cevil": "./%5Cevil/", "/below": "./below/",
	} {
		a := send(&client, "GET", at+path, "", "Host", "localhost:"+s.site[strings.LastIndexByte(s.site, ':')+1:])
		if path == "//evil.example" {
			if a.status != 404 {
				t.Errorf("%s: %d %q", path, a.status, a.header.Get("Location"))
			}
			continue
		}
		to, err := url.Parse(a.header.Get("Location"))
		if a.status != 308 || a.header.Get("Location") != want || err != nil || to.Host != "" {
			t.Errorf("%s: %d %q", path, a.status, a.header.Get("Location"))
		}
	}
	get(at+"/below/", "Host", "localhost").wants(t, 200, "<!DOCTYPE html>")
}

// TestHideEventsHidesThem, and the channels' names.
func TestHideEventsHidesThem(t *testing.T) {
	s := start(t, "", strings.Replace(statusSite, "comet_status /status*", "comet_status /status* {\nhide_events\n}", 1))
	base := "http://" + s.publish + "/status/"
	get(base+"events?channel=a").wants(t, 403, "because of hide_events")
	get(base+"channels.json").wants(t, 403, "because of hide_events")
	if statusJSON(t, get(base+"status.json")).Tail {
		t.Error("the page offers events")
	}
}

// TestAReloadKeepsTheStatusPagesFigures, and one that takes the page out forgets them.
func TestAReloadKeepsTheStatusPagesFigures(t *testing.T) {
	s := start(t, "", statusSite)
	base := "http://" + s.publish + "/status/"
	_, first := told(t, base+"live")()
	s.reload("comet {\nmax_holds 7\n}", statusSite)
	now := statusJSON(t, get(base+"status.json"))
	if since := statusJSON(t, answer{status: 200, body: first}).Since; !now.Since.Equal(since) {
		t.Errorf("kept since %s, and before the reload since %s", now.Since, since)
	}
	s.reload("", simple)
	if v := sampling.recorder.Views(); len(v) > 0 {
		t.Errorf("without a page figures are kept of %q", v)
	}
	s.reload("", statusSite)
	told(t, base+"live")()
}

// TestTheStatusPageTellsTheLastWarnings as the log has them.
func TestTheStatusPageTellsTheLastWarnings(t *testing.T) {
	s := start(t, "", strings.Replace(statusSite, "DIR/*.comet", "DIR/absent/*.comet", 1))
	base := "http://" + s.publish + "/status/status.json"
	eventually(t, "the warning", func() bool {
		return slices.ContainsFunc(statusJSON(t, get(base)).Problems, func(p samples.Problem) bool {
			return p.Level == "warn" && strings.Contains(p.Detail, s.dir+"/absent")
		})
	})
	if !strings.Contains(s.logs(), s.dir+"/absent") {
		t.Error("it is not in the log")
	}
	if err := os.Mkdir(s.dir+"/absent", 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestMistakesOfAStatusPageAreErrors, in the Caddyfile and when it is loaded.
func TestMistakesOfAStatusPageAreErrors(t *testing.T) {
	for text, want := range map[string]string{
		"comet_status shop":                              "comet_status takes no word but a matcher; the hub goes into the block: hub shop",
		"comet_status shop /x":                           "the matcher goes first: comet_status /x shop",
		"comet_status {\nalow users\n}":                  `unknown subdirective "alow" of comet_status; did you mean "allow"?`,
		"comet_status {\nallow\n}":                       "allow takes users or everyone",
		"comet_status {\nallow nobody\n}":                `allow "nobody": allow users (whom basic_auth lets in) or allow everyone`,
		"comet_status {\nallow \"\"\n}":                  "allow: users or everyone",
		"comet_status {\nallow users\nallow everyone\n}": "allow is set twice in comet_status",
		"comet_status {\nhide_events yes\n}":             "hide_events takes no argument",
	} {
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(":8080 {\n"+text+"\n}\n"), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is\n\t%v\nand should say\n\t%s", text, err, want)
		}
	}
	s := newServer(t)
	hub := unique("shop")
	for text, want := range map[string]string{
		"comet_status":                       "every user of this machine reaches a port, so put basic_auth before the page and write comet_status { allow users }",
		"comet_status {\nhub nohub\n}":       `hub "nohub" is not declared; declared are ` + hub,
		"comet_status {\nhub " + hub + "\n}": "every user of this machine reaches a port",
	} {
		err := s.load("comet {\nhub "+hub+"\n}", "http://SITE {\nbind 127.0.0.1\n"+text+"\n}")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is\n\t%v\nand should say\n\t%s", text, err, want)
		}
	}
	for _, address := range []string{"unix/SOCKET|0600"} {
		if err := s.load("comet {\nhub "+hub+"\n}", "http:// {\nbind "+address+"\ncomet_status\n}"); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := loadJSON(`{"admin":{"disabled":true},"apps":{"http":{"servers":{"a":{"listen":["` + s.site + `"],"routes":[{"handle":[{"handler":"comet_status","allow":"nobody"}]}]}}}}}`); err == nil || !strings.Contains(err.Error(), `allow "nobody"`) {
		t.Errorf("by JSON: %v", err)
	}
}
