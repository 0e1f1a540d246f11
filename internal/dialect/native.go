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
// JSON or server-sent events.
type native struct{}

func newNative(Options) Dialect { return native{} }

// Read implements [Dialect].
//
//	GET /comet/orders,alerts?since=<cursor>|now|all&wait=<seconds>&as=poll|sse
func (native) Read(r *http.Request) (Ask, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Ask{}, badRequest("the query cannot be read: %v", err)
	}
	ask := Ask{Wait: Default}
	if ask.Channels, err = channelsOf(r.URL.EscapedPath()); err != nil {
		return Ask{}, err
	}
	if ask.Answer, err = answerFor(query, r.Header); err != nil {
		return Ask{}, err
	}
	if ask.Wait, err = waitOf(query); err != nil {
		return Ask{}, err
	}
	if err := ask.begin(query["since"], r.Header.Get("Last-Event-ID")); err != nil {
		return Ask{}, err
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
		return &Error{http.StatusNotFound, "names like comet*.js are kept for the client library, which this version does not have yet"}
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

func answerFor(query url.Values, header http.Header) (Answer, error) {
	as := query.Get("as")
	if as == "" && acceptsEvents(header) {
		as = "sse"
	}
	switch as {
	case "", "poll":
		return nativePoll{}, nil
	case "sse":
		return nativeSSE{}, nil
	}
	return nil, badRequest("as=%s is not known; use poll or sse", shorten(as))
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

// shorten quotes a text from outside for a sentence.
func shorten(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}
