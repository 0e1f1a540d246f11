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
	since, given := query["since"]
	if !given {
		since = r.Header["Last-Event-Id"]
	}
	switch {
	case len(since) > 1:
		return Ask{}, badRequest("since is given %d times; once is enough", len(since))
	case len(since) == 0, since[0] == "now":
	case since[0] == "":
		// How a client begins that must lose nothing: take the position, read
		// the page's state, then ask for what came after the position.
		if given {
			ask.Wait = 0
		}
	case since[0] == "all":
		ask.Since = hub.All()
	default:
		cursor, err := hub.ParseCursor(since[0])
		if err != nil {
			return Ask{}, badRequest("since=%s is no position: %v", shorten(since[0]), err)
		}
		ask.Since = hub.After(cursor)
	}
	return ask, nil
}

// channelsOf reads the channels from the last element of an escaped path.
// Commas separate names before percent-decoding, so that a name could have one;
// native names have none.
func channelsOf(path string) ([]string, error) {
	list := path[strings.LastIndexByte(path, '/')+1:]
	if list == "" {
		return nil, badRequest("no channel is named; ask for one as in %sorders or several as in %[1]sorders,alerts", shorten(path))
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
		return badRequest("the channel's name %s has %d characters; the limit is %d", shorten(name), len(name), maxNativeName)
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
		return 0, badRequest("wait=%s is no number of seconds; 0 answers at once", shorten(text))
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
