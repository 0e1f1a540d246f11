package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/log"
)

// ringing is a site with event variables and native comet, both in the default
// hub.
const ringing = `
http://SITE {
	bind 127.0.0.1
	comet /doorbell/* doorbell
	comet /comet/*
}
http://PUBLISH {
	bind 127.0.0.1
	comet_publish
}
`

// bells is the namespace of the default hub's event variables.
const bells = defaultHub + "/doorbell"

// newNumber returns an event variable that no other test has.
func newNumber() string { return unique("7700") }

// TestAnEventVariableIsWaitedForAndStaysSet, as S2 says: any number of clients
// wait, one POST answers all, and who comes later is answered at once.
func TestAnEventVariableIsWaitedForAndStaysSet(t *testing.T) {
	s := start(t, "", ringing)
	n := newNumber()
	url := "http://" + s.site + "/doorbell/" + n
	first, second := holding(url), holding(url+"?nocache=1")
	held(t, bells, n, 2)
	send(plain, "POST", url, "").wants(t, 200, "set\n")
	for _, a := range []answer{receive(t, first), receive(t, second), receive(t, holding(url)), receive(t, holding(url))} {
		if a.wants(t, 200, ""); a.body != "doorbell("+n+");" {
			t.Errorf("got %q", a.body)
		}
		for name, want := range map[string]string{
			"Content-Type": "text/javascript; charset=utf-8", "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin",
			"Cache-Control": "no-store, no-transform", "X-Content-Type-Options": "nosniff",
		} {
			if a.header.Get(name) != want {
				t.Errorf("%s: %q", name, a.header.Get(name))
			}
		}
	}
	send(plain, "POST", url, "").wants(t, 200, "set\n")
	receive(t, holding(url)).wants(t, 200, "doorbell("+n+");")
}

// TestNumbersAreDigitsAsTheyWereWritten, and others are none.
func TestNumbersAreDigitsAsTheyWereWritten(t *testing.T) {
	s := start(t, "", ringing)
	base := "http://" + s.site + "/doorbell/"
	for _, n := range []string{strings.Repeat("9", 64), "0" + newNumber(), "000", newNumber()} {
		send(plain, "POST", base+n, "").wants(t, 200, "set")
		if a := receive(t, holding(base+n)); a.body != "doorbell("+n+");" {
			t.Errorf("%s: %d %q %v", n, a.status, a.body, a.err)
		}
	}
	for path, want := range map[string]string{
		strings.Repeat("9", 65): "65 characters", "": "no number is given", "a": "digits and nothing else", "-1": "digits and nothing else",
		"1%3Balert(1)": "digits and nothing else", "1%00": "digits and nothing else", "%D9%A1": "digits and nothing else",
	} {
		for _, method := range []string{"GET", "POST"} {
			a := send(plain, method, base+path, "")
			if a.wants(t, 400, want); a.header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s %s: a page of another site cannot read why", method, path)
			}
		}
	}
}

// TestEveryMethodOfAnEventVariableHasItsAnswer, also to a page of another site,
// whose browser asks first.
func TestEveryMethodOfAnEventVariableHasItsAnswer(t *testing.T) {
	s := start(t, "", ringing)
	url := "http://" + s.site + "/doorbell/" + newNumber()
	for _, c := range []struct {
		method string
		status int
		want   string
	}{
		{"PUT", 405, "POST sets it"}, {"DELETE", 405, "POST sets it"}, {"PATCH", 405, "POST sets it"}, {"OPTIONS", 204, ""}, {"HEAD", 200, ""},
	} {
		a := send(plain, c.method, url, "", "Origin", "https://other.example")
		a.wants(t, c.status, c.want)
		if c.method != "HEAD" && a.header.Get("Allow") != "GET, HEAD, POST, OPTIONS" {
			t.Errorf("%s: Allow: %q", c.method, a.header.Get("Allow"))
		}
		if a.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %v", c.method, a.header)
		}
		if c.method == "OPTIONS" && (!strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "POST") || !strings.HasSuffix(a.header.Get("Access-Control-Allow-Headers"), "*")) {
			t.Errorf("a POST of JSON would not be let through: %v", a.header)
		}
	}
	send(plain, "POST", url, "{}", "Origin", "null", "Content-Type", "application/json").wants(t, 200, "set")
	get(url, "Origin", "https://other.example").wants(t, 200, "doorbell(")
}

// TestWhatIsSentWithAPOSTIsIgnored: none, a small one, a large one, one that
// does not come.
func TestWhatIsSentWithAPOSTIsIgnored(t *testing.T) {
	s := start(t, "", ringing)
	big := strings.Repeat("x", 1<<20)
	for name, body := range map[string]string{
		"none":          "\r\n",
		"empty":         "Content-Length: 0\r\n\r\n",
		"small":         "Content-Length: 4\r\n\r\nbody",
		"large":         fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(big), big),
		"endless":       "Content-Length: 900000000\r\n\r\n",
		"slow":          "Content-Length: 5\r\n\r\nhel",
		"chunks":        "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
		"broken chunks": "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			n := newNumber()
			_, r := dial(t, s.site, "POST /doorbell/"+n+" HTTP/1.1\r\nHost: 127.0.0.1\r\n"+body)
			next(t, r, "POST").wants(t, 200, "set")
			receive(t, holding("http://"+s.site+"/doorbell/"+n)).wants(t, 200, "doorbell("+n+");")
		})
	}
	n := newNumber()
	c, r := dial(t, s.site, "POST /doorbell/"+n+" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\nbody")
	next(t, r, "POST").wants(t, 200, "set")
	fmt.Fprintf(c, "GET /doorbell/%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", n)
	next(t, r, "GET").wants(t, 200, "doorbell("+n+");")
}

// TestNumbersLiveApartFromChannels of the same hub, in both directions.
func TestNumbersLiveApartFromChannels(t *testing.T) {
	s := start(t, "", ringing)
	n := newNumber()
	url := "http://" + s.site + "/doorbell/" + n
	bell, poll := holding(url), holding("http://"+s.site+"/comet/"+n)
	held(t, bells, n, 1)
	held(t, defaultHub, n, 1)
	s.must(n, "of the channel")
	if got := receive(t, poll).poll(t); len(got.Events) != 1 {
		t.Errorf("the poll got %+v", got)
	}
	select {
	case a := <-bell:
		t.Fatalf("the channel rang the bell: %+v", a)
	default:
	}
	send(plain, "POST", url, "").wants(t, 200, "set")
	receive(t, bell).wants(t, 200, "doorbell(")
	if got := get("http://" + s.site + "/comet/" + n + "?since=all&wait=0").poll(t); len(got.Events) != 1 || string(got.Events[0].Data) != `"of the channel"` {
		t.Errorf("the channel has %+v", got)
	}
	if a := get("http://" + s.publish + "/"); strings.Contains(a.body, "doorbell") {
		t.Errorf("a publisher sees %s", a.body)
	}
}

// TestKeepIsACount: for one number too many the one that was set longest ago is
// forgotten; one that is waited for stays; where all are, it is 503.
func TestKeepIsACount(t *testing.T) {
	name := unique("counted")
	s := start(t, "comet {\nhub "+name+"\n}", "http://SITE {\nbind 127.0.0.1\ncomet doorbell {\nhub "+name+"\nkeep 3\n}\n}")
	ns := name + "/doorbell"
	base := "http://" + s.site + "/"
	set := func(n string) answer { return send(plain, "POST", base+n, "") }
	waiting := holding(base + "1")
	held(t, ns, "1", 1)
	for _, n := range []string{"2", "3", "4"} { // 4 makes 2 go
		set(n).wants(t, 200, "set")
	}
	for range 2000 { // one that is set all the time takes no place of others
		if a := set("4"); a.status != 200 {
			t.Fatalf("%d %q", a.status, a.body)
		}
	}
	receive(t, holding(base+"3")).wants(t, 200, "doorbell(3);")
	receive(t, holding(base+"4")).wants(t, 200, "doorbell(4);")
	second := holding(base + "2") // which is forgotten, and makes 3 go
	held(t, ns, "2", 1)
	third := holding(base + "3")
	held(t, ns, "3", 1)
	full := set("5")
	if full.wants(t, 503, "raise the count of keep"); full.header.Get("Retry-After") == "" || full.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%v", full.header)
	}
	full = get(base + "5")
	if full.wants(t, 503, "too many"); full.header.Get("Retry-After") == "" || full.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%v", full.header)
	}
	if n := metric(t, "caddy_comet_denied_total", ns); n != 2 {
		t.Errorf("%v denied", n)
	}
	for n, c := range map[string]<-chan answer{"1": waiting, "2": second, "3": third} {
		set(n).wants(t, 200, "set")
		receive(t, c).wants(t, 200, "doorbell("+n+");")
	}
}

// TestKeepIsAnAge from when it was set last, for numbers of any length.
func TestKeepIsAnAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settings, err := (&Keep{Age: caddy.Duration(time.Minute)}).settings(Settings{})
		if err != nil {
			t.Fatal(err)
		}
		h, err := hub.New(hub.Config{Log: log.NewMemory(nil), Limits: settings.limits()})
		if err != nil {
			t.Fatal(err)
		}
		numbers := []string{"1", strings.Repeat("9", 64)}
		set := func() {
			for _, n := range numbers {
				if _, err := h.Publish(t.Context(), []hub.Draft{{Channel: n}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		isSet := func() (n int) {
			for _, name := range numbers {
				info, _ := h.Info(name)
				n += info.History
			}
			return n
		}
		set()
		time.Sleep(40 * time.Second)
		set()
		for after, want := range []int{2, 2, 0, 0} {
			if n := isSet(); n != want {
				t.Errorf("%d are set after %d times 40 s; want %d", n, after, want)
			}
			time.Sleep(40 * time.Second)
		}
	})
}

// TestDoorbellsOfOneHubShareTheirNumbersAndKeep, which one of them may set.
func TestDoorbellsOfOneHubShareTheirNumbersAndKeep(t *testing.T) {
	for _, sites := range []string{
		"comet /a/* doorbell\ncomet /b/* doorbell {\nkeep 1m 50\n}",
		"comet /a/* doorbell {\nkeep 50 1m\n}\ncomet /b/* doorbell {\nkeep 1m 50\n}",
		"comet /a/* doorbell {\nkeep 50 1m\n}\ncomet /b/* doorbell",
	} {
		s := start(t, "", "http://SITE {\nbind 127.0.0.1\n"+sites+"\n}")
		h, ok := findHub(bells)
		if !ok {
			t.Fatal("there is no namespace")
		}
		if l := h.Limits(); l.Channels != 50 || l.HistoryAge != time.Minute || l.HistoryCount != 1 {
			t.Errorf("%q: %+v", sites, l)
		}
		n := newNumber()
		send(plain, "POST", "http://"+s.site+"/a/"+n, "").wants(t, 200, "set")
		receive(t, holding("http://"+s.site+"/b/"+n)).wants(t, 200, "doorbell(")
	}
}

// TestEventVariablesSurviveAReload, whatever keep becomes, and with them who
// waits.
func TestEventVariablesSurviveAReload(t *testing.T) {
	s := start(t, "", ringing)
	n, waited := newNumber(), newNumber()
	base := "http://" + s.site + "/doorbell/"
	send(plain, "POST", base+n, "").wants(t, 200, "set")
	waiting := holding(base + waited)
	held(t, bells, waited, 1)
	for _, block := range []string{"", " {\nkeep 5m 10\n}"} {
		s.reload("comet {\nhold 20s\n}", strings.Replace(ringing, " doorbell\n", " doorbell"+block+"\n", 1))
		receive(t, holding(base+n)).wants(t, 200, "doorbell(")
	}
	if h, _ := findHub(bells); h.Limits().Channels != 10 || h.Limits().HistoryAge != 5*time.Minute {
		t.Errorf("%+v", h.Limits())
	}
	send(plain, "POST", base+waited, "").wants(t, 200, "set")
	receive(t, waiting).wants(t, 200, "doorbell(")
	s.reload("", simple) // its directive is gone for a while
	if _, ok := findHub(bells); ok {
		t.Error("a namespace that no configuration mentions is served")
	}
	s.reload("", ringing)
	receive(t, holding(base+n)).wants(t, 200, "doorbell(")
}

// TestTheNamespaceOfAHubEndsLikeAHub, after its keep.
func TestTheNamespaceOfAHubEndsLikeAHub(t *testing.T) {
	name := unique("ends")
	s := start(t, "comet {\nhub "+name+" {\nhistory 1s\n}\n}", "http://SITE {\nbind 127.0.0.1\ncomet doorbell {\nhub "+name+"\nkeep 1s\n}\n}")
	s.reload("", simple)
	eventually(t, "both end", func() bool {
		_, ok := hubs.References(name)
		_, too := hubs.References(name + "/doorbell")
		return !ok && !too
	})
}

// TestTheAdministratorSeesEventVariables under the namespace's name, and the
// command does not take it for a hub.
func TestTheAdministratorSeesEventVariables(t *testing.T) {
	s := start(t, "", ringing)
	n := newNumber()
	waiting := holding("http://" + s.site + "/doorbell/" + n)
	held(t, bells, n, 1)
	send(plain, "POST", "http://"+s.site+"/doorbell/"+newNumber(), "").wants(t, 200, "")
	send(s.admin(), "GET", "http://127.0.0.1/comet/", "").wants(t, 200, `"hub":"default/doorbell"`)
	send(s.admin(), "GET", "http://127.0.0.1/comet/default%2Fdoorbell/"+n, "").wants(t, 200, `"held":1`)
	send(s.admin(), "GET", "http://127.0.0.1/comet/default%2Fdoorbell/", "").wants(t, 200, `"channel":"`+n+`"`)
	send(s.admin(), "GET", "http://127.0.0.1/comet/default%2Fother/", "").wants(t, 404, "there is no hub")

	address := "unix/" + s.dir + "/admin.sock"
	if out, errs, code := run(t, "", "publish", "--address", address, unique("cli"), "x"); code != 0 {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if out, errs, code := run(t, "", "status", "--address", address, "--hub", bells); code != 0 || !strings.Contains(out, bells) {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if out, errs, code := run(t, "", "publish", "--address", address, "--hub", bells, n); code != 0 {
		t.Errorf("%d %q %q", code, out, errs)
	}
	receive(t, waiting).wants(t, 200, "doorbell("+n+");")
	eventually(t, "the answered hold is counted as over", func() bool { return metric(t, "caddy_comet_held", bells) == 0 })
	metrics := send(s.admin(), "GET", "http://127.0.0.1/metrics", "").body
	for _, want := range []string{
		`caddy_comet_held{dialect="doorbell",hub="default/doorbell",transport="script"} 0`,
		`caddy_comet_answered_total{dialect="doorbell",hub="default/doorbell",outcome="event",transport="script"} `,
		`caddy_comet_events_total{hub="default/doorbell",source="doorbell"} `,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("missing: %s", want)
		}
	}
}

// TestMaxHoldsBoundsWhoWaitsForEventVariables too.
func TestMaxHoldsBoundsWhoWaitsForEventVariables(t *testing.T) {
	name := unique("few")
	s := start(t, "comet {\nhub "+name+"\n}", "http://SITE {\nbind 127.0.0.1\ncomet /d/* doorbell {\nhub "+name+"\n}\ncomet /c/* {\nhub "+name+"\nmax_holds 1\n}\n}")
	url := "http://" + s.site + "/d/1"
	waiting := holding(url)
	held(t, name+"/doorbell", "1", 1)
	a := get(url)
	if a.wants(t, http.StatusServiceUnavailable, "the limit is 1; raise max_holds"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if !strings.Contains(s.logs(), fullHolds+`","hub":"`+name+`/doorbell","limit":1`) {
		t.Error("the log does not say so")
	}
	send(plain, "POST", url, "").wants(t, 200, "set")
	receive(t, waiting).wants(t, 200, "doorbell(1);")
}

// TestWhatIsOnlyValidatedLeavesNoNamespace, nor does a configuration that fails.
func TestWhatIsOnlyValidatedLeavesNoNamespace(t *testing.T) {
	name := unique("validated")
	globals := "comet {\nhub " + name + "\n}"
	site := "http://SITE {\nbind 127.0.0.1\ncomet /d/* doorbell {\nhub " + name + "\nkeep 7\n}\n"
	s := start(t, globals, site+"}")
	h, _ := findHub(name + "/doorbell")
	for _, block := range []string{"keep 8", "keep 8\n}\ncomet doorbell {\nhub nosuchhub", "keep 8\n}\ncomet /e/* doorbell {\nhub " + name + "\nkeep 9"} {
		config := strings.ReplaceAll(strings.Replace(site, "keep 7", block, 1)+"}", "SITE", s.site)
		if err := validate(t, globals, config); (err == nil) != (block == "keep 8") {
			t.Errorf("%q: %v", block, err)
		}
		if block != "keep 8" && s.load(globals, config) == nil {
			t.Errorf("%q was loaded", block)
		}
		if n, _ := hubs.References(name + "/doorbell"); n != 1 || h.Limits().Channels != 7 {
			t.Errorf("%q: %d references, %+v", block, n, h.Limits())
		}
	}
}
