package dialect

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// fileChat is the dialect of the mini-chat in "How to implement Comet with PHP"
// (seed S3): a chat on one file, of which PHP wrote the last message.
//
//	GET /backend.php?timestamp=1795242510 → {"msg":"…","timestamp":1795242560}
//	    when the file is newer
//	GET /backend.php?msg=… → the site's own PHP, which writes the file
//
// The printed client waits for as long as it takes and knows no empty answer.
type fileChat struct {
	channel       string
	answerPublish bool
}

func newFileChat(o Options) (Dialect, error) {
	if len(o.Channels) != 1 {
		return nil, errors.New("it follows one channel: name it by the channel option, or by a watch of one file's content, as in watch /srv/www/data.txt content")
	}
	if o.JSONP {
		return nil, errors.New("it has no JSONP; the native dialect has")
	}
	if err := hub.CheckChannel(o.Channels[0]); err != nil {
		return nil, fmt.Errorf("channel: %w", err)
	}
	return fileChat{o.Channels[0], o.AnswerPublish}, nil
}

// Read implements [Dialect]. It reads the query as PHP does; see novComet.
func (f fileChat) Read(r *http.Request) (Ask, error) {
	msg, timestamp, err := parseFileChat(r.URL.RawQuery)
	switch {
	case err != nil:
		return Ask{}, err
	case msg == "":
		return Ask{
			Channels: []string{f.channel}, Since: hub.EachAfterStamp(phpInt(timestamp)),
			Wait: Default, Answer: fileChatAnswer{},
		}, nil
	case strings.ContainsAny(r.URL.RawQuery, "#; "):
		return Ask{}, badRequest("a message cannot have #, ; or a space as they stand: some servers end the query or a part of it there; write %%23, %%3B or %%20")
	case !f.answerPublish:
		return Ask{}, ErrPass
	case r.Method == http.MethodPost:
		return Ask{}, nil // the chat speaks by GET
	}
	return Ask{Publish: f.channel, Data: []byte(msg)}, nil
}

// parseFileChat returns the last msg and the last timestamp of a query, as PHP
// does.
func parseFileChat(raw string) (msg, timestamp string, err error) {
	if n := strings.Count(raw, "&") + 1; n > maxInputVars {
		return "", "", badRequest("the query has %d parts; PHP reads %d", n, maxInputVars)
	}
	for part := range strings.SplitSeq(raw, "&") {
		key, value, _ := strings.Cut(part, "=")
		name, _, subscripted := phpName(key)
		switch {
		case name == "msg" && subscripted:
			// For PHP an array, which is not empty: file_put_contents writes its
			// elements.
			return "", "", badRequest("msg is a text, as in msg=hello")
		case name == "msg":
			msg = phpDecode(value)
		case name == "timestamp" && !subscripted:
			timestamp = phpDecode(value)
		}
	}
	return msg, timestamp, nil
}

// phpInt reads a number as the seed's PHP did to compare it with a number: leading
// white space, a sign, digits; what follows does not count. What is no number is
// 0 (PHP 8 compares it as a text and waits), and so is what lies before 1970.
func phpInt(s string) int64 {
	s = strings.TrimLeft(s, " \t\n\r\v\f")
	s = strings.TrimPrefix(s, "+")
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		s = s[:end]
	}
	n, _ := strconv.ParseInt(s, 10, 64) // 0 for nothing, the greatest for too much
	return n
}

// fileChatAnswer writes what the seed's backend.php printed. Bytes that are not
// UTF-8 become U+FFFD, where PHP's json_encode gave up.
type fileChatAnswer struct{ patient }

func (fileChatAnswer) Transport() string    { return "poll" }
func (fileChatAnswer) Header(h http.Header) { h.Set("Content-Type", "application/json") }
func (fileChatAnswer) Class() string        { return "filechat" }

func (fileChatAnswer) Events(d *hub.Delivery) []byte {
	e := d.Events[0]
	b := appendString([]byte(`{"msg":`), string(e.Data))
	b = append(b, `,"timestamp":`...)
	b = strconv.AppendInt(b, e.Stamp, 10)
	return append(b, '}')
}
