package hub

import (
	"slices"
	"strings"
)

// Held is a subscription as [Hub.Holds] finds it.
type Held struct {
	// Note is [SubConfig.Note].
	Note any
	// User is the name of who waits, "" if nobody told.
	User string
	// Channels are the names of the first channels that it follows, Follows is how many
	// there are.
	Channels []string
	Follows  int
}

// maxHeldNames is how many names a [Held] has at most.
const maxHeldNames = 20

// lookAtOnce is how many places in channels, or channels, are looked at before others
// have their turn with the lock: some hundred microseconds.
const lookAtOnce = 512

// Holds calls f for each subscription that a kick would be for, in no order, until f
// returns false. f is called without the lock, some at a time, so that it may take as
// long as it likes and little is kept: who comes or ends meanwhile may be among them or
// not, and who comes back may be so twice.
func (h *Hub) Holds(of Kick, f func(Held) bool) {
	looked, more := 0, true
	var found []Held
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		if looked += 1 + len(s.members); s.hitLocked(of) {
			found = append(found, s.heldLocked())
		}
		if looked < lookAtOnce {
			continue
		}
		if more = h.aside(func() bool { return each(found, f) }); !more {
			return
		}
		looked, found = 0, found[:0]
	}
	h.aside(func() bool { return each(found, f) })
}

// aside calls f without the lock, which must be held.
func (h *Hub) aside(f func() bool) bool {
	h.mu.Unlock()
	defer h.mu.Lock()
	return f()
}

func each[T any](all []T, f func(T) bool) bool {
	for _, v := range all {
		if !f(v) {
			return false
		}
	}
	return true
}

func (s *Sub) heldLocked() Held {
	held := Held{Note: s.note, Follows: len(s.members)}
	if s.who != nil {
		held.User = s.who.User
	}
	held.Channels = make([]string, min(len(s.members), maxHeldNames))
	for i := range held.Channels {
		held.Channels[i] = s.members[i].ch.name
	}
	return held
}

// By is an order of channels.
type By uint8

// The orders: the most followed first, the most events first, the latest event first.
// Where they are alike, the name decides.
const (
	ByHeld By = iota
	ByEvents
	ByLatest
)

func (by By) compare(a, b Info) int {
	of := func(i Info) uint64 {
		switch by {
		case ByEvents:
			return i.Events
		case ByLatest:
			return i.Cursor.Seq
		}
		return uint64(i.Held)
	}
	switch x, y := of(a), of(b); {
	case x > y:
		return -1
	case x < y:
		return 1
	}
	return strings.Compare(a.Channel, b.Channel)
}

// First describes the first channels in an order, at most limit. It goes through all of
// them without keeping the lock for long, so that they need not be of one moment.
func (h *Hub) First(limit int, by By) []Info {
	var first []Info
	cut := func() bool {
		slices.SortFunc(first, by.compare)
		first = first[:min(limit, len(first))]
		return true
	}
	looked := 0
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ch := range h.channels {
		if ch.list != h.idle {
			first = append(first, h.infoLocked(ch))
		}
		if looked++; looked >= lookAtOnce {
			looked = 0
			h.aside(cut)
		}
	}
	h.aside(cut)
	return first
}
