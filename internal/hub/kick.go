package hub

import (
	"errors"
	"fmt"
	"time"
)

// Who is who waits, by whose right, and until when. All subscriptions by the same
// right may share one.
type Who struct {
	// User is the visitor's name, "" if nobody told.
	User string
	// Sessions are what the visitor's sessions are known by.
	Sessions []string
	// Granted is when the right to listen was asked for. Zero is before any kick.
	Granted time.Time
	// Expires is when it ends. Zero means never.
	Expires time.Time
}

// Kick says whose waiting is to end: of a user, of a session, in a channel, or of who
// is all that it names. It must name something.
type Kick struct{ User, Session, Channel string }

// ErrKicked says that the right to listen was taken back after it was given.
var ErrKicked = errors.New("the right to listen was taken back; ask anew")

// KickKeep is for how long a kick is remembered: rights that were given before are
// void. A right must not be good for longer.
const KickKeep = 24 * time.Hour

// maxKicks is how many are remembered.
const maxKicks = 100_000

// Kicker is a [Waker] that is told once when its armed subscription is kicked. What
// is said of Wake goes for it, too. Who is not armed sees it by [Sub.Kicked].
type Kicker interface{ Kicked() }

// Kick ends subscriptions, and rights that were given until now. It returns how many
// subscriptions they were. Once it has returned none of them gets an event any more
// that is published then. The error says that there are too many kicks to remember.
func (h *Hub) Kick(k Kick) (ended int, err error) {
	h.await()
	h.mu.Lock()
	if err := h.rememberLocked(k); err != nil {
		h.mu.Unlock()
		return 0, err
	}
	var told []*Sub
	for s := range h.subs {
		if s.hitLocked(k) {
			ended++
			if s.kickLocked() {
				told = append(told, s)
			}
		}
	}
	h.mu.Unlock()
	for _, s := range told {
		s.tellKick()
	}
	return ended, nil
}

func (h *Hub) rememberLocked(k Kick) error {
	now := h.clock.Now()
	if _, again := h.kicks[k]; !again && len(h.kicks) == maxKicks {
		for old, at := range h.kicks {
			if now.Sub(at) > KickKeep {
				delete(h.kicks, old)
			}
		}
		if len(h.kicks) == maxKicks {
			return fmt.Errorf("%d kicks in %v are too many to remember", maxKicks, KickKeep)
		}
	}
	if h.kicks == nil {
		h.kicks = make(map[Kick]time.Time)
	}
	h.kicks[k] = now
	h.hasKicks.Store(true)
	return nil
}

// hitLocked reports whether a kick is for the subscription.
func (s *Sub) hitLocked(k Kick) bool {
	if (k.User != "" || k.Session != "") && (s.who == nil || !s.who.hit(k)) {
		return false
	}
	if k.Channel == "" {
		return true
	}
	for i := range s.members {
		if s.members[i].ch.name == k.Channel {
			return true
		}
	}
	return false
}

func (w *Who) hit(k Kick) bool {
	if k.User != "" && k.User != w.User {
		return false
	}
	if k.Session == "" {
		return true
	}
	for _, session := range w.Sessions {
		if session == k.Session {
			return true
		}
	}
	return false
}

// kickLocked ends the subscription at its position, and reports whether it must be
// told.
func (s *Sub) kickLocked() bool {
	end := s.positionLocked()
	armed := s.state == subArmed
	if armed {
		s.disarmLocked()
		// An event may be on its way that nobody gives to this one any more.
		if s.collectLocked() == nil {
			end = s.cursorLocked()
		}
	}
	s.end = end
	s.endLocked()
	s.kicked.Store(true)
	if armed {
		s.waking.Lock()
		defer s.waking.Unlock()
		s.kicking = true
	}
	return armed
}

// tellKick tells the Waker, unless somebody has looked meanwhile.
func (s *Sub) tellKick() {
	s.waking.Lock()
	defer s.waking.Unlock()
	if kicker, ok := s.waker.(Kicker); ok && s.kicking {
		s.kicking = false
		kicker.Kicked()
	}
}

// Kicked reports whether a kick has ended the subscription. [Sub.Rest] says where.
func (s *Sub) Kicked() bool { return s != nil && s.kicked.Load() }

// Kicked reports whether a right to listen to these channels was taken back.
func (h *Hub) Kicked(w *Who, channels []string) bool {
	if !h.hasKicks.Load() {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kickedLocked(w, channels)
}

func (h *Hub) kickedLocked(w *Who, channels []string) bool {
	if len(h.kicks) == 0 || w == nil {
		return false
	}
	since := func(k Kick) bool {
		at, ok := h.kicks[k]
		return ok && !w.Granted.After(at) && h.clock.Now().Sub(at) <= KickKeep
	}
	in := func(channel string) bool {
		if w.User != "" && since(Kick{User: w.User, Channel: channel}) {
			return true
		}
		for _, session := range w.Sessions {
			if since(Kick{Session: session, Channel: channel}) || w.User != "" && since(Kick{w.User, session, channel}) {
				return true
			}
		}
		return channel != "" && since(Kick{Channel: channel})
	}
	if in("") {
		return true
	}
	for _, channel := range channels {
		if in(channel) {
			return true
		}
	}
	return false
}
