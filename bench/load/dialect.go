//go:build linux

package load

import (
	"bytes"
	"fmt"
	"strconv"
)

// dialect is how one kind of server is asked and published to.
type dialect struct {
	// ask writes the request's line and the headers that carry the position,
	// which is empty in a first request.
	ask func(b []byte, channel int, cursor string) []byte
	// cursor reads the position to ask with next.
	cursor func(a answer) string
	// publish is the path to post to.
	publish func(channel int) string
}

// dialects has comet's own, Nchan's, and a page of PHP.
var dialects = map[string]dialect{
	"native": {askNative, cursorNative, func(channel int) string { return "/" + Name(channel) }},
	"nchan":  {askNchan, cursorNchan, func(channel int) string { return "/publish/" + Name(channel) }},
	"page": {
		ask:    func(b []byte, _ int, _ string) []byte { return append(b, "GET /page.php HTTP/1.1\r\n"...) },
		cursor: func(answer) string { return "" },
	},
}

// Name is a channel's name.
func Name(channel int) string { return "c" + strconv.Itoa(channel) }

func askNative(b []byte, channel int, cursor string) []byte {
	if cursor == "" {
		cursor = "now"
	}
	return fmt.Appendf(b, "GET /comet/%s?since=%s HTTP/1.1\r\n", Name(channel), cursor)
}

func cursorNative(a answer) string {
	_, after, _ := bytes.Cut(a.body, []byte(`"cursor":"`))
	cursor, _, _ := bytes.Cut(after, []byte(`"`))
	return string(cursor)
}

// askNchan sends the position as Nchan gave it: the second and, for several in
// one second, the tag.
func askNchan(b []byte, channel int, cursor string) []byte {
	b = fmt.Appendf(b, "GET /comet/%s HTTP/1.1\r\n", Name(channel))
	if cursor == "" {
		return b
	}
	return append(append(b, cursor...), "\r\n"...)
}

func cursorNchan(a answer) string {
	second, tag := a.header("Last-Modified"), a.header("Etag")
	if second == "" {
		return ""
	}
	return "If-Modified-Since: " + second + "\r\nIf-None-Match: " + tag
}

// request writes a whole request, with the headers that a browser sends and a
// cookie for each visitor.
func (l *Load) request(b []byte, c *conn) []byte {
	b = l.speaks.ask(b, c.channel, c.cursor)
	accept := "*/*"
	switch {
	case l.target.Sockets:
		b = fmt.Appendf(b, "Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://%s\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", l.target.host())
	case l.target.Streams:
		accept = "text/event-stream"
	}
	return fmt.Appendf(b, "Host: %s\r\n"+
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"+
		"Accept: %s\r\nAccept-Language: en-US,en;q=0.5\r\nReferer: http://localhost/orders\r\n"+
		"Cookie: PHPSESSID=%026d\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\n\r\n",
		l.target.host(), accept, c.index)
}

// host is the name that visitors use, with the site's port.
func (t Target) host() string {
	_, port, _ := bytes.Cut([]byte(t.Site), []byte(":"))
	return "localhost:" + string(port)
}

// event is the data that is published, and mark what is looked for in answers.
func event(seq int) string {
	return fmt.Sprintf(`{%s"text":"fifty bytes, as a small event has"}`, mark(seq))
}
func mark(seq int) string { return fmt.Sprintf(`"n":%d,`, seq) }
