package dialect

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// native is the dialect of our own: channels in the path, positions as cursors,
// and an answer in the form that the client asks for.
type native struct {
	channels  []string
	jsonp     bool
	heartbeat time.Duration
}

func newNative(o Options) (Dialect, error) {
	for _, name := range o.Channels {
		if err := checkNativeName(name); err != nil {
			return nil, err
		}
	}
	return native{o.Channels, o.JSONP, o.Heartbeat}, nil
}

// Read implements [Dialect].
//
//	GET /comet/orders,alerts?since=<cursor>|now|all&wait=<seconds>
//		&as=poll|sse|stream|multipart|frame|websocket&callback=<js path>&send=event|data
//		&beat=<seconds>
func (n native) Read(r *http.Request) (Ask, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Ask{}, badRequest("the query cannot be read: %v", err)
	}
	ask := Ask{Wait: Default, Channels: n.channels}
	if len(ask.Channels) == 0 {
		if ask.Channels, err = channelsOf(r.URL.EscapedPath()); err != nil {
			return Ask{}, err
		}
	}
	if ask.Beat, err = beatOf(query); err != nil {
		return Ask{}, err
	}
	if ask.Answer, err = n.answerFor(r, query, ask.Beat > 0); err != nil {
		return Ask{}, err
	}
	_, ask.Public = ask.Answer.(jsonp)
	if ask.Wait, err = waitOf(query); err != nil {
		return Ask{}, err
	}
	lastID := r.Header.Get("Last-Event-ID")
	if err := ask.begin(query["since"], lastID); err != nil {
		return Ask{}, err
	}
	if lastID == "" {
		ask.Position = nativePosition{}
	}
	return ask, nil
}

// begin reads from where the request wants events. An EventSource that comes
// back asks for the address that it was made with, so that its since is of the
// past: what the browser adds as Last-Event-ID is later, and counts.
func (a *Ask) begin(since []string, lastID string) error {
	if len(since) > 1 {
		return badRequest("since is given %d times; once is enough", len(since))
	}
	if lastID != "" {
		// One that is no cursor is of the server that had this address before
		// us. The zero one is answered with a gap; an error would make the
		// browser give up for ever.
		cursor, _ := hub.ParseCursor(lastID)
		a.Since = hub.After(cursor)
		return nil
	}
	if len(since) == 0 {
		return nil
	}
	switch since[0] {
	case "now":
	case "":
		// How a client begins that must lose nothing: take the position, read
		// the page's state, then ask for what came after the position.
		a.Wait = 0
	case "all":
		a.Since = hub.All()
	default:
		cursor, err := hub.ParseCursor(since[0])
		if err != nil {
			return badRequest("since=%s is no position: %v", shorten(since[0]), err)
		}
		a.Since = hub.After(cursor)
	}
	return nil
}

// channelsOf reads the channels from the last element of an escaped path.
// Commas separate names before percent-decoding, so that a name could have one;
// native names have none.
func channelsOf(path string) ([]string, error) {
	list := path[strings.LastIndexByte(path, '/')+1:]
	if list == "" {
		return nil, badRequest("no channel is named; the path's last element is one, as in /comet/orders, or several, as in /comet/orders,alerts")
	}
	if n := strings.Count(list, ",") + 1; n > maxChannels {
		return nil, badRequest("%d channels in one request; the limit is %d", n, maxChannels)
	}
	var channels []string
	for part := range strings.SplitSeq(list, ",") {
		name, err := url.PathUnescape(part)
		if err != nil {
			return nil, badRequest("the channel's name %s is not percent-encoded as it should be", shorten(part))
		}
		if err := checkNativeName(name); err != nil {
			return nil, err
		}
		channels = append(channels, name)
	}
	return channels, nil
}

// maxNativeName is the longest name of a channel in the native dialect.
const maxNativeName = 128

// checkNativeName reports why a name is none: [A-Za-z0-9][A-Za-z0-9._:@=+-]{0,127}.
// So a name is never a path, an option or a hidden file, wherever it is used.
func checkNativeName(name string) error {
	if name == "" {
		return badRequest("a channel's name is empty; is there a comma too many?")
	}
	if len(name) > maxNativeName {
		return badRequest("the channel's name %s has %d bytes; the limit is %d", shorten(name), len(name), maxNativeName)
	}
	if strings.HasPrefix(name, "comet") && strings.HasSuffix(name, ".js") {
		return &Error{http.StatusNotFound, "names like comet*.js are kept for the client library; there is comet.js, comet.esm.js and comet.legacy.js"}
	}
	for i, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && strings.IndexByte("._:@=+-", c) >= 0:
		case i == 0 && strings.IndexByte("._:@=+-", c) >= 0:
			return badRequest("the channel's name %s begins with %q; it must begin with a letter or a digit", shorten(name), c)
		default:
			return badRequest("the channel's name %s has a character that is not allowed; use letters, digits and ._:@=+-", shorten(name))
		}
	}
	return nil
}

// answerFor chooses the form of the answer, with signs of life that a script sees
// where it asks for them.
func (n native) answerFor(r *http.Request, query url.Values, beat bool) (Answer, error) {
	as, callback, send := query.Get("as"), query.Get("callback"), query.Get("send")
	switch {
	case isHandshake(r):
		as = "websocket"
	case as == "websocket":
		return nil, errNoHandshake
	case as != "":
	case acceptsEvents(r.Header):
		as = "sse"
	default:
		as = "poll"
	}
	onlyData := send == "data"
	switch {
	case callback != "" && !isCallback(callback):
		return nil, badRequest("callback=%s is no name of a function; use letters, digits, _, $ and dots, as in parent.update, 128 characters at most", shorten(callback))
	case callback != "" && as != "poll" && as != "frame":
		return nil, badRequest("callback goes with as=frame or as=poll; as=%s has no use for it", shorten(as))
	case callback != "" && as == "poll" && !n.jsonp:
		return nil, badRequest("callback asks for JSONP, which would let any other site read the answer, and is off here; the flag jsonp of the comet directive lets it")
	case callback == "" && as == "frame":
		return nil, badRequest("as=frame needs the function that it is to call, as in callback=parent.update")
	case send != "" && send != "event" && send != "data":
		return nil, badRequest("send=%s is not known; use event or data", shorten(send))
	case onlyData && as != "frame" && as != "multipart" && as != "sse":
		return nil, badRequest("send=data goes with as=frame, as=multipart or as=sse; everywhere else a client needs the whole event, for its cursor")
	case beat && as != "sse" && as != "stream" && as != "websocket":
		return nil, badRequest("beat goes with as=sse, as=stream or as=websocket; as=%s has no signs of life for a script", shorten(as))
	}
	switch as {
	case "poll":
		if callback != "" {
			return jsonp{callback: callback}, nil
		}
		return nativePoll{}, nil
	case "sse":
		return nativeSSE{whole: send == "event", beat: beat}, nil
	case "stream":
		return nativeStream{beat: beat}, nil
	case "websocket":
		return websocket{fixed: len(n.channels) > 0}, nil
	case "multipart":
		return multipart{onlyData: onlyData}, nil
	case "frame":
		if r.Header.Get("Sec-Fetch-Dest") == "document" {
			return nil, badRequest("as=frame is for an iframe in a page of this site, whose function it calls; it is no page by itself")
		}
		return frame{callback: callback, onlyData: onlyData, heartbeat: n.heartbeat}, nil
	}
	return nil, badRequest("as=%s is not known; use poll, sse, stream, multipart, frame or websocket", shorten(as))
}

// maxCallback is the longest name of a function, dots included.
const maxCallback = 128

// isCallback reports whether a text is the name of a JavaScript function, such
// as update or parent.comet.update: [A-Za-z_$][\w$.]{0,127}. It stands in a
// script as it is.
func isCallback(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_', c == '$':
		case i > 0 && ('0' <= c && c <= '9' || c == '.'):
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxCallback
}

func acceptsEvents(header http.Header) bool {
	for _, accept := range header.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			mediaType, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(mediaType), "text/event-stream") {
				return true
			}
		}
	}
	return false
}

func waitOf(query url.Values) (time.Duration, error) {
	text := query.Get("wait")
	if text == "" {
		return Default, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, badRequest("wait=%s is no whole number of seconds below 2147483648; 0 answers at once", shorten(text))
	}
	return time.Duration(seconds) * time.Second, nil
}

// minBeat is how often a stream gives signs of life at most.
const minBeat = 5 * time.Second

func beatOf(query url.Values) (time.Duration, error) {
	text := query.Get("beat")
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, badRequest("beat=%s is no whole number of seconds below 2147483648", shorten(text))
	}
	return max(time.Duration(seconds)*time.Second, minBeat), nil
}

// shorten quotes a text from outside for a sentence.
func shorten(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}
