package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// shown writes an event as "channel|type|data|id|content type".
func shown(d hub.Draft) string {
	return strings.Join([]string{d.Channel, d.Type, string(d.Data), d.ID, d.ContentType}, "|")
}

func TestAPublishHeaderSaysEvents(t *testing.T) {
	const plain, js = "text/plain; charset=utf-8", "application/json"
	for _, c := range []struct {
		name   string
		values []string
		want   []string
	}{
		{"a channel", []string{"orders"}, []string{"orders||||" + plain}},
		{"all of it", []string{"orders; type=sale; data=%7B%22id%22%3A42%7D; id=o42"}, []string{`orders|sale|{"id":42}|o42|` + js}},
		{"in any order and case, without spaces", []string{"orders;ID=1;Data=x;TYPE=t"}, []string{"orders|t|x|1|" + plain}},
		{"spaces and tabs around", []string{" \torders ;\tdata = x ; type= t "}, []string{"orders|t|x||" + plain}},
		{"several in a line", []string{"a, b;data=1,c"}, []string{"a||||" + plain, "b||1||" + plain, "c||||" + plain}},
		{"several lines", []string{"a", "b; type=t, a"}, []string{"a||||" + plain, "b|t|||" + plain, "a||||" + plain}},
		{"encoded separators", []string{"a%2Cb%3Bc; data=%2C%3B%3D%25%0D%0A"}, []string{"a,b;c||,;=%\r\n||" + plain}},
		{"UTF-8", []string{"caf%C3%A9; data=%e2%82%ac"}, []string{"café||€||" + plain}},
		{"bytes that are no text", []string{"a; data=%ff%00"}, []string{"a||\xff\x00||application/octet-stream"}},
		{"an array", []string{"a; data=%5B1%2C2%5D"}, []string{"a||[1,2]||" + js}},
		{"braces that are no JSON", []string{"a; data=%7Bx"}, []string{"a||{x||" + plain}},
		{"clear without encoding", []string{"user:7@eu.example_1-2~3; data=YWI9PQ==/a?b&c"}, []string{"user:7@eu.example_1-2~3||YWI9PQ==/a?b&c||" + plain}},
		{"what encodeURIComponent leaves", []string{"a; data=-_.!~*'()"}, []string{"a||-_.!~*'()||" + plain}},
		{"empty values", []string{"a; type=; data=; id="}, []string{"a||||" + plain}},
		{"a semicolon too many", []string{"a;; data=x;"}, []string{"a||x||" + plain}},
		{"a name that the endpoint keeps", []string{"_x, publish"}, []string{"_x||||" + plain, "publish||||" + plain}},
	} {
		t.Run(c.name, func(t *testing.T) {
			drafts, refused, err := headerEvents(c.values, 100)
			if refused != 0 || err != nil {
				t.Fatalf("%d refused: %v", refused, err)
			}
			var got []string
			for _, d := range drafts {
				got = append(got, shown(d))
				if d.Source != "header" {
					t.Errorf("the source is %q", d.Source)
				}
			}
			if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestAWrongEventIsLeftOutAndSaysWhatToWrite, and says nothing of its content.
func TestAWrongEventIsLeftOutAndSaysWhatToWrite(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"nothing", "", "it is empty"},
		{"no channel", "; data=secret", "it is empty"},
		{"a comma too many", " ", "it is empty"},
		{"a long channel", strings.Repeat("c", 256), "it has 256 bytes, and 255 are allowed"},
		{"a control character", "secret%0a", "control character U+000A"},
		{"no UTF-8", "secret%ff", "it is not UTF-8"},
		{"a raw space", "my secret", "the channel is not percent-encoded; encode it by rawurlencode()"},
		{"raw UTF-8", "secreté", "the channel is not percent-encoded"},
		{"urlencode's plus", "a; data=secret+secret", "data has a plus, which may mean a space; encode it by rawurlencode(), not urlencode()"},
		{"raw JSON", `a; data={"secret":1}`, "data is not percent-encoded; encode it by rawurlencode()"},
		{"half an encoding", "a; data=secret%4", "data has a % that begins no percent-encoding; encode it by rawurlencode()"},
		{"no encoding", "a; type=100%secret", "type has a % that begins no"},
		{"an unknown parameter", "a; tpye=secret", `a parameter is not known; did you mean "type"?`},
		{"another unknown parameter", "a; secretsecret=1", `a parameter is not known; known are data, id, type`},
		{"a value without a name", "a; =secret", "a parameter is not known"},
		{"a name without a value", "a; data", "data has no value; write data=…"},
		{"twice", "a; type=secret; type=secret", "type stands twice in one event"},
		{"a long type", "a; type=" + strings.Repeat("s", 129), "type has 129 bytes; the limit is 128"},
		{"a long id", "a; id=" + strings.Repeat("s", 129), "id has 129 bytes; the limit is 128"},
		{"a line end in the type", "a; type=secret%0d%0a", "type must be UTF-8 without control characters"},
		{"an id that is no text", "a; id=%ff", "id must be UTF-8 without control characters"},
		{"too much data", "a; data=" + strings.Repeat("%41", 101), "the data has 101 bytes, and 100 are allowed (max_event); publish a reference instead"},
	} {
		t.Run(c.name, func(t *testing.T) {
			drafts, refused, err := headerEvents([]string{"before", c.value, "after"}, 100)
			if len(drafts) != 2 || drafts[0].Channel != "before" || drafts[1].Channel != "after" || refused != 1 {
				t.Errorf("%d events, %d refused", len(drafts), refused)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is\n\t%v\nand should say\n\t%s", err, c.want)
			}
		})
	}
}

func TestOneAnswerPublishesAThousandEvents(t *testing.T) {
	many := strings.Repeat("a,", maxPublish+1)
	drafts, refused, err := headerEvents([]string{many + "a"}, 100)
	if len(drafts) != maxPublish || refused != 2 || err == nil || !strings.Contains(err.Error(), "more than 1000 events in one answer") {
		t.Errorf("%d events, %d refused: %v", len(drafts), refused, err)
	}
}

// asHeader writes an event as a site should.
func asHeader(d hub.Draft) string {
	return fmt.Sprintf("%s; type=%s; data=%s; id=%s", rawurlencode(d.Channel), rawurlencode(d.Type), rawurlencode(string(d.Data)), rawurlencode(d.ID))
}

// rawurlencode is PHP's.
func rawurlencode(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%7E", "~")
}

// FuzzPublishHeader: no bytes break it, what it takes keeps every bound, and
// means the same when it is written again.
func FuzzPublishHeader(f *testing.F) {
	f.Add("orders; type=sale; data=%7B%22id%22%3A42%7D; id=o42, b;data=1", "c")
	f.Add("a;;DATA=%ff%00 ; type=", " ,;=%")
	f.Add(`a; data={"x":1,"y":2}`, "caf%C3%A9+")
	f.Fuzz(func(t *testing.T, one, two string) {
		const maxEvent = 20
		values := []string{one, two}
		drafts, refused, err := headerEvents(values, maxEvent)
		if n := strings.Count(one, ",") + strings.Count(two, ",") + 2; len(drafts)+refused != n || (refused > 0) != (err != nil) {
			t.Fatalf("%d events and %d refused of %d: %v", len(drafts), refused, n, err)
		}
		for _, d := range drafts {
			if err := hub.CheckChannel(d.Channel); err != nil || len(d.Data) > maxEvent || len(d.Type) > maxType || len(d.ID) > maxID {
				t.Fatalf("over the bounds: %q %v", shown(d), err)
			}
			again, refused, err := headerEvents([]string{asHeader(d)}, maxEvent)
			if refused != 0 {
				t.Fatalf("%q is refused when it is written again: %v", shown(d), err)
			}
			if shown(again[0]) != shown(d) {
				t.Fatalf("%q became %q", shown(d), shown(again[0]))
			}
		}
	})
}

// TestAnAnswerPublishesByAHeader, which the client does not see.
func TestAnAnswerPublishesByAHeader(t *testing.T) {
	a, b := unique("header"), unique("header")
	var values []string
	site := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()[publishHeader] = values
		w.Header().Set("X-Own", "kept")
		status, _ := strconv.Atoi(r.URL.Path[1:])
		w.WriteHeader(status)
	})
	s := start(t, "debug", around("publish", site))
	values = []string{a + "; type=sale; data=" + rawurlencode(`{"id":42}`), b + "; data=text, " + a + "; id=two", a + "; id=two"}
	wantEvents := 0
	for _, status := range []string{"200", "204", "303", "304", "404", "500"} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			client := &http.Client{Transport: plain.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			got := send(client, method, "http://"+s.site+"/"+status, "")
			if got.err != nil || got.comet() != "" || got.header.Get("X-Own") != "kept" || strconv.Itoa(got.status) != status {
				t.Errorf("%s %s: %d %v %v", method, status, got.status, got.header, got.err)
			}
			wantEvents++
		}
	}
	got := s.events(a).Events
	if len(got) != wantEvents+1 { // the one with an ID happened once
		t.Fatalf("%d events, want %d", len(got), wantEvents+1)
	}
	if got[0].Type != "sale" || string(got[0].Data) != `{"id":42}` || got[1].Type != "message" || string(got[1].Data) != `""` {
		t.Errorf("got %+v", got[:2])
	}
	if other := s.events(b).Events; len(other) != wantEvents || string(other[0].Data) != `"text"` || other[0].Cursor <= got[0].Cursor && len(other[0].Cursor) == len(got[0].Cursor) {
		t.Errorf("got %+v", other[:1])
	}
	metrics := send(s.admin(), "GET", "http://127.0.0.1/metrics", "").body
	if !strings.Contains(metrics, `caddy_comet_events_total{hub="default",source="header"} `) {
		t.Error("the events are not counted")
	}
	if strings.Contains(s.logs(), "are refused") {
		t.Errorf("refused:\n%s", s.logs())
	}
}

// TestWhatIsWrongIsRefusedWithOneLineAndTheRestPublished: the client gets its
// answer, and no header.
func TestWhatIsWrongIsRefusedWithOneLineAndTheRestPublished(t *testing.T) {
	hubName, secret := unique("wrong"), unique("secret")
	site := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(publishHeader, r.URL.Query().Get("say"))
		_, _ = io.WriteString(w, "the page")
	})
	s := start(t, "comet {\nhub "+hubName+" {\nmax_channels 2\nmax_event 8\n}\n}", `
http://SITE {
	bind 127.0.0.1
	comet_backend {
		hub `+hubName+`
		publish
	}
	reverse_proxy `+site+`
}`)
	h, _ := findHub(hubName)
	published := func() int { return int(h.Stats().Published["header"]) }
	refused := func() float64 { return metric(t, "caddy_comet_denied_total", hubName) }
	defer func() {
		if text := send(s.admin(), "GET", "http://127.0.0.1/metrics", "").body; !strings.Contains(text, `caddy_comet_denied_total{hub="`+hubName+`",reason="backend"} 7`) {
			t.Error("no figure says why")
		}
	}()
	for _, c := range []struct {
		name, say, want string
		good, bad       int
	}{
		{"one of three", secret + ", b; tpye=" + secret + ", b; data=" + secret[:6], `did you mean \"type\"?`, 2, 1},
		{"several", "; , ", "not a channel name: it is empty", 0, 2},
		{"too large", secret + "; data=123456789", "the data has 9 bytes, and 8 are allowed (max_event)", 0, 1},
		{"too many channels", secret + "," + secret + "2," + secret + "3", "too many channels: the limit is 2; raise max_channels", 0, 3},
		{"fine", secret, "", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			events, denied, lines := published(), refused(), strings.Count(s.logs(), "are refused")
			r, _ := http.NewRequest("GET", "http://"+s.site+"/page.php", nil)
			r.URL.RawQuery = "say=" + rawurlencode(c.say)
			a := get(r.URL.String())
			a.wants(t, 200, "the page")
			if a.comet() != "" {
				t.Errorf("the client sees %s", a.comet())
			}
			if got := published() - events; got != c.good {
				t.Errorf("%d events, want %d", got, c.good)
			}
			if got := int(refused() - denied); got != c.bad {
				t.Errorf("%d are counted as refused, want %d", got, c.bad)
			}
			want := 0
			if c.bad > 0 {
				want = 1
			}
			if got := strings.Count(s.logs(), "are refused") - lines; got != want {
				t.Errorf("%d lines in the log, want %d", got, want)
			}
			if want == 0 {
				return
			}
			all := strings.Split(strings.TrimSpace(s.logs()), "\n")
			for _, part := range []string{c.want, `"level":"warn"`, `"logger":"http.handlers.comet_backend"`, `"hub":"` + hubName + `"`, `"path":"/page.php"`, fmt.Sprintf(`"events":%d`, c.bad)} {
				if last := all[len(all)-1]; !strings.Contains(last, part) || strings.Contains(last, secret) {
					t.Errorf("the log says %s\nand should say %s", last, part)
				}
			}
		})
	}
}
