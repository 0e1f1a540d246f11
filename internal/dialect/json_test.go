package dialect

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func TestPollAnswersByteForByte(t *testing.T) {
	const head = `{"channel":"orders","cursor":"z009.42","time":"2026-11-21T07:00:00.123Z","type":"message","data":`
	gap := delivery(event(42, "text/plain", "x"))
	gap.Gap = true
	for _, c := range []struct {
		promise string
		d       *hub.Delivery
		want    string // of the events, or all of it
	}{
		{"JSON as it stands", delivery(event(42, "application/json", `{"a": [1,2 ],`+"\n"+` "b":"</script>"}`)), head + `{"a": [1,2 ],` + "\n" + ` "b":"</script>"}}`},
		{"JSON with parameters", delivery(event(42, "Application/JSON; charset=utf-8", `1e999`)), head + `1e999}`},
		{"JSON by suffix", delivery(event(42, "application/vnd.api+json", `null`)), head + `null}`},
		{"text", delivery(event(42, "text/plain", `say "hi"`)), head + `"say \"hi\""}`},
		{"JSON that is said to be text", delivery(event(42, "text/plain", `{"a":1}`)), head + `"{\"a\":1}"}`},
		{"text that is dangerous in HTML", delivery(event(42, "text/html", "<script>&\u2028\u2029</script>")), head + `"\u003cscript\u003e\u0026\u2028\u2029\u003c/script\u003e"}`},
		{"invalid JSON is text", delivery(event(42, "application/json", `{"a":`)), head + `"{\"a\":"}`},
		{"two JSON values are text", delivery(event(42, "application/json", `1}{`)), head + `"1}{"}`},
		{"no JSON at all is text", delivery(event(42, "application/json", ``)), head + `""}`},
		{"an empty touch", delivery(event(42, "text/plain", ``)), head + `""}`},
		{"binary", delivery(event(42, "image/png", "\x89PNG\xff")), head + `"iVBOR/8=","encoding":"base64"}`},
		{"binary in a JSON string", delivery(event(42, "application/json", "\"\xff\"")), head + `"Iv8i","encoding":"base64"}`},
		{"controls", delivery(event(42, "text/plain", "a\x00\r\n\tb")), head + `"a\u0000\r\n\tb"}`},
		{"a type from outside", delivery(typed("</a>\n\xff", event(42, "text/plain", "x"))), strings.Replace(head, `"message"`, `"\u003c/a\u003e\n\ufffd"`, 1) + `"x"}`},
		{"several", delivery(event(41, "text/plain", "x"), event(42, "text/plain", "y")), strings.Replace(head, "42", "41", 1) + `"x"},` + head + `"y"}`},
		{"a gap", gap, `{"cursor":"z009.42","gap":true,"events":[` + head + `"x"}]}` + "\n"},
		{"a gap alone", &hub.Delivery{Cursor: at(7), Gap: true}, `{"cursor":"z009.7","gap":true,"events":[]}` + "\n"},
	} {
		want := c.want
		if !strings.HasPrefix(want, `{"cursor"`) {
			want = `{"cursor":"z009.42","events":[` + want + "]}\n"
		}
		got := nativePoll{}.Events(c.d)
		if string(got) != want {
			t.Errorf("%s:\n got %s\nwant %s", c.promise, got, want)
		}
		if !utf8.Valid(got) || !json.Valid(got) {
			t.Errorf("%s: no JSON: %q", c.promise, got)
		}
	}
}

func TestEveryPollAnswerCarriesACursor(t *testing.T) {
	const want = `{"cursor":"z009.42","events":[]}` + "\n"
	p := JSONPoll()
	if got := string(p.Idle(at(42))); got != want {
		t.Errorf("timeout: got %s", got)
	}
	if got := string(p.Bye(at(42), time.Second)); got != want {
		t.Errorf("stop: got %s", got)
	}
	if p.Stream() || contentType(p) != "application/json" || p.Open(at(1)) != nil {
		t.Error("a poll is one JSON object")
	}
	if status, body := p.Full("too many", time.Second); status != 503 || string(body) != "too many\n" {
		t.Errorf("full: got %d %s", status, body)
	}
}

func TestJSONIsToldByItsMediaType(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/json": true, "APPLICATION/JSON;charset=utf-8": true, "text/json": true,
		"application/ld+json": true, "application/problem+JSON": true,
		"": false, "json": false, "text/plain": false, "application/jsonx": false, "application/json-seq": false,
		"text/plain; a=application/json": false, "text/html, application/json": false,
	} {
		if got := IsJSON(contentType); got != want {
			t.Errorf("%q: got %v", contentType, got)
		}
	}
}

// nativeEvent is how a client decodes an event.
type nativeEvent struct {
	Channel  string          `json:"channel"`
	Cursor   string          `json:"cursor"`
	Time     time.Time       `json:"time"`
	Type     string          `json:"type"`
	Data     json.RawMessage `json:"data"`
	Encoding string          `json:"encoding"`
}

// bytes gives back what was published.
func (e *nativeEvent) bytes(t *testing.T, isJSON bool) string {
	t.Helper()
	if isJSON && e.Encoding == "" {
		return string(e.Data)
	}
	var text string
	if err := json.Unmarshal(e.Data, &text); err != nil {
		t.Fatal(err)
	}
	if e.Encoding == "" {
		return text
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || e.Encoding != "base64" {
		t.Fatal(e.Encoding, err)
	}
	return string(raw)
}

// FuzzEventJSON: the answer is one line of JSON less what the publisher broke,
// and gives back what was published.
func FuzzEventJSON(f *testing.F) {
	f.Add("orders", "message", "application/json", []byte(`{"a":1}`))
	f.Add("é", "<b>\xff", "text/plain", []byte("\xff\x00"))
	f.Add("a", "", "application/json", []byte("\"\xff\""))
	f.Add("a", "", "a/b+json;x", []byte(`]`))
	f.Fuzz(func(t *testing.T, channel, kind, contentType string, data []byte) {
		if hub.CheckChannel(channel) != nil || strings.Count(string(data), "[")+strings.Count(string(data), "{") > 9000 {
			return // encoding/json nests no deeper than 10,000
		}
		e := event(42, contentType, string(data))
		e.Channel, e.Type = channel, kind
		got := nativePoll{}.Events(delivery(event(41, "text/plain", "before"), e))
		var answer struct {
			Cursor string        `json:"cursor"`
			Events []nativeEvent `json:"events"`
		}
		if err := json.Unmarshal(got, &answer); err != nil || !utf8.Valid(got) {
			t.Fatalf("%v in %q", err, got)
		}
		if answer.Cursor != "z009.42" || len(answer.Events) != 2 {
			t.Fatalf("got %+v", answer)
		}
		last := answer.Events[1]
		if last.Channel != channel || last.Type != strings.ToValidUTF8(kind, "\ufffd") && utf8.ValidString(kind) {
			t.Errorf("got %+v", last)
		}
		standing := IsJSON(contentType) && json.Valid(data)
		want := string(data)
		if standing {
			want = strings.Trim(want, " \t\r\n") // no part of the value
		}
		if raw := strings.Trim(last.bytes(t, standing), " \t\r\n"); raw != strings.Trim(want, " \t\r\n") {
			t.Errorf("got data %q, want %q", raw, want)
		}
	})
}

func TestWhereAScriptMayNameProto(t *testing.T) {
	may := regexp.MustCompile(`__proto__|\\u00[567]`)
	for _, data := range []string{
		``, `{}`, `"__proto__"`, `{"__proto__":1}`, `"_proto__"`, `"\u005f_proto__"`, `"\u005F"`, `"\u0070"`, `"\u0060"`, `"\u0040"`, `"\u0080"`,
		`"\u0041\u0061"`, `"\u00"`, `\u00`, `"\u000a\u0009"`, `"\u00\u005f"`, `"\u\u00"`, `"é\u2028\u0026"`,
	} {
		if got, want := mayNameProto([]byte(data)), may.MatchString(data); got != want {
			t.Errorf("%s: got %t", data, got)
		}
	}
}
