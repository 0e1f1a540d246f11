package dialect

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// multipart answers with multipart/x-mixed-replace, the server push of Netscape
// 1.1: each part takes the place of the one before. Browsers do that for
// pictures to this day: an img element shows each new picture that is published.
//
// A part is one event as JSON, or (send=data) its data with its own media type.
type multipart struct {
	stream
	onlyData bool
}

// boundary is the text between parts. Nobody who publishes can know it.
var boundary = "comet-" + rand.Text()

func (multipart) Transport() string { return "multipart" }

func (multipart) Header(h http.Header) {
	h.Set("Content-Type", "multipart/x-mixed-replace; boundary="+boundary)
}

func (m multipart) Class() string {
	if m.onlyData {
		return "native multipart data"
	}
	return "native multipart"
}

// Events writes the boundary behind each part rather than before it: only then
// does the reader know that the part has ended.
func (m multipart) Events(d *hub.Delivery) []byte {
	b := make([]byte, 0, 512)
	if d.Gap && !m.onlyData {
		at := beforeEvents(d)
		body := append([]byte{'{'}, appendCursor(nil, at)...)
		b = appendPart(b, at, "application/json", append(body, `,"gap":true}`...))
	}
	for _, e := range d.Events {
		at := hub.Cursor{Epoch: d.Cursor.Epoch, Seq: e.Seq}
		if m.onlyData {
			b = appendPart(b, at, lineBreaks.Replace(e.ContentType), e.Data)
		} else {
			b = appendPart(b, at, "application/json", appendEvent(nil, e, at.Epoch, verbatim))
		}
	}
	return b
}

// appendPart appends a part whose first boundary stands there already.
func appendPart(b []byte, at hub.Cursor, contentType string, body []byte) []byte {
	b = append(b, "Content-Type: "...)
	b = append(b, contentType...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n"...)
	b = appendPosition(b, at)
	b = append(b, "\r\n"...)
	b = append(b, body...)
	b = append(b, "\r\n--"...)
	b = append(b, boundary...)
	return append(b, "\r\n"...)
}

// appendPosition appends a line of a part's header.
func appendPosition(b []byte, at hub.Cursor) []byte {
	b = append(b, "Comet-Cursor: "...)
	b = at.Append(b)
	return append(b, "\r\n"...)
}

func (multipart) Open(at hub.Cursor) []byte {
	b := append([]byte("--"), boundary...)
	b = append(b, "\r\n"...)
	if at != (hub.Cursor{}) {
		b = appendPosition(b, at)
	}
	return b
}

// Idle is one more line of the coming part's header: the one place where
// something may stand that replaces nothing.
func (multipart) Idle(at hub.Cursor) []byte { return appendPosition(nil, at) }

// Bye is a last part. Where parts are pictures there is none: it would take the
// place of the last one.
func (m multipart) Bye(at hub.Cursor, retry time.Duration) []byte {
	if m.onlyData {
		return appendPosition(nil, at)
	}
	b := appendPart(nil, at, "application/json", appendBye(nil, at, retry))
	return append(b[:len(b)-2], "--\r\n"...)
}

func (multipart) Full(reason string, _ time.Duration) (int, []byte) {
	return once{}.Full(reason, 0)
}
