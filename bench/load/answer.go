//go:build linux

package load

import (
	"bytes"
	"strconv"

	"github.com/gobwas/ws"
)

// answer is one whole answer to a poll, or one piece of a stream: its head, an
// event or a comment.
type answer struct {
	head, body []byte
}

// ok reports whether an answer with a head says 200, another 2xx to a POST, or 101 to
// who begins a WebSocket.
func (a answer) ok() bool {
	return bytes.HasPrefix(a.head, []byte("HTTP/1.1 2")) || bytes.HasPrefix(a.head, []byte("HTTP/1.1 101 "))
}

// header returns a field of the head, which is written as both servers write it.
func (a answer) header(name string) string {
	_, after, found := bytes.Cut(a.head, []byte("\r\n"+name+": "))
	if !found {
		return ""
	}
	value, _, _ := bytes.Cut(after, []byte("\r\n"))
	return string(value)
}

// cutAnswer takes a whole answer, which has a Content-Length, off the data.
func cutAnswer(data []byte) (a answer, rest []byte, ok bool) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		return answer{}, data, false
	}
	a.head = data[:end+2]
	length, err := strconv.Atoi(a.header("Content-Length"))
	if err != nil {
		length = 0
	}
	body := data[end+4:]
	if len(body) < length {
		return answer{}, data, false
	}
	a.body = body[:length]
	return a, body[length:], true
}

// cutPiece takes the next piece off a stream that is open. A size of HTTP's
// chunks, if there is one, is left in it: what is looked for is an event's mark.
func cutPiece(data []byte) (a answer, rest []byte, ok bool) {
	body, rest, ok := bytes.Cut(data, []byte("\n\n"))
	return answer{body: body}, rest, ok
}

// cutFrame takes the next frame off a WebSocket that is open.
func cutFrame(data []byte) (a answer, rest []byte, ok bool) {
	from := bytes.NewReader(data)
	h, err := ws.ReadHeader(from)
	if err != nil || int64(from.Len()) < h.Length {
		return answer{}, data, false
	}
	body := data[len(data)-from.Len():]
	return answer{body: body[:h.Length]}, body[h.Length:], true
}

// cutHead takes the head of a stream off the data.
func cutHead(data []byte) (a answer, rest []byte, ok bool) {
	head, rest, ok := bytes.Cut(data, []byte("\r\n\r\n"))
	return answer{head: head}, rest, ok
}
