package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// endpoint is a hub for publishers: what comet_publish and the admin API serve.
type endpoint struct {
	hub    *sharedHub
	retire <-chan struct{}
}

// Bounds of what a publisher sends besides the data.
const (
	maxType        = 128
	maxID          = 128
	maxContentType = 256
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
		e.list(w)
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

type published struct {
	Channel   string `json:"channel"`
	Cursor    string `json:"cursor"`
	Receivers int    `json:"receivers"`
	Repeated  bool   `json:"repeated,omitempty"`
}

func (e endpoint) publish(w http.ResponseWriter, r *http.Request, channels []string) {
	limit := e.hub.Limits().EventBytes
	if r.ContentLength > int64(limit) {
		writeError(w, http.StatusRequestEntityTooLarge, tooLarge(limit))
		return
	}
	if total := e.hub.Limits().TotalBytes; int64(len(channels))*r.ContentLength > max(total, int64(limit)) {
		writeError(w, http.StatusRequestEntityTooLarge, tooLargeTogether(len(channels), total))
		return
	}
	freight := e.hub.Arriving()
	defer freight.Close()
	data, err := io.ReadAll(arriving{http.MaxBytesReader(w, r.Body, int64(limit)), &freight})
	if int64(len(channels)*len(data)) > max(e.hub.Limits().TotalBytes, int64(limit)) {
		writeError(w, http.StatusRequestEntityTooLarge, tooLargeTogether(len(channels), e.hub.Limits().TotalBytes))
		return
	}
	if errors.Is(err, hub.ErrTooMuch) {
		metrics().denied.WithLabelValues(e.hub.name, "limit").Inc()
		writePublishError(w, err)
		return
	}
	if err != nil {
		var over *http.MaxBytesError
		if errors.As(err, &over) {
			writeError(w, http.StatusRequestEntityTooLarge, tooLarge(limit))
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			writeError(w, http.StatusRequestTimeout, errors.New("the body came too slowly"))
			return
		}
		writeError(w, http.StatusBadRequest, errors.New("the body did not arrive as announced"))
		return
	}
	draft, err := readDraft(r.Header, data)
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	drafts := make([]hub.Draft, len(channels))
	for i, c := range channels {
		drafts[i] = draft
		drafts[i].Channel = c
	}
	results, err := e.hub.Publish(r.Context(), drafts)
	if err != nil {
		if isStoreError(err) {
			metrics().denied.WithLabelValues(e.hub.name, "store").Inc()
		}
		writePublishError(w, err)
		return
	}
	answers := make([]published, len(results))
	for i, res := range results {
		answers[i] = published{res.Channel, res.Cursor.String(), res.Receivers, res.Repeated}
	}
	if len(answers) == 1 {
		writeJSON(w, http.StatusOK, answers[0])
		return
	}
	writeJSON(w, http.StatusOK, answers)
}

// arriving counts what is read.
type arriving struct {
	io.Reader
	freight *hub.Freight
}

func (a arriving) Read(b []byte) (int, error) {
	n, err := a.Reader.Read(b)
	if full := a.freight.Add(n); full != nil {
		return 0, full
	}
	return n, err
}

// tooLargeTogether is for an event that would push out all history, and more: it
// counts in each of its channels.
func tooLargeTogether(channels int, limit int64) error {
	return fmt.Errorf("the body is too large for %d channels: all that a hub keeps are %d bytes (max_history); publish a reference instead", channels, limit)
}

func tooLarge(limit int) error {
	return fmt.Errorf("the body is too large: the limit is %d bytes (max_event); publish a reference instead", limit)
}

// readDraft reads what a publisher says of an event.
func readDraft(header http.Header, data []byte) (hub.Draft, error) {
	d := hub.Draft{
		Type: header.Get("Comet-Type"), ID: header.Get("Comet-Id"),
		ContentType: contentType(header.Get("Content-Type"), data),
		Data:        data, Source: "post",
	}
	switch {
	case len(d.ContentType) > maxContentType:
		return d, fmt.Errorf("the Content-Type has %d bytes; the limit is %d", len(d.ContentType), maxContentType)
	case len(data) > 0 && dialect.IsJSON(d.ContentType) && !json.Valid(data):
		return d, fmt.Errorf("the Content-Type says JSON, and the body is none; encode it with json_encode(), or send text/plain")
	}
	if err := checkWord("Comet-Type", d.Type, maxType); err != nil {
		return d, err
	}
	return d, checkWord("Comet-Id", d.ID, maxID)
}

// contentType returns the media type that an event is given. What curl and
// PHP's streams send when nobody chose a type says nothing about the data: then
// a JSON object or array is JSON and all else is text.
func contentType(given string, data []byte) string {
	mediaType, _, _ := strings.Cut(given, ";")
	if mediaType != "" && !strings.EqualFold(strings.TrimSpace(mediaType), "application/x-www-form-urlencoded") {
		return given
	}
	if len(data) > 0 && (data[0] == '{' || data[0] == '[') && json.Valid(data) {
		return "application/json"
	}
	if !utf8.Valid(data) {
		return "application/octet-stream"
	}
	return "text/plain; charset=utf-8"
}

func checkWord(name, value string, limit int) error {
	if len(value) > limit {
		return fmt.Errorf("%s has %d bytes; the limit is %d", name, len(value), limit)
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return fmt.Errorf("%s must be UTF-8 without control characters", name)
	}
	return nil
}

func writePublishError(w http.ResponseWriter, err error) {
	writeError(w, publishStatus(w.Header(), err), err)
}

// publishStatus returns the status of an error of the hub, and sets the header that
// goes with it.
func publishStatus(header http.Header, err error) int {
	switch {
	case errors.Is(err, hub.ErrName):
		return http.StatusBadRequest
	case errors.Is(err, hub.ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, hub.ErrFull):
		header.Set("Retry-After", "3")
		return http.StatusInsufficientStorage
	case errors.Is(err, hub.ErrTooManyChannels), errors.Is(err, hub.ErrTooMuch), errors.Is(err, hub.ErrClosed), isStoreError(err):
		header.Set("Retry-After", "3")
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
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

type described struct {
	Channel string `json:"channel"`
	Held    int    `json:"held"`
	Cursor  string `json:"cursor"`
	History int    `json:"history"`
	Bytes   int64  `json:"bytes"`
}

func describe(i hub.Info) described {
	return described{i.Channel, i.Held, i.Cursor.String(), i.History, i.Bytes}
}

func (e endpoint) list(w http.ResponseWriter) {
	infos, cursor := e.hub.List(maxListed)
	stats := e.hub.Stats()
	listed := make([]described, len(infos))
	for i := range infos {
		listed[i] = describe(infos[i])
	}
	answer := map[string]any{"hub": e.hub.name, "cursor": cursor.String(), "held": stats.Holds, "channels": listed}
	if more := stats.Channels - len(listed); more > 0 {
		answer["more"] = more
	}
	writeJSON(w, http.StatusOK, answer)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written as JSON"}`)
	}
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
