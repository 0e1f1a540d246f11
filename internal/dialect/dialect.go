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
var dialects = map[string]func(Options) (Dialect, error){
	"native":   newNative,
	"novcomet": newNovComet,
	"filechat": newFileChat,
	"doorbell": newDoorbell,
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
	// Channels are those of every request, in a dialect that would else read
	// them from the request, or that needs one.
	Channels []string
	// JSONP lets any other site's pages read, through a script element.
	JSONP bool
	// Heartbeat is after how long a silent stream gives a sign of life, for
	// clients that are to notice its absence.
	Heartbeat time.Duration
}

// New returns the dialect of that name. The error says what is wrong with the
// name or the options.
func New(name string, o Options) (Dialect, error) {
	f, ok := dialects[name]
	if !ok {
		return nil, fmt.Errorf("dialect %q is not known", name)
	}
	d, err := f(o)
	if err != nil {
		return nil, fmt.Errorf("dialect %s: %w", name, err)
	}
	return d, nil
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
	// Beat is how often a stream's client wants a sign of life at least, 0 where it
	// asks for none.
	Beat time.Duration
	// Position says where in the query the position stands, nil where the request
	// may have it elsewhere.
	Position Position
	// Public says that pages of any other site may read the answer.
	Public bool
	// Publish, if not empty, says that the request is no question: it publishes
	// Data on this channel (where a dialect's publishing goes to the site, only
	// with [Options.AnswerPublish]).
	Publish string
	Data    []byte
}

// Deny has an answer that goes on begin with which of the channels are not followed, and
// why, where its client reads that: a WebSocket's, and that of an event stream with
// beats.
func (a *Ask) Deny(channels []string, reason string) {
	switch answer := a.Answer.(type) {
	case websocket:
		answer.denied = string(answer.Denied(channels, reason))
		a.Answer = answer
	case nativeSSE:
		if answer.beat {
			answer.denied = string(answer.deny(channels, reason))
			a.Answer = answer
		}
	}
}

// Answer writes what a client gets. It has no state, so that equal answers can
// be shared.
type Answer interface {
	// Transport names the way in which the answer comes, from a short fixed
	// list: it is a metric's label.
	Transport() string
	// Stream reports whether the answer goes on after the first events.
	Stream() bool
	// Patient reports whether the client, which is no stream's, knows no answer
	// but an event: it waits for as long as it takes, and gets signs of life
	// (Idle) ahead of its answer.
	Patient() bool
	// Header sets what belongs to this answer alone: the Content-Type at least.
	Header(http.Header)
	// Limit is after how many bytes a stream ends, so that the client begins
	// another and forgets this one. 0 means never.
	Limit() int
	// Class names the encoding: two answers of one class write a delivery with
	// the same bytes.
	Class() string
	// Events writes a delivery.
	Events(*hub.Delivery) []byte
	// Open is what a stream begins with, at a position; the zero cursor where
	// events follow that carry theirs.
	Open(at hub.Cursor) []byte
	// Idle says that nothing happened: a poll's answer then, a stream's
	// heartbeat. A stream that has no such word (nil) repeats its last delivery.
	Idle(at hub.Cursor) []byte
	// Bye ends the answer because the server must: the client is to come back
	// after retry, 0 for at once, with the position.
	Bye(at hub.Cursor, retry time.Duration) []byte
	// Full refuses a client for now: an HTTP status that this kind of client
	// survives, and a body.
	Full(reason string, retry time.Duration) (status int, body []byte)
}

// once is what answers have in common that are given once.
type once struct{}

func (once) Stream() bool           { return false }
func (once) Patient() bool          { return false }
func (once) Limit() int             { return 0 }
func (once) Open(hub.Cursor) []byte { return nil }
func (once) Full(reason string, _ time.Duration) (int, []byte) {
	return http.StatusServiceUnavailable, []byte(reason + "\n")
}

// patient is once for those who know no answer but an event. White space is
// their sign of life: JSON and JavaScript both may begin with it.
type patient struct{ once }

func (patient) Patient() bool                        { return true }
func (patient) Idle(hub.Cursor) []byte               { return []byte("\n") }
func (patient) Bye(hub.Cursor, time.Duration) []byte { return nil }

// stream is what streams have in common.
type stream struct{}

func (stream) Stream() bool  { return true }
func (stream) Patient() bool { return false }
func (stream) Limit() int    { return 0 }

// streamLimit is after how many bytes a stream ends whose client keeps all of it
// in memory.
const streamLimit = 1 << 20

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
