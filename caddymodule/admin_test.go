package caddymodule

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
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
		var st status
		eventually(t, "the file is seen", func() bool {
			a := send(admin, "GET", base, "")
			st = status{}
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
			return st.Hubs[1].Answered.Count == 1
		})
		times := st.Hubs[1].Answered
		if last := times.Buckets[len(times.Buckets)-1]; times.Seconds <= 0 || last.Seconds != 30 || last.Count != 1 {
			t.Errorf("answered %+v", times)
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
