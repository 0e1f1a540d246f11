package dialect

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	gomultipart "mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// part is the text of a part up to the next boundary.
func part(contentType, cursor, body string) string {
	return "Content-Type: " + contentType + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\nComet-Cursor: " + cursor + "\r\n\r\n" +
		body + "\r\n--" + boundary + "\r\n"
}

func TestPartsByteForByte(t *testing.T) {
	whole, data := multipart{}, multipart{onlyData: true}
	gap := delivery(event(42, "", "x"))
	gap.Gap = true
	onlyGap := &hub.Delivery{Cursor: at(7), Gap: true}
	forged := "x\r\n--" + boundary + "\r\nContent-Type: text/html\r\n\r\n<script>"
	forgedJSON, _ := json.Marshal(forged)
	for _, c := range []struct {
		promise string
		m       multipart
		d       *hub.Delivery
		want    string
	}{
		{"an event", whole, delivery(event(42, "text/plain", "x\n")), part("application/json", "z009.42", head42+`"x\n"}`)},
		{"pretty-printed JSON", whole, delivery(event(42, "application/json", dangerous)), part("application/json", "z009.42", head42+dangerous+"}")},
		{"several", whole, delivery(event(41, "", "x"), event(42, "", "y")),
			part("application/json", "z009.41", strings.Replace(head42, "42", "41", 1)+`"x"}`) + part("application/json", "z009.42", head42+`"y"}`)},
		{"a gap", whole, gap, part("application/json", "z009.41", `{"cursor":"z009.41","gap":true}`) + part("application/json", "z009.42", head42+`"x"}`)},
		{"a gap alone", whole, onlyGap, part("application/json", "z009.7", `{"cursor":"z009.7","gap":true}`)},
		{"the boundary in an event", whole, delivery(event(42, "", forged)), part("application/json", "z009.42", head42+string(forgedJSON)+"}")},

		{"a picture", data, delivery(event(42, "image/png", "\x89PNG\r\n\xff\r\n--")), part("image/png", "z009.42", "\x89PNG\r\n\xff\r\n--")},
		{"JSON as it stands", data, delivery(event(42, "application/json", dangerous)), part("application/json", "z009.42", dangerous)},
		{"nothing", data, delivery(event(42, "text/plain; charset=utf-8", "")), part("text/plain; charset=utf-8", "z009.42", "")},
		{"no header line of the publisher's own", data, delivery(event(42, "a/b\r\nSet-Cookie: c\r\n\r\n<script>\x00", "x")), part("a/b  Set-Cookie: c    <script> ", "z009.42", "x")},
		{"no gap among pictures", data, gap, part("text/plain", "z009.42", "x")},
		{"no gap alone among pictures", data, onlyGap, ""},
		{"nobody forges a part", data, delivery(event(41, "image/png", forged), event(42, "", "x")), "Comet-Cursor: z009.41\r\n" + part("text/plain", "z009.42", "x")},
	} {
		for _, e := range c.d.Events {
			if e.ContentType == "" {
				e.ContentType = "text/plain" // as the hub sees to
			}
		}
		if got := string(c.m.Events(c.d)); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.promise, got, c.want)
		}
	}
}

func TestWhatStandsBetweenPartsReplacesNothing(t *testing.T) {
	whole, data := multipart{}, multipart{onlyData: true}
	for _, m := range []multipart{whole, data} {
		if got, want := string(m.Open(at(42))), "--"+boundary+"\r\nComet-Cursor: z009.42\r\n"; got != want {
			t.Errorf("open: got %q", got)
		}
		if got, want := string(m.Open(hub.Cursor{})), "--"+boundary+"\r\n"; got != want {
			t.Errorf("open, events follow: got %q", got)
		}
		if got := string(m.Idle(at(42))); got != "Comet-Cursor: z009.42\r\n" {
			t.Errorf("heartbeat: got %q", got)
		}
		mediaType, params, err := mime.ParseMediaType(contentType(m))
		if err != nil || mediaType != "multipart/x-mixed-replace" || params["boundary"] != boundary {
			t.Errorf("got %s", contentType(m))
		}
		if got := headerOf(m).Get("Content-Security-Policy"); got != "sandbox" {
			t.Errorf("a part that is a document would be this site's: %q", got)
		}
		if !m.Stream() || m.Patient() || m.Limit() != 0 || m.Transport() != "multipart" {
			t.Error("a picture's element does not come back, so the stream never ends")
		}
		if status, body := m.Full("too many", time.Second); status != http.StatusServiceUnavailable || string(body) != "too many\n" {
			t.Errorf("full: got %d %q", status, body)
		}
	}
	for _, retry := range []time.Duration{0, 4 * time.Second} {
		body, ok := strings.CutPrefix(string(whole.Bye(at(42), retry)), "Content-Type: application/json\r\nContent-Length: ")
		_, body, _ = strings.Cut(body, "\r\n\r\n")
		body, end := strings.CutSuffix(body, "\r\n--"+boundary+"--\r\n")
		var got struct {
			Cursor string
			Retry  int
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil || !ok || !end || got.Cursor != "z009.42" || time.Duration(got.Retry)*time.Millisecond < retry/2 || time.Duration(got.Retry)*time.Millisecond > retry*3/2 {
			t.Errorf("bye: got %q", body)
		}
	}
	if got := string(data.Bye(at(42), time.Second)); got != "Comet-Cursor: z009.42\r\n" {
		t.Errorf("bye takes the last picture's place: %q", got)
	}
}

// FuzzMultipart: whatever is published, a reader of MIME reads these parts and no
// others, with heartbeats in between.
func FuzzMultipart(f *testing.F) {
	f.Add("message", "application/json", []byte("{\n\"a\":\r1}"), []byte("\r\n--"), true, false)
	f.Add("\r\n", "image/png\r\nX: y\r\n\r\n", []byte("\xff\r\n--comet-"), []byte("\n--comet"), false, true)
	f.Add("", " ", []byte("--"), []byte(""), true, true)
	f.Fuzz(func(t *testing.T, kind, contentType string, first, second []byte, gap, onlyData bool) {
		if deep(first) || deep(second) {
			return
		}
		if onlyData {
			// The hub gives every event a type; from HTTP it has no other controls.
			contentType = strings.Map(func(r rune) rune {
				if r < ' ' && r != '\r' && r != '\n' && r != 0 || r == 0x7f {
					return -1
				}
				return r
			}, "a"+contentType)
		}
		m := multipart{onlyData: onlyData}
		one, two := delivery(typed(kind, event(41, contentType, string(first)))), delivery(event(42, contentType, string(second)))
		one.Gap = gap
		bye := m.Bye(at(43), time.Second)
		got := slices.Concat(m.Open(at(40)), m.Idle(at(40)), m.Events(one), m.Idle(at(41)), m.Idle(at(41)), m.Events(two), m.Idle(at(43)), bye)
		r := gomultipart.NewReader(bytes.NewReader(got), boundary)
		read := func(cursor string, want []byte) {
			t.Helper()
			p, err := r.NextRawPart()
			if err != nil {
				t.Fatalf("%v in %q", err, got)
			}
			body, err := io.ReadAll(p)
			if err != nil {
				t.Fatalf("%v in %q", err, got)
			}
			all := p.Header["Comet-Cursor"]
			if len(all) == 0 || all[len(all)-1] != cursor || p.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
				t.Errorf("got %v with %q, want cursor %s", p.Header, body, cursor)
			}
			for name := range p.Header {
				if name != "Comet-Cursor" && name != "Content-Length" && name != "Content-Type" {
					t.Errorf("got %v", p.Header)
				}
			}
			if onlyData {
				if !bytes.Equal(body, want) {
					t.Errorf("got %q, want %q", body, want)
				}
				return
			}
			if !utf8.Valid(body) || p.Header.Get("Content-Type") != "application/json" {
				t.Errorf("got %v with %q", p.Header, body)
			}
			var e nativeEvent
			if err := json.Unmarshal(body, &e); err != nil || e.Cursor != cursor {
				t.Fatalf("%v in %q", err, body)
			}
			if want != nil {
				same(t, e, contentType, want)
			}
		}
		if gap && !onlyData {
			read("z009.40", nil)
		}
		read("z009.41", append([]byte{}, first...))
		read("z009.42", append([]byte{}, second...))
		if !onlyData {
			read("z009.43", nil)
		}
		if p, err := r.NextRawPart(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, %v at the end of %q", p, err, got)
		}
	})
}
