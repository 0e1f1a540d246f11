package dialect

import (
	"bytes"
	"encoding/json"
	"io"
	mime "mime/multipart"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func TestPartsAreWrittenByteForByte(t *testing.T) {
	const (
		asJSON = "\r\n--BOUNDARY\r\nContent-Type: application/json\r\n\r\n"
		asData = "\r\n--BOUNDARY\r\nContent-Type: application/octet-stream\r\n\r\n"
		one    = `{"channel":"orders","cursor":"z009.42","time":"2026-11-21T07:00:00.123Z","type":"message","data":`
	)
	all, data := multipart{}, multipart{onlyData: true}
	gap := delivery(event(42, "text/plain", "x"))
	gap.Gap = true
	for _, c := range []struct {
		promise string
		got     []byte
		want    string
	}{
		{promise: "an event", got: all.Events(delivery(event(42, "application/json", `{"id":1}`))), want: one + `{"id":1}}` + asJSON},
		{promise: "pretty-printed JSON", got: all.Events(delivery(event(42, "application/json", "{\n}"))), want: one + "{\n}}" + asJSON},
		{promise: "a gap", got: all.Events(gap), want: `{"cursor":"z009.41","gap":true}` + asJSON + one + `"x"}` + asJSON},
		{promise: "a gap alone", got: all.Events(&hub.Delivery{Cursor: at(7), Gap: true}), want: `{"cursor":"z009.7","gap":true}` + asJSON},
		{promise: "a picture", got: data.Events(delivery(event(42, "image/png", "\x89PNG\r\n\xff\r\n--"))), want: "\x89PNG\r\n\xff\r\n--" + asData},
		{promise: "no header of the publisher's own", got: data.Events(delivery(event(42, "a/b\r\nSet-Cookie: c", "x"))), want: "x" + asData},
		{promise: "no gap among pictures", got: data.Events(gap), want: "x" + asData},
		{promise: "a touch replaces no picture", got: data.Events(delivery(event(41, "", ""), event(42, "", "x"))), want: "x" + asData},
		{promise: "nobody forges a part", got: data.Events(delivery(event(42, "", "x\r\n--"+boundary+"\r\n\r\n<script>"))), want: ""},
		{promise: "open", got: all.Open(at(42)), want: asJSON[2:] + `{"cursor":"z009.42"}` + asJSON},
		{promise: "open, events follow", got: all.Open(hub.Cursor{}), want: asJSON[2:]},
		{promise: "open pictures", got: data.Open(at(42)), want: asData[2:]},
		{promise: "heartbeat", got: all.Idle(at(42)), want: "\n"},
		{promise: "bye", got: all.Bye(at(42), 0), want: `{"cursor":"z009.42","retry":0}` + "\r\n--BOUNDARY--\r\n"},
		{promise: "bye takes no picture's place", got: data.Bye(at(42), time.Second), want: ""},
	} {
		if got := strings.ReplaceAll(string(c.got), boundary, "BOUNDARY"); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.promise, got, c.want)
		}
	}
	if data.Idle(at(42)) != nil {
		t.Error("a picture's heartbeat is no bytes of its own")
	}
	h := headerOf(data)
	if h.Get("Content-Type") != "multipart/x-mixed-replace; boundary="+boundary || h.Get("Content-Security-Policy") != "sandbox" {
		t.Errorf("got %v", h)
	}
	if all.Class() == data.Class() || !all.Stream() || all.Patient() || all.Limit() != 0 {
		t.Error("two classes of an endless stream")
	}
	if status, body := all.Full("too many", time.Second); status != 503 || string(body) != "too many\n" {
		t.Errorf("full: got %d %s", status, body)
	}
}

// FuzzMultipart: a reader finds exactly the parts, with heartbeats in between.
func FuzzMultipart(f *testing.F) {
	f.Add("application/json", []byte(`{"a":1}`), []byte("--comet-"), false)
	f.Add("image/png", []byte("\xff\r\n--comet-"), []byte("\n--comet"), true)
	f.Add("", []byte("--"), []byte("\r\n--\r\n"), true)
	f.Fuzz(func(t *testing.T, contentType string, first, second []byte, onlyData bool) {
		m := multipart{onlyData: onlyData}
		b := m.Open(at(40))
		want := [][]byte{first, second}
		for i, data := range want {
			b = append(b, m.Events(delivery(event(41+uint64(i), contentType, string(data))))...)
			b = append(b, m.Idle(at(42))...)
		}
		b = append(b, m.Bye(at(42), time.Second)...)
		r := mime.NewReader(bytes.NewReader(b), boundary)
		next := func() []byte {
			p, err := r.NextRawPart()
			if err != nil {
				t.Fatalf("%v in %q", err, b)
			}
			if len(p.Header) != 1 {
				t.Errorf("got %v", p.Header)
			}
			body, _ := io.ReadAll(p)
			return body
		}
		if onlyData {
			for _, data := range want {
				if len(data) == 0 || bytes.Contains(data, []byte(boundary)) {
					continue
				}
				if got := next(); !bytes.Equal(got, data) {
					t.Errorf("got %q, want %q", got, data)
				}
			}
			return // the part that was announced never ends
		}
		for i, cursor := range []string{"z009.40", "z009.41", "z009.42", "z009.42"} {
			var e nativeEvent
			if err := json.Unmarshal(next(), &e); err != nil || e.Cursor != cursor {
				t.Errorf("part %d: got %+v, %v in %q", i, e, err, b)
			}
		}
		if p, err := r.NextRawPart(); err != io.EOF {
			t.Errorf("got %v, %v at the end", p, err)
		}
	})
}
