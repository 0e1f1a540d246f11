package dialect

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func TestStreamedLinesByteForByte(t *testing.T) {
	gap := delivery(event(42, "", "x"))
	gap.Gap = true
	for _, c := range []struct {
		promise string
		d       *hub.Delivery
		want    string
	}{
		{"text", delivery(event(42, "text/plain", "a\r\n</script>\u2028")), head42 + `"a\r\n\u003c/script\u003e\u2028"}` + "\n"},
		{"JSON as it stands", delivery(event(42, "application/json", `{"a": [1,2 ], "b":"<\u00e9"}`)), head42 + `{"a": [1,2 ], "b":"<\u00e9"}}` + "\n"},
		{"pretty-printed JSON", delivery(event(42, "application/json", "{\n  \"a\": \"b c\",\r\n  \"d\": 1e999\r}\n")), head42 + `{"a":"b c","d":1e999}}` + "\n"},
		{"JSON with U+2028, which ends no line", delivery(event(42, "application/json", dangerous)), head42 + "{\"a\":\"</script><!--<script>&\u2028\u2029\"}}\n"},
		{"no JSON", delivery(event(42, "application/json", "{\n")), head42 + `"{\n"}` + "\n"},
		{"a type with quotes", delivery(typed("\"},\n{\"", event(42, "", "x"))), strings.Replace(head42, `"message"`, `"\"},\n{\""`, 1) + `"x"}` + "\n"},
		{"binary", delivery(event(42, "image/png", "\x89\n\xff")), head42 + `"iQr/","encoding":"base64"}` + "\n"},
		{"several", delivery(event(41, "", ""), event(42, "", "y")), strings.Replace(head42, "42", "41", 1) + `""}` + "\n" + head42 + `"y"}` + "\n"},
		// Who is lost between the two comes back behind the gap.
		{"a gap", gap, `{"cursor":"z009.41","gap":true}` + "\n" + head42 + `"x"}` + "\n"},
		{"a gap alone", &hub.Delivery{Cursor: at(7), Gap: true}, `{"cursor":"z009.7","gap":true}` + "\n"},
	} {
		if got := string(nativeStream{}.Events(c.d)); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.promise, got, c.want)
		}
	}
}

func TestAStreamsOtherLinesByteForByte(t *testing.T) {
	s := nativeStream{}
	pad := "^" + strings.Repeat(" ", 2047) + "\n"
	for _, c := range []struct {
		promise    string
		got        []byte
		want       string
		least, max int
	}{
		{"open", s.Open(at(42)), pad + `{"cursor":"z009\.42"}` + "\n$", 0, 0},
		{"open, events follow", s.Open(hub.Cursor{}), pad + "$", 0, 0},
		{"heartbeat", s.Idle(at(42)), "^\n$", 0, 0},
		{"heartbeat that was asked for", nativeStream{beat: true}.Idle(at(42)), `^{"cursor":"z009\.42"}` + "\n$", 0, 0},
		{"bye", s.Bye(at(42), 4*time.Second), `^{"cursor":"z009\.42","retry":(\d+)}` + "\n$", 2000, 6000},
		{"bye for now", s.Bye(at(42), 0), `^{"cursor":"z009\.42","retry":(0)}` + "\n$", 0, 0},
	} {
		found := regexp.MustCompile(c.want).FindSubmatch(c.got)
		if found == nil {
			t.Errorf("%s: got %q", c.promise, c.got)
			continue
		}
		if len(found) > 1 {
			wantWithin(t, c.promise, found[1], c.least, c.max)
		}
	}
	// What all streams begin with is shared, and so never written to.
	if &s.Open(hub.Cursor{})[0] == &s.Open(at(1))[0] || !bytes.Equal(padding, append(bytes.Repeat([]byte(" "), 2047), '\n')) {
		t.Error("the padding was written to")
	}
	if !s.Stream() || s.Patient() || s.Limit() != 1<<20 || s.Transport() != "stream" || contentType(s) != "text/plain; charset=utf-8" {
		t.Error("a stream is text that goes on until it is long enough")
	}
	if status, body := s.Full("too many", time.Second); status != 503 || string(body) != "too many\n" {
		t.Errorf("full: got %d %q", status, body)
	}
}

func wantWithin(t *testing.T, promise string, digits []byte, least, most int) {
	t.Helper()
	if n, err := strconv.Atoi(string(digits)); err != nil || n < least || n > most {
		t.Errorf("%s: got %s ms", promise, digits)
	}
}

// FuzzStreamLines: every line decodes alone, and there are as many as events.
func FuzzStreamLines(f *testing.F) {
	f.Add("message", "application/json", []byte("{\n\"a\":\r1}"), []byte("\n"), true)
	f.Add("\"\n", "text/plain", []byte("\r\n\u2028"), []byte("\xff\n"), false)
	f.Add("", "application/json", []byte("\"\xff\"\n"), []byte("\n1\r\n"), false)
	f.Fuzz(func(t *testing.T, kind, contentType string, first, second []byte, gap bool) {
		if deep(first) || deep(second) {
			return
		}
		events := [][]byte{first, second}
		d := delivery(typed(kind, event(41, contentType, string(first))), event(42, contentType, string(second)))
		d.Gap = gap
		got := slices.Concat(nativeStream{}.Open(at(40)), nativeStream{}.Events(d), nativeStream{}.Idle(at(42)), nativeStream{}.Bye(at(42), 0))
		if !utf8.Valid(got) || bytes.IndexByte(got, '\r') >= 0 {
			t.Errorf("got %q", got)
		}
		lines := strings.Split(strings.TrimSuffix(string(got), "\n"), "\n")
		want := []string{"padding", "position", "event", "event", "heartbeat", "position"}
		if gap {
			want = slices.Insert(want, 2, "gap")
		}
		if len(lines) != len(want) {
			t.Fatalf("%d lines in %q", len(lines), got)
		}
		n := 0
		for i, line := range lines {
			if want[i] == "padding" || want[i] == "heartbeat" {
				if strings.Trim(line, " ") != "" {
					t.Errorf("got %q", line)
				}
				continue
			}
			var e struct {
				nativeEvent
				Gap   bool
				Retry *int
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%v in %q", err, line)
			}
			if e.Cursor == "" || e.Gap != (want[i] == "gap") || (e.Channel != "") != (want[i] == "event") || (e.Retry != nil) != (i == len(lines)-1) {
				t.Errorf("got %q, want a %s", line, want[i])
			}
			if want[i] == "event" {
				same(t, e.nativeEvent, contentType, events[n])
				n++
			}
		}
	})
}
