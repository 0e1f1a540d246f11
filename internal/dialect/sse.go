package dialect

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// nativeSSE answers with server-sent events (WHATWG HTML, section 9.2): the
// event's data as it stands, its type, and the cursor as the id, which browsers
// send back by themselves as Last-Event-ID.
type nativeSSE struct {
	stream
	// whole sends the event as the JSON object of the other forms, which says its
	// channel, in place of its type and data.
	whole bool
	// beat says as events what else only the browser sees: positions, and when to
	// come back. A script that hears none knows that nothing arrives.
	beat bool
	// denied is what goes ahead of all.
	denied string
}

// SSE is the native stream of server-sent events, for those who begin one without a
// request of the native dialect.
func SSE() Answer { return nativeSSE{} }

func (nativeSSE) Transport() string    { return "sse" }
func (nativeSSE) Header(h http.Header) { h.Set("Content-Type", "text/event-stream") }

func (s nativeSSE) Class() string {
	if s.whole {
		return "native sse whole"
	}
	return "native sse"
}

func (s nativeSSE) Events(d *hub.Delivery) []byte {
	b := make([]byte, 0, 256)
	if d.Gap {
		// The id of a gap is where the stream goes on if no event follows it.
		at := d.Cursor
		if len(d.Events) > 0 {
			at.Seq = d.Events[0].Seq - 1
		}
		b = appendID(b, at)
		b = append(b, "event: gap\ndata: \n\n"...)
	}
	for _, e := range d.Events {
		b = appendID(b, hub.Cursor{Epoch: d.Cursor.Epoch, Seq: e.Seq})
		if s.whole {
			b = append(b, "data: "...)
			b = appendEvent(b, e, d.Cursor.Epoch, inOneLine)
			b = append(b, "\n\n"...)
			continue
		}
		if e.Type != hub.DefaultType {
			b = append(b, "event: "...)
			b = append(b, lineBreaks.Replace(e.Type)...)
			b = append(b, '\n')
		}
		b = appendData(b, e.Data)
		b = append(b, '\n')
	}
	return b
}

// Open begins with the retry time, so that a lost server is not besieged, and
// the position. An id alone is no event, but browsers remember it.
func (s nativeSSE) Open(at hub.Cursor) []byte {
	b := appendRetry([]byte(s.denied), Jitter(retryMin, 0.5))
	if at == (hub.Cursor{}) {
		return append(b, '\n')
	}
	return append(b, s.Idle(at)...)
}

// deny is an event that says which channels are not followed, and why.
func (nativeSSE) deny(channels []string, reason string) []byte {
	b := append([]byte(nil), "event: denied\ndata: "...)
	return append(appendDenied(b, channels, reason), "\n\n"...)
}

// Idle is the heartbeat: the position again, which is no event unless the client
// wants to see it.
func (s nativeSSE) Idle(at hub.Cursor) []byte {
	b := appendID(nil, at)
	if s.beat {
		b = append(b, "event: cursor\ndata: \n"...)
	}
	return append(b, '\n')
}

func (s nativeSSE) Bye(at hub.Cursor, retry time.Duration) []byte {
	retry = Jitter(retry, 0.5)
	return s.appendBye(appendID(appendRetry(nil, retry), at), retry)
}

// appendBye appends the end of what says when to come back.
func (s nativeSSE) appendBye(b []byte, retry time.Duration) []byte {
	if s.beat {
		b = append(b, "event: bye\ndata: "...)
		b = strconv.AppendInt(b, retry.Milliseconds(), 10)
		b = append(b, '\n')
	}
	return append(b, '\n')
}

// Full answers 200, because any other status makes a browser's EventSource give
// up for ever.
func (s nativeSSE) Full(reason string, retry time.Duration) (int, []byte) {
	retry = Jitter(retry, 0.5)
	b := append([]byte(": "), lineBreaks.Replace(reason)...)
	b = append(b, '\n')
	return 200, s.appendBye(appendRetry(b, retry), retry)
}

// retryMin is after how long a browser comes back when the connection was lost.
const retryMin = 2 * time.Second

func appendID(b []byte, c hub.Cursor) []byte {
	b = append(b, "id: "...)
	b = c.Append(b)
	return append(b, '\n')
}

func appendRetry(b []byte, d time.Duration) []byte {
	b = append(b, "retry: "...)
	b = strconv.AppendInt(b, d.Milliseconds(), 10)
	return append(b, '\n')
}

// appendData appends data as data fields, a line each. CR, LF and CRLF all end
// a line for an event stream, and so for us. What is not UTF-8 goes as base64,
// since the format has nothing else.
func appendData(b []byte, data []byte) []byte {
	if !utf8.Valid(data) {
		b = append(b, "data: "...)
		b = base64.StdEncoding.AppendEncode(b, data)
		return append(b, '\n')
	}
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	for line := range strings.SplitSeq(text, "\n") {
		b = append(b, "data: "...)
		b = append(b, line...)
		b = append(b, '\n')
	}
	return b
}

var lineBreaks = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")
