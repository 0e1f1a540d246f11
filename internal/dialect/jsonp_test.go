package dialect

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// dangerous is data that would end a script, or break it.
const dangerous = "{\"a\":\r\n\"</script><!--<script>&\u2028\u2029\"\n}"

const head42 = `{"channel":"orders","cursor":"z009.42","time":"2026-11-21T07:00:00.123Z","type":"message","data":`

func TestJSONPIsAPollAsAScriptByteForByte(t *testing.T) {
	gap := delivery(event(42, "", "x"))
	gap.Gap = true
	for _, c := range []struct {
		promise string
		d       *hub.Delivery
		want    string
	}{
		{"text", delivery(event(42, "text/plain", "</script>\u2028")), `"cursor":"z009.42","events":[` + head42 + `"\u003c/script\u003e\u2028"}]`},
		{"JSON", delivery(event(42, "application/json", dangerous)), `"cursor":"z009.42","events":[` + head42 +
			"{\"a\":\r\n" + `"\u003c/script\u003e\u003c!--\u003cscript\u003e\u0026\u2028\u2029"` + "\n}}]"},
		{"a key that is none in JavaScript", delivery(event(42, "application/json", `{"__proto__":"<","__proto__":1}`)), `"cursor":"z009.42","events":[` + head42 +
			`JSON.parse("{\"__proto__\":\"\u003c\",\"__proto__\":1}")}]`},
		{"the same key, hidden", delivery(event(42, "application/json", `{"\u005f_proto__":1}`)), `"cursor":"z009.42","events":[` + head42 +
			`JSON.parse("{\"\\u005f_proto__\":1}")}]`},
		{"binary", delivery(event(42, "application/json", "\"\xff\"")), `"cursor":"z009.42","events":[` + head42 + `"Iv8i","encoding":"base64"}]`},
		{"a gap", gap, `"cursor":"z009.42","gap":true,"events":[` + head42 + `"x"}]`},
		{"a gap alone", &hub.Delivery{Cursor: at(7), Gap: true}, `"cursor":"z009.7","gap":true,"events":[]`},
	} {
		if got, want := string(jsonp{callback: "a.b"}.Events(c.d)), "/**/a.b({"+c.want+"});\n"; got != want {
			t.Errorf("%s:\n got %q\nwant %q", c.promise, got, want)
		}
	}
}

func TestEveryJSONPAnswerCallsWithACursor(t *testing.T) {
	j := jsonp{callback: "f"}
	const want = "/**/f({\"cursor\":\"z009.42\",\"events\":[]});\n"
	if got := string(j.Idle(at(42))); got != want {
		t.Errorf("timeout: got %q", got)
	}
	if got := string(j.Bye(at(42), time.Second)); got != want {
		t.Errorf("stop: got %q", got)
	}
	if j.Stream() || j.Patient() || contentType(j) != "text/javascript; charset=utf-8" || j.Transport() != "jsonp" || j.Open(at(1)) != nil {
		t.Error("JSONP is one script")
	}
	// A script element's onerror tells of any status but 200.
	if status, body := j.Full("too many", time.Second); status != 503 || string(body) != "too many\n" {
		t.Errorf("full: got %d %q", status, body)
	}
}

func TestAnswersOfOneClassAreTheSameBytes(t *testing.T) {
	answers := []Answer{
		nativePoll{}, nativeSSE{}, nativeStream{}, multipart{}, multipart{onlyData: true},
		jsonp{callback: "f"}, jsonp{callback: "g"}, frame{callback: "f"}, frame{callback: "g"},
		frame{callback: "f", onlyData: true}, frame{callback: "data.f"}, frame{callback: "data"},
		novCometAnswer{}, fileChatAnswer{}, doorbellAnswer{number: "1"}, doorbellAnswer{number: "01"},
	}
	classes := make(map[string]string)
	for _, a := range answers {
		e := event(42, "application/json", `{"a":"<"}`)
		got := string(a.Events(delivery(e)))
		if other, ok := classes[a.Class()]; ok && other != got {
			t.Errorf("%s is %s and %s", a.Class(), got, other)
		}
		classes[a.Class()] = got
	}
	if len(classes) != len(answers) {
		t.Errorf("got %d classes", len(classes))
	}
}

// parsed gives back the JSON of an event whose data a script parses.
func parsed(t *testing.T, text string) string {
	t.Helper()
	const call = `"data":JSON.parse(`
	// In JSON itself no key and no string is followed by a J.
	before, rest, ok := strings.Cut(text, call)
	if !ok {
		return text
	}
	decoder := json.NewDecoder(strings.NewReader(rest))
	var data string
	if err := decoder.Decode(&data); err != nil {
		t.Fatalf("%v in %q", err, rest)
	}
	after, ok := strings.CutPrefix(rest[decoder.InputOffset():], ")")
	if !ok {
		t.Fatalf("no end of the call in %q", rest)
	}
	return before + `"data":` + data + after
}

// harmless wants that a text is no end of a script, no comment and, for old
// browsers, no line's end in a string.
func harmless(t *testing.T, text []byte) {
	t.Helper()
	if bytes.ContainsAny(text, "<>&\u2028\u2029\x00") || !utf8.Valid(text) {
		t.Errorf("dangerous in a script: %q", text)
	}
}

// same wants that data is what was published.
func same(t *testing.T, e nativeEvent, contentType string, data []byte) {
	t.Helper()
	standing := IsJSON(contentType) && json.Valid(data)
	got, want := e.bytes(t, standing && utf8.Valid(data)), string(data)
	if standing && utf8.Valid(data) {
		got, want = compact(t, got), compact(t, want)
	}
	if got != want {
		t.Errorf("got data %q, want %q", got, want)
	}
}

// compact writes JSON in one way, as far as its text goes.
func compact(t *testing.T, text string) string {
	t.Helper()
	var b, escaped bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	json.HTMLEscape(&escaped, b.Bytes())
	return escaped.String()
}

// deep reports data that is nested deeper than encoding/json goes.
func deep(data []byte) bool {
	return bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > 9000
}

// FuzzJSONP: whatever is published, the script is one call with one JSON object,
// and gives back what was published.
func FuzzJSONP(f *testing.F) {
	f.Add("orders", "message", "application/json", []byte(dangerous))
	f.Add("</script>", "</script>\xff", "text/plain", []byte("</script>\u2028\xff"))
	f.Add("a", "", "a/b+json;x", []byte(`{"__proto__":{"a":"JSON.parse("}}`))
	f.Add("a", "\"data\":JSON.parse(", "application/json", []byte(`"\"data\":JSON.parse(\"1\")"`))
	f.Fuzz(func(t *testing.T, channel, kind, contentType string, data []byte) {
		if hub.CheckChannel(channel) != nil || deep(data) {
			return
		}
		e := event(42, contentType, string(data))
		e.Channel, e.Type = channel, kind
		got := jsonp{callback: "a.b"}.Events(delivery(e))
		harmless(t, got)
		text, ok := strings.CutPrefix(string(got), "/**/a.b(")
		text, end := strings.CutSuffix(text, ");\n")
		if !ok || !end {
			t.Fatalf("no call: %q", got)
		}
		var answer struct {
			Cursor string
			Events []nativeEvent
		}
		if err := json.Unmarshal([]byte(parsed(t, text)), &answer); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		if len(answer.Events) != 1 || answer.Cursor != "z009.42" || answer.Events[0].Channel != channel {
			t.Fatalf("got %+v", answer)
		}
		same(t, answer.Events[0], contentType, data)
	})
}
