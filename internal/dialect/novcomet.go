package dialect

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// novComet is the dialect of "Real time notifications with PHP" (seed S0/S1):
// a page's JavaScript asks with the second of its last news for each channel,
// PHP publishes by touching a file.
//
//	GET /comet.php?&subscribed[a]=1795242510&subscribed[b]=1795242511&1795242599
//	  → {"s":0} when nothing happened
//	  → {"s":1,"k":{"a":1795242560}} when it did
//	GET /comet.php?&publish=a → the site's own PHP, which touches the file
type novComet struct {
	answerPublish bool
}

func newNovComet(o Options) (Dialect, error) {
	if len(o.Channels) > 0 {
		return nil, errors.New("each request names its channels; take the channel option out")
	}
	if o.JSONP {
		return nil, errors.New("it has no JSONP; the native dialect has")
	}
	return novComet{o.AnswerPublish}, nil
}

// Read implements [Dialect]. It reads the query as PHP does, because what it
// passes on PHP reads again: a request that is a publish here and a subscription
// there would hold a PHP worker after all.
func (n novComet) Read(r *http.Request) (Ask, error) {
	q, err := parseNovComet(r.URL.RawQuery)
	if err != nil {
		return Ask{}, err
	}
	if q.publish != "" {
		if err := checkNovCometID(q.publish); err != nil {
			return Ask{}, err
		}
		if n.answerPublish && r.Method == http.MethodPost {
			return Ask{}, nil // NovComet publishes by GET
		}
		if n.answerPublish {
			return Ask{Publish: q.publish}, nil
		}
		if strings.ContainsAny(r.URL.RawQuery, "#; ") {
			return Ask{}, badRequest("a query that publishes cannot have #, ; or a space as they stand: some servers end the query or a part of it there; write %%23, %%3B or %%20")
		}
		return Ask{}, ErrPass
	}
	if len(q.ids) == 0 {
		return Ask{}, badRequest("nothing is subscribed; ask as in ?subscribed[news]=0")
	}
	return Ask{
		Channels: q.ids, Since: hub.AfterStamps(q.times),
		Wait: Default, Answer: novCometAnswer{},
	}, nil
}

type novCometQuery struct {
	publish string
	ids     []string
	times   []int64
}

// maxInputVars is PHP's max_input_vars: PHP does not see what comes later.
const maxInputVars = 1000

// parseNovComet reads subscribed[…] and publish out of a query, the last one of
// each name as PHP does. Whatever else is there (the page's clock as a bare
// number, a cache buster) is nobody's business.
func parseNovComet(raw string) (novCometQuery, error) {
	var q novCometQuery
	if strings.Count(raw, "&") >= maxInputVars {
		return q, badRequest("the query has %d parts; PHP reads %d", strings.Count(raw, "&")+1, maxInputVars)
	}
	index := make(map[string]int)
	for part := range strings.SplitSeq(raw, "&") {
		key, value, _ := strings.Cut(part, "=")
		name, subscript, subscripted := phpName(key)
		switch {
		case name == "publish":
			if q.publish = ""; !subscripted { // publish[]=a is no text for PHP
				q.publish = phpDecode(value)
			}
		case name == "subscribed" && !subscripted:
			return q, badRequest("subscribed needs a name, as in subscribed[news]=0")
		case name == "subscribed" && subscripted:
			if err := checkNovCometID(subscript); err != nil {
				return q, err
			}
			t := novCometTime(phpDecode(value))
			if i, ok := index[subscript]; ok {
				q.times[i] = t
				continue
			}
			index[subscript] = len(q.ids)
			q.ids = append(q.ids, subscript)
			q.times = append(q.times, t)
		}
	}
	return q, nil
}

// maxNovCometID is the longest name of a channel in this dialect.
const maxNovCometID = 128

// checkNovCometID reports why a text is no channel's name. The site's PHP makes
// a file's name of it, so it is no path and no hidden file; and it has nothing
// that FILTER_SANITIZE_STRING takes away, which could leave PHP with an empty
// name and so with a subscription.
func checkNovCometID(id string) error {
	switch {
	case strings.TrimSpace(id) == "": // subscribed[ ] is subscribed[] for PHP
		return badRequest("a name is missing, as in subscribed[news]=0")
	case len(id) > maxNovCometID:
		return badRequest("the name %s has %d bytes; the limit is %d", shorten(id), len(id), maxNovCometID)
	case !utf8.ValidString(id):
		return badRequest("the name %s is not UTF-8", shorten(id))
	case id[0] == '.':
		return badRequest("the name %s begins with a dot", shorten(id))
	}
	for _, r := range id {
		if unicode.IsControl(r) || strings.ContainsRune(`/\<>[]"'&`+"`", r) {
			return badRequest("the name %s has the character %q, which no file of a channel has", shorten(id), r)
		}
	}
	return nil
}

// novCometTime reads a client's second as the seed's PHP does: what is no digit
// or sign is dropped (FILTER_SANITIZE_NUMBER_INT), what is no number then is 0,
// which means now. Everything is newer than a second before 1970, which the hub's
// stamps do not have.
func novCometTime(text string) int64 {
	digits := strings.Map(func(r rune) rune {
		if (r >= '0' && r <= '9') || r == '-' || r == '+' {
			return r
		}
		return -1
	}, text)
	sign := strings.HasPrefix(digits, "-")
	if sign || strings.HasPrefix(digits, "+") {
		digits = digits[1:]
	}
	if i := strings.IndexAny(digits, "+-"); i >= 0 {
		digits = digits[:i]
	}
	if sign && strings.Trim(digits, "0") != "" {
		return 1
	}
	t, _ := strconv.ParseInt(digits, 10, 64) // 0 for nothing, the greatest for too much
	return t
}

// novCometAnswer writes what the seed's comet.php printed.
type novCometAnswer struct{ once }

func (novCometAnswer) Transport() string                           { return "poll" }
func (novCometAnswer) Header(h http.Header)                        { h.Set("Content-Type", "application/json") }
func (novCometAnswer) Class() string                               { return "novcomet" }
func (novCometAnswer) Idle(hub.Cursor) []byte                      { return []byte(`{"s":0}`) }
func (a novCometAnswer) Bye(at hub.Cursor, _ time.Duration) []byte { return a.Idle(at) }

// Events writes as PHP's json_encode does, for which an array with the keys 0, 1,
// … is a list. JavaScript sees no difference.
func (novCometAnswer) Events(d *hub.Delivery) []byte {
	list := true
	for i, e := range d.Events {
		list = list && e.Channel == strconv.Itoa(i)
	}
	open, closed := byte('{'), byte('}')
	if list {
		open, closed = '[', ']'
	}
	b := append([]byte(`{"s":1,"k":`), open)
	for i, e := range d.Events {
		if i > 0 {
			b = append(b, ',')
		}
		if !list {
			b = append(appendPHPString(b, e.Channel), ':')
		}
		b = strconv.AppendInt(b, e.Stamp, 10)
	}
	return append(b, closed, '}')
}

// appendPHPString appends a channel's name, which has nothing that JSON must
// escape, as json_encode does: in ASCII.
func appendPHPString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			b = append(b, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return append(b, '"')
}

// Full answers "nothing happened": the seed's JavaScript never asks again after
// an error, and comes back in a second after this.
func (a novCometAnswer) Full(string, time.Duration) (int, []byte) {
	return 200, a.Idle(hub.Cursor{})
}
