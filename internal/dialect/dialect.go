// Package dialect has the languages that clients speak: how a request names its
// channels and its position, and how events are written to it. A dialect only
// reads and writes; it waits for nothing, and knows neither Caddy nor how a
// request is held.
//
// A dialect is one file here (or a folder, where it is a protocol of its own),
// its test, and one line in the list below.
package dialect

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// dialects are all there are, by the name that the configuration uses.
var dialects = map[string]func(Options) Dialect{
	"native":   newNative,
	"novcomet": newNovComet,
}

// Dialect reads one kind of client.
type Dialect interface {
	// Read says what the request asks for. The error is [ErrPass] where the
	// request belongs to the site behind us, or an [*Error] for the client.
	Read(r *http.Request) (Ask, error)
}

// Options are a dialect's settings. Each dialect uses those that concern it.
type Options struct {
	// AnswerPublish lets the dialect's own publish requests be answered here
	// instead of by the site.
	AnswerPublish bool
}

// New returns the dialect of that name.
func New(name string, o Options) (Dialect, bool) {
	f, ok := dialects[name]
	if !ok {
		return nil, false
	}
	return f(o), true
}

// Names lists the dialects.
func Names() []string { return slices.Sorted(maps.Keys(dialects)) }

// Default is the Wait of an [Ask] that names none.
const Default time.Duration = -1

// Ask is what a request wants.
type Ask struct {
	Channels []string
	Since    hub.Since
	// Wait is how long the request wants to wait at most if nothing happens: 0
	// answers at once, [Default] leaves it to the settings.
	Wait   time.Duration
	Answer Answer
	// Publish, if not empty, says that the request is no question: it publishes
	// on this channel (only with [Options.AnswerPublish]).
	Publish string
}

// Answer writes what a client gets. It has no state, so that equal answers can
// be shared.
type Answer interface {
	// Stream reports whether the answer goes on after the first events.
	Stream() bool
	// ContentType is the answer's media type.
	ContentType() string
	// Class names the encoding: two answers of one class write a delivery with
	// the same bytes.
	Class() string
	// Events writes a delivery.
	Events(*hub.Delivery) []byte
	// Open is what a stream begins with, at a position; the zero cursor where
	// events follow that carry theirs.
	Open(at hub.Cursor) []byte
	// Idle says that nothing happened: a poll's answer then, a stream's
	// heartbeat.
	Idle(at hub.Cursor) []byte
	// Bye ends the answer because the server must: the client is to come back
	// after retry, with the position.
	Bye(at hub.Cursor, retry time.Duration) []byte
	// Full refuses a client for now: an HTTP status that this kind of client
	// survives, and a body.
	Full(reason string, retry time.Duration) (status int, body []byte)
}

// ErrPass says that a request is for the site behind us.
var ErrPass = errors.New("the request is not for comet")

// Error is a request that cannot be understood, in a sentence for whoever wrote
// it.
type Error struct {
	Status int
	Text   string
}

func (e *Error) Error() string { return e.Text }

func badRequest(format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Text: fmt.Sprintf(format, args...)}
}

// maxChannels is how many channels a request may name; the hub has a limit of
// its own. It stands here so that a list of any length costs nothing.
const maxChannels = 1000
