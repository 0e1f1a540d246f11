package hub

import "time"

// DefaultType is the type of an event whose publisher named none, the same
// word that the EventSource API uses (WHATWG HTML, section 9.2).
const DefaultType = "message"

// FileSource is the [Draft.Source] of what happened to a file: what happened to
// it while nobody looked is not known.
const FileSource = "file"

// Draft is an event as its publisher hands it over, before the [Log] has given
// it a place.
type Draft struct {
	// Channel is where the event happened; see [CheckChannel].
	Channel string
	// Type names the event for clients that tell events apart. Empty means
	// [DefaultType].
	Type string
	// ContentType is the media type of Data. Empty means text/plain.
	ContentType string
	// Data is the event's content and must not be changed afterwards. It may
	// be empty: a touch says only that something happened.
	Data []byte
	// ID makes a repeated publish harmless: a second draft with the same
	// channel and ID is answered with the first one's place and wakes nobody.
	// Empty means that the draft is never a repetition.
	ID string
	// Forms are what else the event is, for who understands them: the hub only keeps
	// them. They count as data.
	Forms []byte
	// Changed is when the thing itself says that it changed (a file's
	// modification time). It feeds the stamp alone. Zero means now.
	Changed time.Time
	// Quiet says that the draft is no news: it was there before anybody looked.
	// It sets the stamp and stands in the history, but wakes nobody: who waits
	// gets it with the next event that is news, or when it rests.
	Quiet bool
	// StampOnly says that there is no event, only a new stamp.
	StampOnly bool
	// Lost says that there is no event either, but that some are lost before they
	// had a place: whoever follows the channel is told of a gap. It has a place.
	Lost bool
	// StampTaken says that a client may have the channel's last stamp. The hub
	// sets it, in its copy of the draft.
	StampTaken bool
	// State says that the event is all that there is to know of its thing (a
	// file's content), so that the newest one outlives the history's count and
	// age for as long as the thing is there (Kept).
	State bool
	// Kept says that a thing stands behind the channel (a file exists), so that
	// the channel must not be forgotten until [Hub.Gone].
	Kept bool
	// Source says where the draft came from ("file", "post", …). It is a
	// metric's label, so it comes from a short fixed list.
	Source string
}

// OwnStamp reports whether the stamp must be a new one: a client may have the
// last one, or the draft is news with data. Who reads the data by stamps could
// not tell two events of one stamp apart, and would miss one.
func (d *Draft) OwnStamp() bool { return d.StampTaken || d.ContentType != "" && !d.Quiet }

// Event is one thing that happened, with its place in the hub's order. Events
// are shared between all who read them and never change.
type Event struct {
	Channel string
	// Seq is the event's place in the order of the whole hub, from 1.
	Seq uint64
	// Time is when the log took the event.
	Time time.Time
	// Stamp is the event's virtual second, for dialects whose clock is whole
	// seconds; see [NextStamp].
	Stamp int64
	// Type is never empty.
	Type        string
	ContentType string
	Data        []byte
	// ID and Forms are the draft's.
	ID    string
	Forms []byte
}

// event is the entry as its channel's readers get it, with the defaults in the place
// of what its publisher left out.
func (e *Entry) event(ch *channel) *Event {
	event := &Event{
		Channel: ch.name, Seq: e.Seq, Time: e.Time, Stamp: e.Stamp,
		Type: e.Type, ContentType: e.ContentType, Data: e.Data, ID: e.ID, Forms: e.Forms,
	}
	if event.Type == "" {
		event.Type = DefaultType
	}
	if event.ContentType == "" {
		event.ContentType = "text/plain; charset=utf-8"
	}
	return event
}
