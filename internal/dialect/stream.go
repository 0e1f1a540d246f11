package dialect

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// nativeStream is XHR streaming: one JSON object a line, in an answer that goes
// on. An object with a channel is an event; one without is a position, perhaps
// with a gap before it or with the time after which to come back.
type nativeStream struct {
	stream
	// beat makes the heartbeat a position.
	beat bool
}

func (nativeStream) Transport() string    { return "stream" }
func (nativeStream) Header(h http.Header) { h.Set("Content-Type", "text/plain; charset=utf-8") }
func (nativeStream) Class() string        { return "native stream" }

// Limit: a script sees all that came as one growing text.
func (nativeStream) Limit() int { return streamLimit }

// padding is what browsers, antivirus programs and proxies may wait for before
// they show the first bytes of an answer.
var padding = append(bytes.Repeat([]byte(" "), 2047), '\n')

func (s nativeStream) Events(d *hub.Delivery) []byte {
	b := make([]byte, 0, 256)
	if d.Gap {
		b = append(b, '{')
		b = appendCursor(b, beforeEvents(d))
		b = append(b, `,"gap":true}`+"\n"...)
	}
	for _, e := range d.Events {
		b = appendEvent(b, e, d.Cursor.Epoch, inOneLine)
		b = append(b, '\n')
	}
	return b
}

// beforeEvents is the position before a delivery's events.
func beforeEvents(d *hub.Delivery) hub.Cursor {
	at := d.Cursor
	if len(d.Events) > 0 {
		at.Seq = d.Events[0].Seq - 1
	}
	return at
}

func (nativeStream) Open(at hub.Cursor) []byte {
	b := padding[:len(padding):len(padding)]
	if at == (hub.Cursor{}) {
		return b
	}
	return appendPosition(b, at)
}

func (s nativeStream) Idle(at hub.Cursor) []byte {
	if s.beat {
		return appendPosition(nil, at)
	}
	return []byte("\n")
}

// appendPosition appends a line that says a position.
func appendPosition(b []byte, at hub.Cursor) []byte {
	b = append(b, '{')
	b = appendCursor(b, at)
	return append(b, "}\n"...)
}

func (nativeStream) Bye(at hub.Cursor, retry time.Duration) []byte {
	return append(appendBye(nil, at, retry), '\n')
}

// appendBye appends {"cursor":"k3f9.42","retry":2113}: where to go on, and after
// how many milliseconds.
func appendBye(b []byte, at hub.Cursor, retry time.Duration) []byte {
	b = append(b, '{')
	b = appendCursor(b, at)
	b = append(b, `,"retry":`...)
	b = strconv.AppendInt(b, Jitter(retry, 0.5).Milliseconds(), 10)
	return append(b, '}')
}

func (nativeStream) Full(reason string, _ time.Duration) (int, []byte) {
	return once{}.Full(reason, 0)
}
