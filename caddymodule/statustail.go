package caddymodule

import (
	"encoding/base64"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// tailAnswer is a stream of events for people: each as JSON, with no more of its data
// than one looks at, and where many come at once, the last of them. How many are left
// out is said.
type tailAnswer struct{ dialect.Answer }

func (tailAnswer) Class() string { return "status tail" }

const (
	// tailEvents is how many events of a delivery are shown.
	tailEvents = 100
	// tailBytes is how much of an event's data is.
	tailBytes = 4 << 10
)

// tailed is an event as the page has it.
type tailed struct {
	Channel     string    `json:"channel"`
	Cursor      string    `json:"cursor"`
	Time        time.Time `json:"time"`
	Type        string    `json:"type"`
	ContentType string    `json:"content_type,omitempty"`
	// Size is how many bytes the data has, Data the first of them as text, or as base64
	// where Binary.
	Size   int    `json:"size"`
	Data   string `json:"data"`
	Binary bool   `json:"binary,omitempty"`
}

// Events implements [hold.Answer].
func (a tailAnswer) Events(d *hub.Delivery) []byte {
	var b []byte
	events := d.Events
	if d.Gap {
		b = append(b, "event: gap\ndata: \n\n"...)
	}
	if more := len(events) - tailEvents; more > 0 {
		text, _ := json.Marshal(more) // a number always can be
		b = append(b, "event: more\ndata: "...)
		b = append(append(b, text...), "\n\n"...)
		events = events[more:]
	}
	for _, e := range events {
		at := hub.Cursor{Epoch: d.Cursor.Epoch, Seq: e.Seq}
		t := tailed{Channel: e.Channel, Cursor: at.String(), Time: e.Time, Type: e.Type, ContentType: e.ContentType, Size: len(e.Data)}
		t.Data, t.Binary = beginning(e.Data)
		text, err := json.Marshal(t)
		if err != nil {
			continue // as for a time beyond the year 9999
		}
		b = append(b, "id: "...)
		b = at.Append(b)
		b = append(b, "\ndata: "...)
		b = append(append(b, text...), "\n\n"...)
	}
	return b
}

// beginning is the first of data, as text where all of it is.
func beginning(data []byte) (text string, binary bool) {
	if utf8.Valid(data) {
		cut := min(len(data), tailBytes)
		for cut < len(data) && !utf8.RuneStart(data[cut]) {
			cut--
		}
		return string(data[:cut]), false
	}
	return base64.StdEncoding.EncodeToString(data[:min(len(data), tailBytes)]), true
}
