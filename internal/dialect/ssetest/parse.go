// Package ssetest reads event streams as browsers do, for tests.
package ssetest

import (
	"strconv"
	"strings"
	"time"
)

// Message is an event that a browser dispatches.
type Message struct {
	Type, Data string
	// ID is the last event ID when the message was dispatched.
	ID string
}

// Stream is what a browser makes of a stream, or of its beginning.
type Stream struct {
	Messages []Message
	// ID is what the browser sends as Last-Event-ID when it comes back.
	ID string
	// Retry is the reconnection time, 0 if none was given.
	Retry time.Duration
}

// Parse follows WHATWG HTML, section 9.2.6, to the letter. Lines without an end
// are dropped, as is an event without a blank line behind it.
func Parse(b []byte) Stream {
	text := strings.ToValidUTF8(string(b), "\ufffd")
	text = strings.TrimPrefix(text, "\ufeff")
	var s Stream
	var data, kind, id string
	for {
		line, rest, ok := cutLine(text)
		if !ok {
			return s
		}
		text = rest
		if line == "" {
			s.ID = id
			if data != "" {
				s.Messages = append(s.Messages, Message{or(kind, "message"), strings.TrimSuffix(data, "\n"), id})
			}
			data, kind = "", ""
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field { // a comment has the field ""
		case "event":
			kind = value
		case "data":
			data += value + "\n"
		case "id":
			if !strings.Contains(value, "\x00") {
				id = value
			}
		case "retry":
			if n, err := strconv.ParseUint(value, 10, 31); err == nil {
				s.Retry = time.Duration(n) * time.Millisecond
			}
		}
	}
}

// cutLine cuts after the first CRLF, LF or CR.
func cutLine(s string) (line, rest string, ok bool) {
	i := strings.IndexAny(s, "\r\n")
	if i < 0 {
		return "", s, false
	}
	if strings.HasPrefix(s[i:], "\r\n") {
		return s[:i], s[i+2:], true
	}
	return s[:i], s[i+1:], true
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
