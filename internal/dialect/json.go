package dialect

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// eventTime is RFC 3339 in UTC with milliseconds.
const eventTime = "2006-01-02T15:04:05.000Z"

// rawData writes an event's data where it is JSON already.
type rawData func(b, data []byte) []byte

// verbatim writes it as its publisher did.
func verbatim(b, data []byte) []byte { return append(b, data...) }

// inOneLine writes it without line breaks, of which JSON needs none.
func inOneLine(b, data []byte) []byte {
	if bytes.IndexByte(data, '\n') < 0 && bytes.IndexByte(data, '\r') < 0 {
		return append(b, data...)
	}
	var line bytes.Buffer
	_ = json.Compact(&line, data) // it is valid
	return append(b, line.Bytes()...)
}

// inScript writes it so that it is harmless inside a script element, and a
// JavaScript expression in any browser: without <, >, &, U+2028 and U+2029.
func inScript(b, data []byte) []byte {
	if mayNameProto(data) {
		b = appendString(append(b, "JSON.parse("...), string(data))
		return append(b, ')')
	}
	var script bytes.Buffer
	json.HTMLEscape(&script, data)
	return append(b, script.Bytes()...)
}

// mayNameProto finds where JSON may be something else as a script: the key __proto__,
// letters of which may be escaped, sets the object's prototype there, and given
// twice is an error, for which the browser skips the whole script. It is asked of
// every byte that goes into a script, and so is no regular expression: one took
// several times what all else does.
func mayNameProto(data []byte) bool {
	if bytes.Contains(data, []byte("__proto__")) {
		return true
	}
	for {
		_, after, found := bytes.Cut(data, []byte(`\u00`))
		if !found || len(after) == 0 {
			return false
		}
		if '5' <= after[0] && after[0] <= '7' { // _ and the letters
			return true
		}
		data = after
	}
}

// appendEvent appends an event as the JSON object of the native dialect.
func appendEvent(b []byte, e *hub.Event, epoch hub.Epoch, raw rawData) []byte {
	b = append(b, `{"channel":`...)
	b = appendString(b, e.Channel)
	b = append(b, `,"cursor":"`...)
	b = hub.Cursor{Epoch: epoch, Seq: e.Seq}.Append(b)
	b = append(b, `","time":"`...)
	b = e.Time.UTC().AppendFormat(b, eventTime)
	b = append(b, `","type":`...)
	b = appendString(b, e.Type)
	b = append(b, `,"data":`...)
	b = appendJSON(b, e, raw)
	if !utf8.Valid(e.Data) {
		b = append(b, `,"encoding":"base64"`...)
	}
	return append(b, '}')
}

// appendJSON appends an event's data as a JSON value: as it stands where it is
// JSON, else as a string, base64 if it is not UTF-8.
func appendJSON(b []byte, e *hub.Event, raw rawData) []byte {
	switch {
	case !utf8.Valid(e.Data): // first: json.Valid lets any byte stand in a string
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, e.Data)
		return append(b, '"')
	case IsJSON(e.ContentType) && json.Valid(e.Data):
		return raw(b, e.Data)
	}
	return appendString(b, string(e.Data))
}

// appendString appends s as a JSON string that is also harmless inside HTML:
// encoding/json escapes <, >, &, U+2028 and U+2029.
func appendString(b []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a string never fails
	return append(b, quoted...)
}

// IsJSON reports whether a media type says JSON: application/json, or any with
// the suffix +json (RFC 6839).
func IsJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == "application/json" || mediaType == "text/json" || strings.HasSuffix(mediaType, "+json"))
}

// appendCursor appends "cursor":"k3f9.42".
func appendCursor(b []byte, c hub.Cursor) []byte {
	b = append(b, `"cursor":"`...)
	b = c.Append(b)
	return append(b, '"')
}

// nativePoll answers once, with a JSON object that always carries a cursor.
type nativePoll struct{ once }

func (nativePoll) Transport() string                           { return "poll" }
func (nativePoll) Header(h http.Header)                        { h.Set("Content-Type", "application/json") }
func (nativePoll) Class() string                               { return "native poll" }
func (nativePoll) Events(d *hub.Delivery) []byte               { return append(appendPoll(nil, d, verbatim), '\n') }
func (p nativePoll) Idle(at hub.Cursor) []byte                 { return p.Events(&hub.Delivery{Cursor: at}) }
func (p nativePoll) Bye(at hub.Cursor, _ time.Duration) []byte { return p.Idle(at) }

func appendPoll(b []byte, d *hub.Delivery, raw rawData) []byte {
	b = slices.Grow(b, 256)
	b = append(b, '{')
	b = appendCursor(b, d.Cursor)
	if d.Gap {
		b = append(b, `,"gap":true`...)
	}
	b = append(b, `,"events":[`...)
	for i, e := range d.Events {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEvent(b, e, d.Cursor.Epoch, raw)
	}
	return append(b, "]}"...)
}

// JSONPoll is the native poll's answer, for those who read it without a request
// of the native dialect.
func JSONPoll() Answer { return nativePoll{} }
