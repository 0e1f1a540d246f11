// Package handoff is how a site hands a request over that it has answered: its answer
// says in headers, or as a JSON object, that the request is to be held, on which
// channels, and what its client gets. The words are ours (Comet-Hold, …) or those of
// GRIP (Grip-Hold, …, application/grip-instruct), which mean the same.
//
// It has what such an answer means ([Read]), what a publisher sends for those who wait
// ([Items]), and what they get of it ([NewPoll], [NewFlow]). It waits for nothing.
package handoff

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Mode is how a request is held.
type Mode string

// The modes. Answers without a mode are not held.
const (
	// Response: the event is the answer.
	Response Mode = "response"
	// Stream: events are appended to the answer.
	Stream Mode = "stream"
	// Retry: the site is asked again when there is an event.
	Retry Mode = "retry"
)

// Instruction is what a site says of a request.
type Instruction struct {
	Mode     Mode
	Channels []Channel
	// Since is the position up to which the site knows everything, "" where it does not
	// say.
	Since string
	// User is whom the request is held for, "" where the site does not say.
	User string
	// Timeout is how long nothing may happen, 0 for the usual time.
	Timeout time.Duration
	// KeepAlive is written to a stream that is silent for Beat. nil: nothing is said of
	// it.
	KeepAlive []byte
	Beat      time.Duration
	// Next is where the site tells how a stream goes on, "" where it does not, and Idle
	// after how long without an event it is asked.
	Next string
	Idle time.Duration
	// Status is the answer's own where that could not be sent as it is, 0 else.
	Status int
	// Answer replaces the answer that the instruction came in, nil where that is the
	// answer.
	Answer *Answer
}

// Channel is one that the request waits for.
type Channel struct {
	Name string
	// PrevID is the ID of the last event that the site knows of, Since a position; "" if
	// it does not say.
	PrevID, Since string
}

// Answer is what a client gets at once.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// words are the headers of both languages, by the name behind their prefix.
var words = []string{"Hold", "Channel", "Timeout", "Keep-Alive", "Link", "Status"}

const (
	ourPrefix  = "Comet-"
	gripPrefix = "Grip-"
	sinceName  = "Comet-Since"
	userName   = "Comet-User"
	// instructType is the media type of an instruction in an answer's body.
	instructType = "application/grip-instruct"
)

// Limits of what a site may say.
const (
	maxChannels = 100
	maxHeader   = 64 << 10
	// MaxAnswer is how large an answer may be that is kept while its client waits.
	MaxAnswer = 100_000
	maxWait   = time.Hour
)

// Usual times, which are GRIP's.
const (
	usualBeat = 55 * time.Second
	usualIdle = 120 * time.Second
)

// Told reports whether an answer has an instruction.
func Told(h http.Header) bool {
	if InBody(h) {
		return true
	}
	for name := range h {
		if instructs(name) {
			return true
		}
	}
	return false
}

// instructs reports whether a header is part of an instruction. All that begin as GRIP's
// do are its.
func instructs(name string) bool {
	word, our := strings.CutPrefix(name, ourPrefix)
	return our && slices.Contains(words, word) || strings.HasPrefix(name, gripPrefix)
}

// InBody reports whether an answer's body is an instruction.
func InBody(h http.Header) bool {
	mediaType, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), instructType)
}

// Strip takes instructions out of an answer, or what a client sent as if it were one out
// of a request.
func Strip(h http.Header) {
	for name := range h {
		if instructs(strings.TrimPrefix(name, http.TrailerPrefix)) {
			delete(h, name)
		}
	}
}

// StripAnswer is Strip for an answer, in which two headers more are of an instruction.
func StripAnswer(h http.Header) {
	Strip(h)
	h.Del(sinceName)
	h.Del(userName)
}
