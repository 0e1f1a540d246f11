package dialect

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// eventTime is RFC 3339 in UTC with milliseconds.
const eventTime = "2006-01-02T15:04:05.000Z"

// appendEvent appends an event as the JSON object of the native dialect.
func appendEvent(b []byte, e *hub.Event, epoch hub.Epoch) []byte {
	b = append(b, `{"channel":`...)
	b = appendString(b, e.Channel)
	b = append(b, `,"cursor":"`...)
	b = hub.Cursor{Epoch: epoch, Seq: e.Seq}.Append(b)
	b = append(b, `","time":"`...)
	b = e.Time.UTC().AppendFormat(b, eventTime)
	b = append(b, `","type":`...)
	b = appendString(b, e.Type)
	b = append(b, `,"data":`...)
	switch {
	case !utf8.Valid(e.Data): // first: json.Valid lets any byte stand in a string
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, e.Data)
		b = append(b, `","encoding":"base64"`...)
	case IsJSON(e.ContentType) && json.Valid(e.Data):
		b = append(b, e.Data...)
	default:
		b = appendString(b, string(e.Data))
	}
	return append(b, '}')
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

// nativePoll answers once, with a JSON object that always carries a cursor.
type nativePoll struct{}

func (nativePoll) Stream() bool        { return false }
func (nativePoll) ContentType() string { return "application/json" }
func (nativePoll) Class() string       { return "native poll" }

func (nativePoll) Events(d *hub.Delivery) []byte {
	b := append(make([]byte, 0, 256), `{"cursor":"`...)
	b = d.Cursor.Append(b)
	b = append(b, '"')
	if d.Gap {
		b = append(b, `,"gap":true`...)
	}
	b = append(b, `,"events":[`...)
	for i, e := range d.Events {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEvent(b, e, d.Cursor.Epoch)
	}
	return append(b, "]}\n"...)
}

func (nativePoll) Open(hub.Cursor) []byte { return nil }

func (p nativePoll) Idle(at hub.Cursor) []byte { return p.Events(&hub.Delivery{Cursor: at}) }

func (p nativePoll) Bye(at hub.Cursor, _ time.Duration) []byte { return p.Idle(at) }

func (nativePoll) Full(reason string, _ time.Duration) (int, []byte) {
	return 503, []byte(reason + "\n")
}

// JSONPoll is the native poll's answer, for those who read it without a request
// of the native dialect.
func JSONPoll() Answer { return nativePoll{} }
