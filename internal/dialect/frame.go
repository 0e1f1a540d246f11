package dialect

import (
	_ "embed"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// frame is the forever frame: an HTML document in an iframe that never ends, and
// in it a script element for each event, which calls a function of the page
// around it.
//
//	<script>parent.update({"channel":…});c("k3f9.42")</script>
//
// The document comes back by itself, behind the last event, when it ends:
// frame.js. What it calls beside the page's function is c, with the position.
type frame struct {
	stream
	callback  string
	onlyData  bool
	heartbeat time.Duration
}

func (frame) Transport() string { return "frame" }

// Header lets only pages of this site frame the document: nobody else could read
// anything through it, but could choose which function of ours it calls. For the
// same reason a document that is no frame calls nothing.
func (frame) Header(h http.Header) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'self'")
	h.Set("X-Frame-Options", "SAMEORIGIN")
}

func (f frame) Class() string {
	if f.onlyData {
		return "native frame data " + f.callback
	}
	return "native frame " + f.callback
}

// Limit: a document keeps every element of its past.
func (frame) Limit() int { return streamLimit }

func (f frame) Events(d *hub.Delivery) []byte {
	b := make([]byte, 0, 256)
	if d.Gap {
		at := beforeEvents(d)
		b = append(b, "<script>"...)
		if !f.onlyData {
			b = append(b, f.callback...)
			b = append(b, "({"...)
			b = appendCursor(b, at)
			b = append(b, `,"gap":true});`...)
		}
		b = appendC(b, at)
		b = append(b, "</script>\n"...)
	}
	for _, e := range d.Events {
		b = append(b, "<script>"...)
		b = append(b, f.callback...)
		b = append(b, '(')
		if f.onlyData {
			b = appendJSON(b, e, inScript)
		} else {
			b = appendEvent(b, e, d.Cursor.Epoch, inScript)
		}
		b = append(b, ");"...)
		b = appendC(b, hub.Cursor{Epoch: d.Cursor.Epoch, Seq: e.Seq})
		b = append(b, "</script>\n"...)
	}
	return b
}

// appendC appends the call that tells the document its position.
func appendC(b []byte, at hub.Cursor) []byte {
	b = append(b, `c("`...)
	b = at.Append(b)
	return append(b, `")`...)
}

//go:embed frame.js
var frameScript string

// silence is after how long without a sign of life a document gives its
// connection up for lost. A browser does not tell a document that its connection
// broke: it waits for the rest for ever.
func (f frame) silence() time.Duration { return f.heartbeat*5/4 + 2*time.Second }

func (f frame) head() []byte {
	script := strings.Replace(frameScript, "SILENCE", strconv.FormatInt(f.silence().Milliseconds(), 10), 1)
	b := append(make([]byte, 0, 8<<10), "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>comet</title>\n<script>\n"...)
	b = append(b, script...)
	b = append(b, "</script></head><body>\n"...)
	return append(b, padding...)
}

func (f frame) Open(at hub.Cursor) []byte {
	b := f.head()
	if at == (hub.Cursor{}) {
		return b
	}
	return append(b, f.Idle(at)...)
}

func (frame) Idle(at hub.Cursor) []byte {
	b := append([]byte("<script>"), appendC(nil, at)...)
	return append(b, "</script>\n"...)
}

func (frame) Bye(at hub.Cursor, retry time.Duration) []byte {
	b := append([]byte("<script>"), appendC(nil, at)...)
	return append(b, ";again("+strconv.FormatInt(Jitter(retry, 0.5).Milliseconds(), 10)+")</script>\n"...)
}

// Full is a document that tries again: an error page would be the end of the
// frame.
func (f frame) Full(reason string, retry time.Duration) (int, []byte) {
	b := append(f.head(), "<p>"+strings.NewReplacer("<", "&lt;", "&", "&amp;").Replace(reason)+"</p>\n"...)
	ms := strconv.FormatInt(Jitter(retry, 0.5).Milliseconds(), 10)
	return http.StatusOK, append(b, "<script>again("+ms+")</script>\n"...)
}
