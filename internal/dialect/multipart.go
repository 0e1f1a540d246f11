package dialect

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// multipart answers with multipart/x-mixed-replace, the server push of Netscape
// 1.1: each part takes the place of the one before. Browsers do that for
// pictures to this day: an img element shows each new picture that is published.
//
// A part is one JSON object as in nativeStream, or (send=data) an event's data
// and nothing else.
//
// Chromium shows a part when it has read the next one's header. So that header
// is sent right behind each part, before anybody knows what will follow, and
// says the same each time.
type multipart struct {
	stream
	onlyData bool
}

// boundary is the text between parts. Only who reads can know it.
var boundary = "comet-" + rand.Text()

func (multipart) Transport() string { return "multipart" }

// Header sandboxes the parts: where a browser shows them as documents, they are
// not to be pages of this site whoever published them.
func (multipart) Header(h http.Header) {
	h.Set("Content-Security-Policy", "sandbox")
	h.Set("Content-Type", "multipart/x-mixed-replace; boundary="+boundary)
}

func (m multipart) Class() string {
	if m.onlyData {
		return "native multipart data"
	}
	return "native multipart"
}

func (m multipart) Events(d *hub.Delivery) []byte {
	b := make([]byte, 0, 512)
	if d.Gap && !m.onlyData {
		b = append(b, '{')
		b = appendCursor(b, beforeEvents(d))
		b = m.appendNext(append(b, `,"gap":true}`...))
	}
	for _, e := range d.Events {
		switch {
		case m.onlyData && len(e.Data) == 0:
			continue // a touch is no picture, and would take the last one's place
		case m.onlyData && bytes.Contains(e.Data, []byte(boundary)):
			continue // somebody who reads also publishes, and tries to forge a part
		case m.onlyData:
			b = append(b, e.Data...)
		default: // where JSON has a line that begins with --, it is no JSON
			b = appendEvent(b, e, d.Cursor.Epoch, verbatim)
		}
		b = m.appendNext(b)
	}
	return b
}

// appendNext ends a part and begins the next one.
func (m multipart) appendNext(b []byte) []byte {
	return m.appendHeader(append(b, "\r\n"...))
}

func (m multipart) appendHeader(b []byte) []byte {
	b = append(b, "--"...)
	b = append(b, boundary...)
	if m.onlyData {
		// Browsers look at a picture to know its kind. Whatever else is published
		// is to be no page of this site.
		return append(b, "\r\nContent-Type: application/octet-stream\r\n\r\n"...)
	}
	return append(b, "\r\nContent-Type: application/json\r\n\r\n"...)
}

func (m multipart) Open(at hub.Cursor) []byte {
	b := m.appendHeader(nil)
	if m.onlyData || at == (hub.Cursor{}) {
		return b
	}
	b = append(b, '{')
	b = appendCursor(b, at)
	return m.appendNext(append(b, '}'))
}

// Idle is white space ahead of the coming JSON. A picture has no room for that:
// the last one is sent once more.
func (m multipart) Idle(hub.Cursor) []byte {
	if m.onlyData {
		return nil
	}
	return []byte("\n")
}

// Bye is a last part. Where parts are pictures there is none: it would take the
// place of the last one.
func (m multipart) Bye(at hub.Cursor, retry time.Duration) []byte {
	if m.onlyData {
		return nil
	}
	b := appendBye(nil, at, retry)
	b = append(b, "\r\n--"...)
	b = append(b, boundary...)
	return append(b, "--\r\n"...)
}

func (multipart) Full(reason string, _ time.Duration) (int, []byte) {
	return once{}.Full(reason, 0)
}
