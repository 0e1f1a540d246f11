package dialect

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"golang.org/x/net/html"
)

func TestFramesScriptsByteForByte(t *testing.T) {
	whole, data := frame{callback: "parent.f"}, frame{callback: "f", onlyData: true}
	gap := delivery(event(42, "", "x"))
	gap.Gap = true
	onlyGap := &hub.Delivery{Cursor: at(7), Gap: true}
	script := func(calls string) string { return "<script>" + calls + "</script>\n" }
	for _, c := range []struct {
		promise string
		f       frame
		d       *hub.Delivery
		want    string
	}{
		{"text", whole, delivery(event(42, "text/html", "</script><!--<script>&'\u2028\u2029")),
			script(`parent.f(` + head42 + `"\u003c/script\u003e\u003c!--\u003cscript\u003e\u0026'\u2028\u2029"});c("z009.42")`)},
		{"JSON", whole, delivery(event(42, "application/json", dangerous)),
			script(`parent.f(` + head42 + "{\"a\":\r\n" + `"\u003c/script\u003e\u003c!--\u003cscript\u003e\u0026\u2028\u2029"` + "\n}" + `});c("z009.42")`)},
		{"a key that is none in JavaScript", whole, delivery(event(42, "application/json", `{"__proto__":"</script>"}`)),
			script(`parent.f(` + head42 + `JSON.parse("{\"__proto__\":\"\u003c/script\u003e\"}")});c("z009.42")`)},
		{"a type", whole, delivery(typed(`</script>"`, event(42, "", "x"))),
			script(`parent.f(` + strings.Replace(head42, `"message"`, `"\u003c/script\u003e\""`, 1) + `"x"});c("z009.42")`)},
		{"several", whole, delivery(event(41, "", "x"), event(42, "", "y")),
			script(`parent.f(`+strings.Replace(head42, "42", "41", 1)+`"x"});c("z009.41")`) + script(`parent.f(`+head42+`"y"});c("z009.42")`)},
		{"binary", whole, delivery(event(42, "image/png", "\xff</script>")), script(`parent.f(` + head42 + `"/zwvc2NyaXB0Pg==","encoding":"base64"});c("z009.42")`)},
		{"a gap", whole, gap, script(`parent.f({"cursor":"z009.41","gap":true});c("z009.41")`) + script(`parent.f(`+head42+`"x"});c("z009.42")`)},
		{"a gap alone", whole, onlyGap, script(`parent.f({"cursor":"z009.7","gap":true});c("z009.7")`)},

		{"the data alone", data, delivery(event(42, "text/plain", "</script>")), script(`f("\u003c/script\u003e");c("z009.42")`)},
		{"JSON alone", data, delivery(event(42, "application/json", `{"a":"<"}`)), script(`f({"a":"\u003c"});c("z009.42")`)},
		{"a touch alone", data, delivery(event(42, "", "")), script(`f("");c("z009.42")`)},
		// Who wants the data alone learns of no gap, but the document goes on behind it.
		{"no gap", data, gap, script(`c("z009.41")`) + script(`f("x");c("z009.42")`)},
		{"no gap alone", data, onlyGap, script(`c("z009.7")`)},

		{"heartbeat", whole, nil, script(`c("z009.42")`)},
	} {
		got := c.f.Idle(at(42))
		if c.d != nil {
			got = c.f.Events(c.d)
		}
		if string(got) != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.promise, got, c.want)
		}
	}
}

func TestAFramesDocumentComesBackByItself(t *testing.T) {
	f := frame{callback: "f", heartbeat: 20 * time.Second}
	head := string(f.Open(hub.Cursor{}))
	if want := "silent > 27000 ||"; !strings.Contains(head, want) || strings.Contains(head, "SILENCE") {
		t.Errorf("a document does not know when to give up: no %s", want)
	}
	if !strings.HasPrefix(head, "<!DOCTYPE html>\n") || !strings.HasSuffix(head, "</head><body>\n"+string(padding)) {
		t.Errorf("got %q", head)
	}
	if got := string(f.Open(at(42))); got != head+"<script>c(\"z009.42\")</script>\n" {
		t.Errorf("open: got %q", got)
	}
	for _, c := range []struct {
		promise    string
		got        []byte
		want       string
		least, max int
	}{
		{"bye", f.Bye(at(42), 4*time.Second), `^<script>c\("z009\.42"\);again\((\d+)\)</script>` + "\n$", 2000, 6000},
		{"recycle", f.Bye(at(42), 0), `^<script>c\("z009\.42"\);again\((0)\)</script>` + "\n$", 0, 0},
	} {
		found := regexp.MustCompile(c.want).FindSubmatch(c.got)
		if found == nil {
			t.Errorf("%s: got %q", c.promise, c.got)
			continue
		}
		wantWithin(t, c.promise, found[1], c.least, c.max)
	}
	// A full server's page is such a document too, and not the frame's end.
	status, body := f.Full("too <many> & \"more\"", 4*time.Second)
	rest, ok := strings.CutPrefix(string(body), head)
	found := regexp.MustCompile(`^<p>too &lt;many> &amp; "more"</p>\n<script>again\((\d+)\)</script>\n$`).FindStringSubmatch(rest)
	if status != 200 || !ok || found == nil {
		t.Fatalf("full: got %d %q", status, rest)
	}
	wantWithin(t, "full", []byte(found[1]), 2000, 6000)
	if !f.Stream() || f.Patient() || f.Limit() != 1<<20 || f.Transport() != "frame" {
		t.Error("a frame is a stream that goes on until it is long enough")
	}
}

func TestOnlyPagesOfTheSiteMayFrameADocument(t *testing.T) {
	h := headerOf(frame{callback: "f"})
	if h.Get("X-Frame-Options") != "SAMEORIGIN" || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'self'") {
		t.Errorf("got %v", h)
	}
	if h.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("got %v", h)
	}
	// The document asks its own server, and runs no text of an event.
	if p := h.Get("Content-Security-Policy"); !strings.Contains(p, "connect-src 'self'") || strings.Contains(p, "unsafe-eval") {
		t.Errorf("got %s", p)
	}
}

func TestTheFramesScriptIsSmallAndOldFashioned(t *testing.T) {
	if len(frameScript) > 4<<10 {
		t.Errorf("%d bytes in every document", len(frameScript))
	}
	if n := strings.Count(frameScript, "SILENCE"); n != 1 {
		t.Errorf("the time is there %d times", n)
	}
	for _, bad := range []string{"</", "<!--", "<script", "=>", "`"} {
		if strings.Contains(frameScript, bad) {
			t.Errorf("it has %s", bad)
		}
	}
	if modern := regexp.MustCompile(`\b(let|const|class|async|await|fetch|Promise)\b`).FindString(frameScript); modern != "" {
		t.Errorf("it has %s, which came after 2008", modern)
	}
	for i, c := range []byte(frameScript) {
		if c >= 0x80 {
			t.Fatalf("byte %d is not ASCII", i)
		}
	}
}

// scriptsOf returns the text of every script element that a browser finds, and
// wants no other element behind the head.
func scriptsOf(t *testing.T, document []byte) (scripts []string) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		switch {
		case n.Type == html.CommentNode:
			t.Errorf("a comment: %q", n.Data)
		case n.Type == html.TextNode && n.Parent.Data == "body" && strings.Trim(n.Data, " \n") != "":
			t.Errorf("text of the page: %q", n.Data)
		case n.Type != html.ElementNode:
		case n.Data == "script":
			text := ""
			if n.FirstChild != nil {
				text = n.FirstChild.Data
			}
			if n.FirstChild != n.LastChild || len(n.Attr) > 0 {
				t.Errorf("a strange script: %+v", n)
			}
			scripts = append(scripts, text)
		case !slices.Contains([]string{"html", "head", "meta", "title", "body"}, n.Data):
			t.Errorf("an element %s", n.Data)
		}
	}
	return scripts
}

// FuzzFrame: whatever is published, a browser finds our scripts and nothing else,
// and each calls the function with what was published.
func FuzzFrame(f *testing.F) {
	f.Add("orders", "message", "application/json", []byte(dangerous), true, false)
	f.Add("</script>", "<!--<script>", "text/plain", []byte("</script\r\n>\x00<!--<script>"), false, true)
	f.Add("a", "\xff", "application/json", []byte("\"\xff</script>\""), false, false)
	f.Add("a", "", "application/json", []byte(`{"__proto__":"<!--","\u005f_proto__":");c(1)"}`), false, true)
	f.Fuzz(func(t *testing.T, channel, kind, contentType string, data []byte, gap, onlyData bool) {
		if hub.CheckChannel(channel) != nil || deep(data) {
			return
		}
		e := event(42, contentType, string(data))
		e.Channel, e.Type = channel, kind
		d := delivery(event(41, "text/plain", "before"), e)
		d.Gap = gap
		a := frame{callback: "parent.f", onlyData: onlyData}
		events := a.Events(d)
		got := scriptsOf(t, slices.Concat(a.Open(at(39)), events, a.Idle(at(43)), a.Bye(at(43), 0)))
		want := []string{"", `c("z009.39")`}
		if gap {
			want = append(want, map[bool]string{true: `c("z009.40")`, false: `parent.f({"cursor":"z009.40","gap":true});c("z009.40")`}[onlyData])
		}
		before, last := len(want), len(want)+1
		want = append(want, "", "", `c("z009.43")`, `c("z009.43");again(0)`)
		if len(got) != len(want) {
			t.Fatalf("a browser finds %q", got)
		}
		for i := range got {
			if want[i] != "" && got[i] != want[i] {
				t.Errorf("script %d is %q, want %q", i, got[i], want[i])
			}
		}
		harmless(t, []byte(got[before]))
		harmless(t, []byte(got[last]))
		argument, ok := strings.CutPrefix(got[last], "parent.f(")
		argument, end := strings.CutSuffix(argument, `);c("z009.42")`)
		if !ok || !end {
			t.Fatalf("no call: %q", got[last])
		}
		if onlyData { // as an event's data, to read both in one way
			argument = head42 + argument + "}"
		}
		var seen nativeEvent
		if err := json.Unmarshal([]byte(parsed(t, argument)), &seen); err != nil {
			t.Fatalf("%v in %q", err, argument)
		}
		if onlyData {
			if !bytes.Equal(data, []byte(strings.ToValidUTF8(string(data), ""))) {
				seen.Encoding = "base64" // it is not told; the page knows what it publishes
			}
		} else if seen.Channel != channel || seen.Cursor != "z009.42" {
			t.Errorf("got %+v", seen)
		}
		same(t, seen, contentType, data)
	})
}
