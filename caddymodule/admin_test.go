package caddymodule

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// TestTheAdminEndpointServesEveryHub as comet_publish serves one.
func TestTheAdminEndpointServesEveryHub(t *testing.T) {
	shop, forum := unique("shop"), unique("forum")
	s := start(t, "comet {\nhub "+shop+" {\nmax_event 100\nwatch DIR/*.comet\n}\nhub "+forum+"\n}", "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub "+shop+"\n}\n}")
	admin := s.admin()
	base := "http://127.0.0.1/comet/"
	poll := holding("http://" + s.site + "/comet/orders")
	held(t, shop, "orders", 1)

	send(admin, "GET", base+shop+"/orders", "").wants(t, 200, `{"channel":"orders","held":1,`)
	send(admin, "GET", base+forum+"/orders", "").wants(t, 404, "there is no channel")
	send(admin, "POST", base+shop+"/orders,a%2Fb", "news").wants(t, 200, `{"channel":"a/b","cursor":"`)
	if got := receive(t, poll).poll(t); len(got.Events) != 1 || string(got.Events[0].Data) != `"news"` {
		t.Errorf("the poll got %+v", got)
	}
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"list", "GET", shop + "/", "", 200, `"channel":"orders"`},
		{"list of another", "GET", forum + "/", "", 200, `"channels":[]`},
		{"list without the slash", "GET", forum, "", 200, `"channels":[]`},
		{"by the latest", "GET", shop + "/?by=latest", "", 200, `"channels":[{"channel":"a/b"`},
		{"info", "GET", shop + "/a%2Fb", "", 200, `"history":1`},
		{"since all", "GET", shop + "/orders?since=all", "", 200, `"data":"news"`},
		{"delete", "DELETE", shop + "/a%2Fb", "", 200, `"deleted":true`},
		{"deleted", "GET", shop + "/a%2Fb", "", 404, "there is no channel"},
		{"unknown hub", "GET", "nohub/", "", 404, `there is no hub \"nohub\" in the running configuration`},
		{"publish in an unknown hub", "POST", "nohub/a", "x", 404, `there is no hub`},
		{"a path too deep", "POST", shop + "/a/b", "x", 404, "after the hub comes one channel; write a slash in its name as %2F"},
		{"kept", "POST", shop + "/_a", "x", 404, "is kept for the endpoint itself"},
		{"control", "POST", shop + "/a%00", "x", 400, "control character"},
		{"too large", "POST", shop + "/a", strings.Repeat("x", 101), 413, "the limit is 100 bytes"},
		{"another method", "PATCH", shop + "/a", "x", 405, "PATCH is not for this address"},
		{"by the held", "GET", shop + "/?by=held&limit=1", "", 200, `"channels":[{"channel":"orders"`},
		{"by something", "GET", shop + "/?by=size", "", 400, "by is to be name, held, events or latest"},
		{"too many", "GET", shop + "/?limit=1001", "", 400, "limit is to be a number from 1 to 1000"},
		{"a parameter that is none", "GET", shop + "/?limt=1", "", 400, `did you mean \"limit\"`},
		{"one twice", "GET", shop + "/?limit=1&limit=2", "", 400, "is to have one value"},
		{"a hub's own status", "GET", shop + "/_status", "", 200, `"hub":"` + shop + `"`},
		{"it is to be read", "POST", shop + "/_status", "x", 405, "use GET, HEAD"},
		{"holds of an unknown hub", "GET", "nohub/_holds", "", 404, `there is no hub`},
		{"holds by another method", "POST", "_holds", "x", 405, "use GET, HEAD"},
		{"holds of a session", "GET", shop + "/_holds?session=x", "", 400, "is no parameter of this address"},
		{"holds on no channel's name", "GET", "_holds?channel=%00", "", 400, "control character"},
		{"none of the holds", "GET", "_holds?limit=0", "", 400, "limit is to be a number above 0"},
		{"a query that is none", "GET", "_holds?%zz", "", 400, "the query cannot be read"},
		{"status by POST", "POST", "", "x", 405, "POST is not for this address; use GET, HEAD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := send(admin, c.method, base+c.path, c.body)
			a.wants(t, c.status, c.want)
			if c.status == 405 && a.header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}

	t.Run("status", func(t *testing.T) {
		if err := os.WriteFile(s.dir+"/seen.comet", nil, 0o644); err != nil {
			t.Fatal(err)
		}
		var st figures.Status
		eventually(t, "the file is seen", func() bool {
			a := send(admin, "GET", base, "")
			st = figures.Status{}
			if err := json.Unmarshal([]byte(a.body), &st); err != nil {
				t.Fatalf("%q: %v", a.body, err)
			}
			return len(st.Watches) == 1 && st.Watches[0].Files == 1
		})
		if len(st.Hubs) != 2 || st.Hubs[0].Hub != forum || st.Hubs[1].Hub != shop || st.Hubs[1].Opened < 2 || st.Hubs[1].Published["post"] != 2 || st.Hubs[1].Delivered < 1 {
			t.Errorf("status %+v", st)
		}
		eventually(t, "that the poll had the event is counted", func() bool {
			st = currentStatus()
			return st.Hubs[1].Written.Events == 1
		})
		if times := st.Hubs[1].Written; times.Seconds <= 0 {
			t.Errorf("written %+v", times)
		}
		if w := st.Watches[0]; w.Hub != shop || w.Mode == "" || w.Glob != s.dir+"/*.comet" {
			t.Errorf("watch %+v", w)
		}
	})
}

// TestTheAdminEndpointRefusesBrowsers: that is Caddy's own check, on which we
// rely.
func TestTheAdminEndpointRefusesBrowsers(t *testing.T) {
	s := newServer(t)
	address := freeAddress(t)
	config := strings.Replace(string(s.adapt("", oneSite)), "unix/"+s.dir+"/admin.sock", address, 1)
	if err := loadJSON(config); err != nil {
		t.Fatal(err)
	}
	url := "http://" + address + "/comet/default/" + unique("a")
	send(plain, "POST", url, "x").wants(t, 200, "cursor")
	for _, c := range []struct {
		status        int
		header, value string
	}{
		{403, "Host", "evil.example"}, {403, "Origin", "https://evil.example"},
		{400, "Origin", "null"}, {400, "Sec-Fetch-Mode", "no-cors"},
	} {
		send(plain, "POST", url, "x", c.header, c.value).wants(t, c.status, "")
	}
}

const oneSite = "http://SITE {\nbind 127.0.0.1\ncomet /comet/*\n}"
