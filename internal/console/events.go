package console

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"time"
)

// event is one as the server tells it.
type event struct {
	Channel  string          `json:"channel"`
	Time     time.Time       `json:"time"`
	Type     string          `json:"type"`
	Data     json.RawMessage `json:"data"`
	Encoding string          `json:"encoding"`
}

// readEvent reads an event, and says so in its place where it is none.
func readEvent(raw json.RawMessage) (e event) {
	if err := json.Unmarshal(raw, &e); err != nil {
		return event{Channel: "?", Type: "message", Data: raw}
	}
	return e
}

// text is the event's data for people: text as it is, JSON as it stands, bytes by their
// number.
func (e event) text() string {
	var s string
	if json.Unmarshal(e.Data, &s) != nil {
		return Plain(string(e.Data))
	}
	if e.Encoding == "base64" {
		return fmt.Sprintf("(%d bytes)", base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(s, "="))))
	}
	return Plain(s)
}

// line is the event in one line, channels of up to width characters one below the other.
func (e event) line(width int) string {
	kind := ""
	if e.Type != "" && e.Type != "message" {
		kind = bold.Render(Plain(e.Type)) + " "
	}
	name := Plain(e.Channel)
	gap := strings.Repeat(" ", max(0, width-len(name)))
	return faint.Render(e.Time.Local().Format("15:04:05.000")) + "  " + tint(e.Channel).Render(name) + gap + "  " + kind + e.text()
}

// EventPrinter writes events: in colours for people, or with JSON each as a line.
type EventPrinter struct {
	// Out takes colours or leaves them out; see [Colours].
	Out  io.Writer
	JSON bool
	// Width is that of the longest channel.
	Width int
}

// Print writes one.
func (p EventPrinter) Print(raw json.RawMessage) error {
	line := string(raw)
	if !p.JSON {
		line = readEvent(raw).line(p.Width)
	}
	_, err := fmt.Fprintln(p.Out, line)
	return err
}

// place is a number that a name always has.
func place(name string, of int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return int(h.Sum32() % uint32(of))
}
