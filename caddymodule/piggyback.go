package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// The headers by which an ordinary request asks for news and its answer tells
// them.
const (
	sinceHeader    = "Comet-Since"
	channelsHeader = "Comet-Channels"
	cursorHeader   = "Comet-Cursor"
	newsHeader     = "Comet-News"
	gapHeader      = "Comet-Gap"
	errorHeader    = "Comet-Error"
)

// maxAsked is how many channels a request may ask for, as many as a poll.
const maxAsked = 1000

// askedName is a name in the native dialect. It stands in a header as it is.
var askedName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@=+-]{0,127}$`)

// newsAsked is what a request asks for besides its page.
type newsAsked struct {
	hub      *sharedHub
	channels []string
	since    hub.Cursor
	// begins says that the client has no cursor yet. It gets start, which is
	// from before PHP ran: the page shows what PHP read, and an event between
	// that and the header would be lost behind a cursor from the header's time.
	begins bool
	start  hub.Cursor
	// err is what is wrong with the question, for whoever wrote the client.
	err error
}

// readAsked returns what the request asks, nil if nothing.
func (b *Backend) readAsked(h http.Header) *newsAsked {
	since, ok := h[sinceHeader]
	if !ok {
		return nil
	}
	a := &newsAsked{hub: b.use.hub}
	switch {
	case len(since) > 1:
		a.err = fmt.Errorf("Comet-Since is given %d times; once is enough", len(since))
	case since[0] == "":
		a.begins, a.start = true, b.use.hub.Cursor()
		if named := h.Values(channelsHeader); len(named) > 0 {
			// None is told of yet, but a client's author learns at its first request
			// what the second one would be refused for.
			_, a.err = readAskedChannels(named)
		}
	default:
		var err error
		if a.since, err = hub.ParseCursor(since[0]); err != nil {
			a.err = errors.New("Comet-Since is no cursor; send what an earlier answer gave as Comet-Cursor, or leave it empty to begin")
			break
		}
		a.channels, a.err = readAskedChannels(h.Values(channelsHeader))
	}
	if a.err != nil {
		metrics().denied.WithLabelValues(b.use.hub.name, "request").Inc()
	}
	return a
}

// readAskedChannels reads the names of the channels, each once.
func readAskedChannels(values []string) ([]string, error) {
	list := strings.Join(values, ",")
	if list == "" {
		return nil, errors.New("no channel is named; send some, as in Comet-Channels: orders,alerts")
	}
	if n := strings.Count(list, ",") + 1; n > maxAsked {
		return nil, fmt.Errorf("Comet-Channels has %d names; the limit is %d", n, maxAsked)
	}
	var names []string
	seen := make(map[string]bool)
	for part := range strings.SplitSeq(list, ",") {
		name := strings.TrimSpace(part)
		switch {
		case name == "":
			return nil, errors.New("a name in Comet-Channels is empty; is there a comma too many?")
		case !askedName.MatchString(name):
			return nil, errors.New("a name in Comet-Channels is not allowed; a name is a letter or a digit and up to 127 more of letters, digits and ._:@=+-")
		case !seen[name]:
			seen[name] = true
			names = append(names, name)
		}
	}
	return names, nil
}

// answer completes the header of the answer to a request that asked. What the
// site says by the same names goes: it would be taken for ours.
func (a *newsAsked) answer(h http.Header, status int) {
	told := map[string]string{}
	switch {
	case a.err != nil:
		told[errorHeader] = a.err.Error()
	case a.begins:
		told[cursorHeader] = a.start.String()
	default:
		news := a.hub.News(a.channels, a.since)
		told[cursorHeader] = news.At.String()
		if len(news.Channels) > 0 {
			told[newsHeader] = strings.Join(news.Channels, ",")
		}
		if news.Gap {
			told[gapHeader] = "1"
		}
	}
	for _, name := range []string{cursorHeader, newsHeader, gapHeader, errorHeader} {
		h.Del(name)
		if value := told[name]; value != "" || status == http.StatusNotModified {
			// A 304 replaces those headers alone that it has: an old Comet-News of
			// the stored answer would be told again with each.
			h.Set(name, value)
		}
	}
	// The browser's own cache may keep the answer, but only for who asks the same.
	h.Add("Vary", sinceHeader+", "+channelsHeader)
	makePrivate(h)
}

// makePrivate keeps the answer out of caches that serve more than one client.
func makePrivate(h http.Header) {
	// These go before Cache-Control: for caches in front of us (RFC 9213), and
	// for nginx.
	for _, name := range []string{"CDN-Cache-Control", "Surrogate-Control", "X-Accel-Expires"} {
		h.Del(name)
	}
	// In front, so that no quote that somebody left open hides it.
	kept := []string{"private"}
	for _, directive := range cacheDirectives(strings.Join(h.Values("Cache-Control"), ",")) {
		name, value, _ := strings.Cut(directive, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "no-store":
			return
		case "private":
			if value == "" { // with one it speaks of single headers
				return
			}
		case "public", "s-maxage":
		default:
			kept = append(kept, directive)
		}
	}
	h.Set("Cache-Control", strings.Join(kept, ", "))
}

// cacheDirectives splits at the commas that are not in quotes.
func cacheDirectives(list string) []string {
	var all []string
	quoted, begin := false, 0
	add := func(end int) {
		if d := strings.TrimSpace(list[begin:end]); d != "" {
			all = append(all, d)
		}
		begin = end + 1
	}
	for i := range len(list) {
		switch {
		case list[i] == '"':
			quoted = !quoted
		case list[i] == ',' && !quoted:
			add(i)
		}
	}
	add(len(list))
	return all
}
