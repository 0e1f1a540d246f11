package dialect

import (
	"encoding/base64"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/caddy-comet/caddy-comet/internal/dialect/ssetest"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

type messages = []ssetest.Message

func TestStreamedEventsByteForByte(t *testing.T) {
	text := func(data string) *hub.Event { return event(42, "text/plain", data) }
	m := func(kind, data, id string) ssetest.Message { return ssetest.Message{Type: kind, Data: data, ID: id} }
	gap := delivery(text("x"))
	gap.Gap = true
	for _, c := range []struct {
		promise  string
		d        *hub.Delivery
		want     string
		messages messages
	}{
		{"one line", delivery(text("x")), "id: z009.42\ndata: x\n\n", messages{m("message", "x", "z009.42")}},
		{"a space is kept", delivery(text(" x ")), "id: z009.42\ndata:  x \n\n", messages{m("message", " x ", "z009.42")}},
		{"LF", delivery(text("a\nb")), "id: z009.42\ndata: a\ndata: b\n\n", messages{m("message", "a\nb", "z009.42")}},
		{"CR", delivery(text("a\rb")), "id: z009.42\ndata: a\ndata: b\n\n", messages{m("message", "a\nb", "z009.42")}},
		{"CRLF", delivery(text("a\r\nb")), "id: z009.42\ndata: a\ndata: b\n\n", messages{m("message", "a\nb", "z009.42")}},
		{"LFCR is two", delivery(text("a\n\rb")), "id: z009.42\ndata: a\ndata: \ndata: b\n\n", messages{m("message", "a\n\nb", "z009.42")}},
		{"a line at the end", delivery(text("a\n")), "id: z009.42\ndata: a\ndata: \n\n", messages{m("message", "a\n", "z009.42")}},
		{"data that looks like fields", delivery(text("x\n\nid: 1\nevent: y\n:")), "id: z009.42\ndata: x\ndata: \ndata: id: 1\ndata: event: y\ndata: :\n\n", messages{m("message", "x\n\nid: 1\nevent: y\n:", "z009.42")}},
		{"an empty touch is dispatched", delivery(text("")), "id: z009.42\ndata: \n\n", messages{m("message", "", "z009.42")}},
		{"a type", delivery(typed("paid", text("x"))), "id: z009.42\nevent: paid\ndata: x\n\n", messages{m("paid", "x", "z009.42")}},
		{"a type cannot add fields", delivery(typed("a\nid: 1\r\n\r\x00b", text("x"))), "id: z009.42\nevent: a id: 1    b\ndata: x\n\n", messages{m("a id: 1    b", "x", "z009.42")}},
		{"several", delivery(event(41, "text/plain", "x"), text("y")), "id: z009.41\ndata: x\n\nid: z009.42\ndata: y\n\n", messages{m("message", "x", "z009.41"), m("message", "y", "z009.42")}},
		{"binary", delivery(text("\xff\n")), "id: z009.42\ndata: /wo=\n\n", messages{m("message", "/wo=", "z009.42")}},
		// Who is lost between the two comes back behind the gap.
		{"a gap", gap, "id: z009.41\nevent: gap\ndata: \n\nid: z009.42\ndata: x\n\n", messages{m("gap", "", "z009.41"), m("message", "x", "z009.42")}},
		{"a gap alone", &hub.Delivery{Cursor: at(42), Gap: true}, "id: z009.42\nevent: gap\ndata: \n\n", messages{m("gap", "", "z009.42")}},
	} {
		got := nativeSSE{}.Events(c.d)
		if string(got) != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.promise, got, c.want)
		}
		parsed := ssetest.Parse(got)
		if !reflect.DeepEqual(parsed.Messages, c.messages) || parsed.ID != "z009.42" {
			t.Errorf("%s: a browser reads %+v", c.promise, parsed)
		}
	}
}

func TestStreamsSayTheirPositionWithoutAnEvent(t *testing.T) {
	s := nativeSSE{}
	for _, c := range []struct {
		promise    string
		got        []byte
		want       string
		id         string
		least, max time.Duration
	}{
		{"open", s.Open(at(42)), `^retry: (\d+)\nid: z009\.42\n\n$`, "z009.42", time.Second, 3 * time.Second},
		{"open, events follow", s.Open(hub.Cursor{}), `^retry: (\d+)\n\n$`, "", time.Second, 3 * time.Second},
		{"heartbeat", s.Idle(at(42)), `^id: z009\.42\n\n$`, "z009.42", 0, 0},
		{"bye", s.Bye(at(42), 4*time.Second), `^retry: (\d+)\nid: z009\.42\n\n$`, "z009.42", 2 * time.Second, 6 * time.Second},
	} {
		if !regexp.MustCompile(c.want).Match(c.got) {
			t.Errorf("%s: got %q", c.promise, c.got)
		}
		parsed := ssetest.Parse(c.got)
		if parsed.ID != c.id || parsed.Messages != nil || parsed.Retry < c.least || parsed.Retry > c.max {
			t.Errorf("%s: a browser reads %+v", c.promise, parsed)
		}
	}
	if !s.Stream() || contentType(s) != "text/event-stream" {
		t.Error("a stream is an event stream")
	}
}

// TestAScriptSeesTheSignsOfLifeThatItAskedFor: positions and the good-bye as events,
// and to the browser all that they are without.
func TestAScriptSeesTheSignsOfLifeThatItAskedFor(t *testing.T) {
	s := nativeSSE{beat: true}
	position := messages{{Type: "cursor", ID: "z009.42"}}
	_, full := s.Full("too many", 4*time.Second)
	for _, c := range []struct {
		promise  string
		got      []byte
		want, id string
		messages messages
	}{
		{"open", s.Open(at(42)), `^retry: (\d+)\nid: z009\.42\nevent: cursor\ndata: \n\n$`, "z009.42", position},
		{"open, events follow", s.Open(hub.Cursor{}), `^retry: (\d+)\n\n$`, "", nil},
		{"heartbeat", s.Idle(at(42)), `^id: z009\.42\nevent: cursor\ndata: \n\n()$`, "z009.42", position},
		{"bye", s.Bye(at(42), 4*time.Second), `^retry: (\d+)\nid: z009\.42\nevent: bye\ndata: (\d+)\n\n$`, "z009.42", messages{{Type: "bye", Data: "N", ID: "z009.42"}}},
		{"full", full, `^: too many\nretry: (\d+)\nevent: bye\ndata: (\d+)\n\n$`, "", messages{{Type: "bye", Data: "N"}}},
	} {
		found := regexp.MustCompile(c.want).FindSubmatch(c.got)
		if found == nil {
			t.Errorf("%s: got %q", c.promise, c.got)
			continue
		}
		if len(found) > 2 {
			if string(found[1]) != string(found[2]) {
				t.Errorf("%s: the browser is told %s, the script %s", c.promise, found[1], found[2])
			}
			c.messages[0].Data = string(found[2])
		}
		if parsed := ssetest.Parse(c.got); parsed.ID != c.id || !reflect.DeepEqual(parsed.Messages, c.messages) {
			t.Errorf("%s: a browser reads %+v", c.promise, parsed)
		}
	}
	if s.Class() != (nativeSSE{}).Class() || !reflect.DeepEqual(s.Events(delivery(event(42, "", "x"))), nativeSSE{}.Events(delivery(event(42, "", "x")))) {
		t.Error("its events are those of everybody")
	}
}

// TestAWholeEventSaysItsChannel, in one line of JSON, whatever its data and type.
func TestAWholeEventSaysItsChannel(t *testing.T) {
	s := nativeSSE{whole: true}
	d := delivery(typed("paid", event(41, "text/plain", "a\r\nb")), event(42, "application/json", "{\n\"a\": 1\n}"))
	d.Gap = true
	want := "id: z009.40\nevent: gap\ndata: \n\nid: z009.41\ndata: " +
		strings.NewReplacer("42", "41", `"message"`, `"paid"`).Replace(head42) + `"a\r\nb"}` + "\n\nid: z009.42\ndata: " + head42 + `{"a":1}}` + "\n\n"
	if got := string(s.Events(d)); got != want {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
	if s.Class() == (nativeSSE{}).Class() {
		t.Error("who wants data alone would get the same bytes")
	}
}

func TestAFullServerKeepsTheBrowserTrying(t *testing.T) {
	status, body := nativeSSE{}.Full("too many\nid: 7", 4*time.Second)
	if !regexp.MustCompile(`^: too many id: 7\nretry: \d+\n\n$`).Match(body) || status != 200 {
		t.Errorf("got %d %q", status, body)
	}
	parsed := ssetest.Parse(body)
	if parsed.Messages != nil || parsed.ID != "" || parsed.Retry < 2*time.Second || parsed.Retry > 6*time.Second {
		t.Errorf("a browser reads %+v", parsed)
	}
}

// FuzzSSEData: whatever the data and the type, a browser gets one event with the
// same lines, and nothing of it leaks into other fields.
func FuzzSSEData(f *testing.F) {
	f.Add([]byte("a\r\nb\rc\nd"), "message")
	f.Add([]byte("\n\nid: 1\ndata"), "x\nretry: 1\n\n")
	f.Add([]byte("\ufeff \x00"), "\xff")
	f.Add([]byte("\xff\r\n"), "gap")
	f.Fuzz(func(t *testing.T, data []byte, kind string) {
		if kind == "" {
			kind = hub.DefaultType // as the hub sees to
		}
		b := nativeSSE{}.Open(at(40))
		b = append(b, nativeSSE{}.Events(delivery(event(41, "", "before"), typed(kind, event(42, "", string(data)))))...)
		got := ssetest.Parse(append(b, nativeSSE{}.Idle(at(42))...))
		if len(got.Messages) != 2 || got.ID != "z009.42" || got.Retry == 0 {
			t.Fatalf("a browser reads %+v", got)
		}
		want := base64.StdEncoding.EncodeToString(data)
		if utf8.Valid(data) {
			want = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
		}
		m := got.Messages[1]
		if m.Data != want || m.ID != "z009.42" {
			t.Errorf("got %+v, want data %q", m, want)
		}
		if utf8.ValidString(kind) && !strings.ContainsAny(kind, "\r\n\x00") && strings.TrimPrefix(kind, " ") != "" && m.Type != kind {
			t.Errorf("got type %q, want %q", m.Type, kind)
		}
	})
}
