package handoff

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// item is what a publisher sends for one channel, in each form in which somebody may
// wait for it.
type item struct {
	Channel string `json:"channel"`
	ID      string `json:"id"`
	Formats *forms `json:"formats"`
	// Older publishers have the formats beside the rest.
	forms
}

type forms struct {
	Response *responseForm `json:"http-response"`
	Stream   *streamForm   `json:"http-stream"`
	Message  *streamForm   `json:"ws-message"`
}

type responseForm struct {
	message
	Action  string          `json:"action"`
	Patch   json.RawMessage `json:"body-patch"`
	Filters []string        `json:"content-filters"`
}

type streamForm struct {
	Action  string   `json:"action"`
	Content string   `json:"content"`
	Bin     []byte   `json:"content-bin"`
	Filters []string `json:"content-filters"`
}

// maxItems is how many items one publish may have.
const maxItems = 1000

// Items reads what GRIP's publishers send: {"items":[…]}. Each item is one event. What
// is wrong with one of them refuses all. mediaType says of data what it is, where
// nobody does.
func Items(body []byte, mediaType func(given string, data []byte) string) ([]hub.Draft, error) {
	var in struct {
		Items []item `json:"items"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, badJSON(err)
	}
	switch n := len(in.Items); {
	case n == 0:
		return nil, errors.New(`there are no items; send {"items":[{"channel":"…","formats":{…}}]}`)
	case n > maxItems:
		return nil, fmt.Errorf("there are %d items; the limit is %d", n, maxItems)
	}
	drafts := make([]hub.Draft, len(in.Items))
	for k := range in.Items {
		var err error
		if drafts[k], err = in.Items[k].draft(mediaType); err != nil {
			return nil, fmt.Errorf("item %d: %w", k+1, err)
		}
	}
	return drafts, nil
}

// draft makes an item an event. Its data is what those get who wait in no language of
// GRIP's: a message before a piece of a stream, and that before a whole answer.
func (it *item) draft(mediaType func(given string, data []byte) string) (d hub.Draft, err error) {
	f := it.forms
	if it.Formats != nil {
		f = *it.Formats
	}
	d = hub.Draft{Channel: it.Channel, ID: it.ID, Source: "grip"}
	if err := hub.CheckChannel(d.Channel); err != nil {
		return d, err
	}
	var kept kept
	if f.Response != nil {
		if kept.Response, err = f.Response.keep(); err != nil {
			return d, fmt.Errorf("http-response: %w", err)
		}
	}
	if f.Stream != nil {
		if kept.Stream, err = f.Stream.keep("hint", "close"); err != nil {
			return d, fmt.Errorf("http-stream: %w", err)
		}
	}
	var message *piece
	if f.Message != nil {
		if message, err = f.Message.keep("close", "refresh"); err != nil {
			return d, fmt.Errorf("ws-message: %w", err)
		}
	}
	given := ""
	switch {
	case f.Response == nil && f.Stream == nil && f.Message == nil:
		return d, errors.New("it has none of the formats http-response, http-stream and ws-message")
	case message.sends():
		d.Data = message.Body
	case kept.Stream.sends():
		d.Data = kept.Stream.share()
	case kept.Response.sends():
		d.Data, given = kept.Response.share(), http.Header(kept.Response.Header).Get("Content-Type")
	}
	if len(d.Data) > 0 {
		d.ContentType = mediaType(given, d.Data)
	}
	d.Forms, err = json.Marshal(kept)
	return d, err
}

// kept are the forms of an event beside its data.
type kept struct {
	Response *piece `json:"response,omitempty"`
	Stream   *piece `json:"stream,omitempty"`
}

// piece is one form.
type piece struct {
	// Action is what is to be done instead of sending it.
	Action string              `json:"action,omitempty"`
	Status int                 `json:"status,omitempty"`
	Header map[string][]string `json:"header,omitempty"`
	Body   []byte              `json:"body,omitempty"`
	// Data: the body is the event's data.
	Data bool `json:"data,omitempty"`
}

// The actions.
const (
	actionHint  = "hint"
	actionClose = "close"
)

// sends reports whether the form is one to be sent.
func (p *piece) sends() bool { return p != nil && p.Action == "" }

// share has the event's data be the body.
func (p *piece) share() []byte {
	b := p.Body
	p.Body, p.Data = nil, true
	return b
}

// content is the body.
func (p *piece) content(e *hub.Event) []byte {
	if p.Data {
		return e.Data
	}
	return p.Body
}

var errFilters = errors.New("there are no content-filters here; publish on a channel for each kind of visitor")

func (f *responseForm) keep() (*piece, error) {
	action, err := checkAction(f.Action, actionHint)
	switch {
	case err != nil:
		return nil, err
	case len(f.Filters) > 0:
		return nil, errFilters
	case action == "" && len(f.Patch) > 0:
		action = actionHint // the site knows the whole
	}
	if action != "" {
		return &piece{Action: action}, nil
	}
	a, err := f.answer()
	if err != nil {
		return nil, err
	}
	return &piece{Status: a.Status, Header: a.Header, Body: a.Body}, nil
}

func (f *streamForm) keep(actions ...string) (*piece, error) {
	action, err := checkAction(f.Action, actions...)
	switch {
	case err != nil:
		return nil, err
	case len(f.Filters) > 0:
		return nil, errFilters
	case action != "":
		return &piece{Action: action}, nil
	}
	return &piece{Body: append([]byte(f.Content), f.Bin...)}, nil
}

func checkAction(action string, actions ...string) (string, error) {
	if action == "send" || action == "" {
		return "", nil
	}
	for _, known := range actions {
		if action == known {
			return action, nil
		}
	}
	return "", errors.New("the action is not known")
}

// formsOf are the forms of an event. One that was published otherwise has its data as
// either; without data it says no more than that something is new.
func formsOf(e *hub.Event) kept {
	var k kept
	switch {
	case len(e.Forms) > 0 && json.Unmarshal(e.Forms, &k) == nil:
		return k
	case len(e.Data) == 0:
		return kept{Response: &piece{Action: actionHint}, Stream: &piece{Action: actionHint}}
	}
	return kept{
		Response: &piece{Status: http.StatusOK, Header: map[string][]string{"Content-Type": {e.ContentType}}, Data: true},
		Stream:   &piece{Data: true},
	}
}
