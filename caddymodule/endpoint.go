package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// endpoint is a hub for publishers: what comet_publish and the admin API serve.
type endpoint struct {
	hub    *sharedHub
	retire <-chan struct{}
	// maxEvent is the limit of an event's data where it is less than the hub's, or 0.
	maxEvent int
	// more reports why the publisher may not come with so many events beside the first,
	// where that is known no earlier. nil where all may.
	more func(events int) (status int, err error)
}

const (
	// maxPublish is how many channels one POST may name.
	maxPublish = 1000
	// maxListed is how many channels a listing shows.
	maxListed = 1000
	// maxTail is how long a GET with since waits: the admin API is no place to
	// hold requests for long.
	maxTail = 5 * time.Second
)

// serve answers a request whose escaped channel list is names, "" for the
// endpoint itself.
func (e endpoint) serve(w http.ResponseWriter, r *http.Request, names string) {
	if names == "" {
		if !allow(w, r, http.MethodGet, http.MethodHead) {
			return
		}
		e.list(w, r)
		return
	}
	switch names {
	case holdsName:
		e.serveHolds(w, r)
		return
	case statusName:
		if allow(w, r, http.MethodGet, http.MethodHead) {
			writeJSON(w, http.StatusOK, statusOf(e.hub.withNamespaces()))
		}
		return
	}
	channels, err := publishNames(names)
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	for _, c := range channels {
		if c == "publish" || strings.HasPrefix(c, "_") {
			writeError(w, http.StatusNotFound, fmt.Errorf("the name %q is kept for the endpoint itself; choose another channel", c))
			return
		}
	}
	if !allow(w, r, http.MethodPost, http.MethodGet, http.MethodHead, http.MethodDelete) {
		return
	}
	switch {
	case r.Method == http.MethodPost:
		e.publish(w, r, channels)
	case r.Method != http.MethodDelete && r.URL.Query().Has("since"):
		e.tail(w, r, channels)
	case len(channels) > 1:
		writeError(w, http.StatusBadRequest, errors.New("one channel at a time"))
	case r.Method == http.MethodDelete:
		if !e.hub.Delete(channels[0]) {
			writeError(w, http.StatusNotFound, noChannel(channels[0]))
			return
		}
		if err := e.hub.Settle(r.Context()); err != nil {
			writeError(w, publishStatus(w.Header(), err), errors.New("the history is deleted in memory, but not on the disk, which cannot be written; it is deleted there with the next event that can be stored"))
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{"channel": channels[0], "deleted": true})
	default:
		info, ok := e.hub.Info(channels[0])
		if !ok {
			writeError(w, http.StatusNotFound, noChannel(channels[0]))
			return
		}
		writeJSON(w, http.StatusOK, describe(info))
	}
}

func noChannel(name string) error {
	return fmt.Errorf("there is no channel %q: nothing is kept of it and nobody follows it", name)
}

func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	writeError(w, http.StatusMethodNotAllowed, fmt.Errorf("%s is not for this address; use %s", r.Method, strings.Join(methods, ", ")))
	return false
}

// publishNames splits the list at its commas and then decodes the names, so
// that a name may have a comma (%2C).
func publishNames(list string) ([]string, error) {
	if n := strings.Count(list, ",") + 1; n > maxPublish {
		return nil, fmt.Errorf("%d channels in one request; the limit is %d", n, maxPublish)
	}
	var channels []string
	for part := range strings.SplitSeq(list, ",") {
		name, err := url.PathUnescape(part)
		if err != nil {
			return nil, fmt.Errorf("the channel's name is not percent-encoded as it should be: %w", err)
		}
		if err := hub.CheckChannel(name); err != nil {
			return nil, err
		}
		channels = append(channels, name)
	}
	return channels, nil
}

// tail answers what happened since a cursor, for `caddy comet tail`.
func (e endpoint) tail(w http.ResponseWriter, r *http.Request, channels []string) {
	since, wait := hub.Since{}, maxTail
	switch text := r.URL.Query().Get("since"); text {
	case "now":
	case "":
		wait = 0
	case "all":
		since = hub.All()
	default:
		cursor, err := hub.ParseCursor(text)
		if err != nil {
			writeError(w, http.StatusBadRequest, err)
			return
		}
		since = hub.After(cursor)
	}
	h := hold.Hold{
		Hub: e.hub.Hub, Channels: channels, Since: since, Wait: wait,
		Answer: dialect.JSONPoll(), Ends: hold.Ends{Stop: process.stop, Retire: e.retire},
	}
	if _, err := h.Serve(w, r); err != nil {
		writeError(w, http.StatusBadRequest, err)
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written as JSON"}`)
	}
	writeRawJSON(w, status, b)
}

func writeRawJSON(w http.ResponseWriter, status int, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// writeError answers with a sentence, as JSON.
func writeError(w http.ResponseWriter, status int, err error) {
	dropBody(w)
	writeJSON(w, status, map[string]string{"error": err.Error()})
}
