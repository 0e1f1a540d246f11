package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/figures"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// listed asks for holds.
func listed(t *testing.T, client *http.Client, url string) (list figures.Holds, text string) {
	t.Helper()
	a := send(client, "GET", url, "")
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.status != http.StatusOK {
		t.Fatalf("%d %q %v %v", a.status, a.body, a.err, err)
	}
	return list, a.body
}

// TestHoldsAreListedWithWhatIsKnownOfThem, and without what nobody is to know.
func TestHoldsAreListedWithWhatIsKnownOfThem(t *testing.T) {
	shop, forum := unique("shop"), unique("forum")
	s := start(t, "servers {\nprotocols h1 h2c\ntrusted_proxies static 127.0.0.1\n}\ncomet {\nhub "+shop+"\nhub "+forum+"\n}", `
http://SITE {
	bind 127.0.0.1
	handle /shop/* {
		comet {
			hub `+shop+`
			authorize /login
		}
	}
	handle /bells/* {
		comet doorbell {
			hub `+shop+`
		}
	}
	handle /forum/* {
		comet {
			hub `+forum+`
		}
	}
	handle /login {
		header Comet-User "Jane <42>"
		respond 204
	}
}
http://PUBLISH {
	bind unix/SOCKET|0600
	comet_publish `+shop+`
}`)
	a, b := unique("a"), unique("b")
	parked := make(chan answer, 1)
	go func() {
		parked <- get("http://"+s.site+"/shop/"+a+","+b+"?as=sse", "Cookie", "PHPSESSID=topsecret", "X-Forwarded-For", "203.0.113.7")
	}()
	held(t, shop, a, 1)
	client := h2Client(true)
	t.Cleanup(client.CloseIdleConnections)
	go send(client, "GET", "http://"+s.site+"/forum/"+a, "", "X-Forwarded-For", "2001:db8::1")
	held(t, forum, a, 1)
	go get("http://" + s.site + "/bells/7")
	eventually(t, "the event variable is waited for", func() bool {
		h, ok := findHub(shop + doorbellNamespace)
		return ok && h.Stats().Holds == 1
	})

	admin, own := s.admin(), overSocket(s.socket)
	const base = "http://127.0.0.1"
	eventually(t, "it is parked", func() bool {
		list, _ := listed(t, admin, base+"/comet/"+shop+"/_holds?channel="+a)
		return len(list.Holds) == 1 && list.Holds[0].Parked
	})
	all, text := listed(t, admin, base+"/comet/_holds")
	by := make(map[string]figures.Hold)
	for _, h := range all.Holds {
		if h.Age < 0 || h.Age > deadline.Seconds() {
			t.Errorf("the age of %+v", h)
		}
		h.Age = 0
		by[h.Hub] = h
	}
	for name, want := range map[string]figures.Hold{
		shop:               {Hub: shop, Channels: []string{a, b}, Dialect: "native", Transport: "sse", User: "Jane <42>", Client: "203.0.113.7", Parked: true},
		forum:              {Hub: forum, Channels: []string{a}, Dialect: "native", Transport: "poll", Client: "2001:db8::1"},
		shop + "/doorbell": {Hub: shop + "/doorbell", Channels: []string{"7"}, Dialect: "doorbell", Transport: by[shop+"/doorbell"].Transport, Client: "127.0.0.1", Parked: true},
	} {
		if got := by[name]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
	if len(all.Holds) != 3 || all.More != 0 || strings.Contains(text, "topsecret") || strings.Contains(text, "PHPSESSID") {
		t.Errorf("all: %s", text)
	}
	for path, want := range map[string]int{
		"/comet/_holds?channel=" + a:                    2,
		"/comet/_holds?user=Jane+%3C42%3E":              1,
		"/comet/" + forum + "/_holds?user=Jane":         0,
		"/comet/" + shop + "/_holds":                    2, // with event variables
		"/comet/" + shop + "/_holds?channel=" + b:       1,
		"/comet/" + forum + "/_holds?channel=" + b:      0,
		"/comet/_holds?limit=1":                         1,
		"/comet/_holds?limit=7&channel=" + unique("no"): 0,
	} {
		if list, text := listed(t, admin, base+path); len(list.Holds) != want || strings.Contains(path, "limit=1") && list.More != 2 {
			t.Errorf("%s: got %s, want %d", path, text, want)
		}
	}
	// The hub's own door knows of no other hub.
	if list, text := listed(t, own, base+"/_holds"); len(list.Holds) != 2 || strings.Contains(text, forum) {
		t.Errorf("own: %s", text)
	}
	status := send(own, "GET", base+"/_status", "")
	if status.wants(t, 200, `"dialect":"native","transport":"sse","held":1,"parked":1,"opened":1`); strings.Contains(status.body, forum) || strings.Contains(status.body, `"process"`) {
		t.Errorf("own status: %s", status.body)
	}
	send(admin, "GET", base+"/comet/", "").wants(t, 200, `"process":{"started":"`)
	send(admin, "HEAD", base+"/comet/_holds", "").wants(t, 200, "")
}

// TestAListingIsWrittenAsItIsFound: who reads it slowly keeps nobody from publishing.
func TestAListingIsWrittenAsItIsFound(t *testing.T) {
	name := unique("many")
	s := start(t, "comet {\nhub "+name+"\n}", "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub "+name+"\n}\n}")
	h, _ := findHub(name)
	const n = 15_000
	for i := range n {
		sub, err := h.Subscribe(hub.SubConfig{Channels: []string{fmt.Sprint("c", i%100)}, Waker: idle{}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sub.Close)
	}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1/comet/"+name+"/_holds", nil)
	res, err := s.admin().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	// Nothing of it is read yet, and it is far more than the socket takes.
	send(s.admin(), "POST", "http://127.0.0.1/comet/"+name+"/elsewhere", "x").wants(t, 200, `"cursor"`)
	var list figures.Holds
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil || len(list.Holds) != n {
		t.Errorf("%d holds, %v", len(list.Holds), err)
	}
}

// idle hears of nothing.
type idle struct{}

func (idle) Wake(d *hub.Delivery) { d.Done() }
