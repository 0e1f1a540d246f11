package hub

import "time"

// Some dialects have a clock of whole seconds and nothing else: a client says
// "what is newer than second 1700000000?" and gets a second as its answer. Two
// events in one second are one for it, and the second is lost, if it read
// between them.
//
// So an event carries a stamp, a virtual second: the second in which it
// happened, unless a client already has that one (or waits on it), or another
// event with data has it, then the next. Stamps may thus run ahead of the clock, but not far (stampAhead): past
// that, events share a stamp, and the hub raises the stamp once more as soon as
// stampPause allows. Every event is followed by a call, though not each by its
// own.

const (
	// stampAhead is how far stamps may run ahead of the clock.
	stampAhead = 5 * time.Second
	// stampPause is after how long a stamp may always rise by one, however far
	// ahead it is: a clock that was set back by an hour must not silence a
	// channel for an hour.
	stampPause = time.Second
)

// StampState is what a log remembers of a channel's stamps. The zero value is
// a channel without any.
type StampState struct {
	// Last is the newest stamp, in seconds since 1970.
	Last int64
	// Risen is when Last was given out, on the log's own clock.
	Risen time.Time
}

// NextStamp returns the state with the stamp of the next event, which may be
// the old one: then the event merges with those before it.
//
// taken says that only a greater stamp than the last will do; see
// [Draft.OwnStamp]. changed is when the thing itself says that it
// changed, and counts as now if it is zero or lies too far in the future. No
// event has stamp 0, however old the thing is: that is a channel without any.
func NextStamp(s StampState, taken bool, changed, now time.Time) StampState {
	if changed.IsZero() || changed.After(now.Add(stampAhead)) {
		changed = now
	}
	want := max(changed.Unix(), 1)
	switch {
	case !taken:
		want = max(want, s.Last)
	case want <= s.Last:
		want = s.Last + 1
		// Risen lies in the future where the clock was set back.
		if rest := now.Sub(s.Risen); want > now.Add(stampAhead).Unix() && rest >= 0 && rest < stampPause {
			return s
		}
	}
	if want == s.Last {
		return s
	}
	return StampState{Last: want, Risen: now}
}
