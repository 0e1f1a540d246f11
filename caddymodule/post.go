package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-comet/caddy-comet/internal/access"
	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// Bounds of what a publisher sends besides the data.
const (
	maxType        = 128
	maxID          = 128
	maxContentType = 256
)

type published struct {
	Channel   string `json:"channel"`
	Cursor    string `json:"cursor"`
	Receivers int    `json:"receivers"`
	Repeated  bool   `json:"repeated,omitempty"`
}

func (e endpoint) publish(w http.ResponseWriter, r *http.Request, channels []string) {
	limits := e.hub.Limits()
	limit := min(limits.EventBytes, or(e.maxEvent, limits.EventBytes))
	if r.ContentLength > int64(limit) {
		writeError(w, http.StatusRequestEntityTooLarge, tooLarge(limit))
		return
	}
	// It counts in each of its channels. Not every body says its length before.
	tooMuch := func(size int64) bool { return int64(len(channels))*size > max(limits.TotalBytes, int64(limit)) }
	if tooMuch(r.ContentLength) {
		writeError(w, http.StatusRequestEntityTooLarge, tooLargeTogether(len(channels), limits.TotalBytes))
		return
	}
	data, done, ok := e.receive(w, r, int64(limit), tooLarge(limit))
	if !ok {
		return
	}
	defer done()
	if tooMuch(int64(len(data))) {
		writeError(w, http.StatusRequestEntityTooLarge, tooLargeTogether(len(channels), limits.TotalBytes))
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
	results, err := e.hub.tell(r.Context(), drafts)
	if err != nil {
		e.writeRefused(w, err)
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

// receive reads the body of a publish, which counts as under way until done is called.
// Where it is not ok it has been refused.
func (e endpoint) receive(w http.ResponseWriter, r *http.Request, limit int64, large error) (data []byte, done func(), ok bool) {
	if r.ContentLength > limit {
		writeError(w, http.StatusRequestEntityTooLarge, large)
		return nil, nil, false
	}
	freight := e.hub.Arriving()
	data, err := io.ReadAll(arriving{http.MaxBytesReader(w, r.Body, limit), &freight})
	if err == nil {
		return data, func() { freight.Close() }, true
	}
	freight.Close()
	var over *http.MaxBytesError
	switch {
	case errors.Is(err, hub.ErrTooMuch):
		metrics().denied.WithLabelValues(e.hub.name, "limit").Inc()
		writePublishError(w, err)
	case errors.As(err, &over):
		writeError(w, http.StatusRequestEntityTooLarge, large)
	case errors.Is(err, os.ErrDeadlineExceeded):
		writeError(w, http.StatusRequestTimeout, errors.New("the body came too slowly"))
	default:
		writeError(w, http.StatusBadRequest, errors.New("the body did not arrive as announced"))
	}
	return nil, nil, false
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

// tooLargeTogether is for an event that would push out all history, and more.
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

// writeRefused answers that an event is not taken, and counts it where it is no mistake
// of the publisher's.
func (e endpoint) writeRefused(w http.ResponseWriter, err error) {
	if reason := refusedAs(err, ""); reason != "" {
		metrics().denied.WithLabelValues(e.hub.name, reason).Inc()
	}
	writePublishError(w, err)
}

func writePublishError(w http.ResponseWriter, err error) {
	writeError(w, publishStatus(w.Header(), err), err)
}

// publishStatus returns the status of an error of the hub, and sets the header that
// goes with it.
func publishStatus(header http.Header, err error) int {
	if fast := new(tooFast); errors.As(err, &fast) {
		fast.retryAfter(header)
		return http.StatusTooManyRequests
	}
	switch {
	case errors.As(err, new(access.ErrNever)):
		return http.StatusRequestEntityTooLarge
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
