package hub

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Waker is told once when an armed subscription has a delivery. It must not
// block and must not call the hub or the subscription: the subscription is
// locked meanwhile, so that nobody is told after [Sub.Rest] or [Sub.Close] has
// returned. So whoever calls Next, Rest or Close must hold no lock that Wake
// takes.
type Waker interface {
	Wake(*Delivery)
}

// SubConfig is what a subscription begins with.
type SubConfig struct {
	// Channels are the names to follow, at least one. Repetitions count once.
	Channels []string
	Since    Since
	Waker    Waker
	// Who is waiting, for those who may end the wait. May be nil.
	Who *Who
	// Once ends the subscription with its first delivery.
	Once bool
	// Note is for who looks at subscriptions by [Hub.Holds]. It must be safe for
	// concurrent use.
	Note any
}

// ErrNoChannel says that a subscription names no channel.
var ErrNoChannel = errors.New("no channel is named")

// Sub is one subscription: a position in a set of channels. Whoever holds it
// calls Next until it returns nil, then waits for the Waker, and so on; and
// Close at the end. It may outlive the request that made it, and its channels may
// change.
//
// The methods are safe for concurrent use, but only one goroutine can sensibly
// call Next.
type Sub struct {
	hub     *Hub
	waker   Waker
	who     *Who
	note    any
	members []member
	// one is the room for members of the most common subscription.
	one   [1]member
	state subState
	// arm counts how often the subscription was armed.
	arm uint32
	// stamps: the positions are stamps, not sequences.
	stamps bool
	// each: by stamps, but the events themselves, one at a time.
	each bool
	// all: the first look at the history begins with its oldest event, and
	// nothing is missing before that.
	all bool
	// gap: the position was of another epoch and nobody has been told yet.
	gap bool
	// once: it ends with a delivery.
	once bool
	// kicked: it was ended by a kick, at its position end.
	kicked atomic.Bool
	end    Cursor
	// over: it has ended. For those who do not hold the hub's lock.
	over atomic.Bool

	// waking guards coming and is held while the Waker is told.
	waking sync.Mutex
	// coming is what the Waker is about to be told: an event took the armed
	// subscription, and then told it without the hub's lock. Until the Waker is
	// told, whoever rests must get it.
	coming *Delivery
	// kicking: the Waker is about to be told of a kick.
	kicking bool
}

type subState uint8

const (
	subIdle subState = iota
	// subArmed: in the waiters of its channels, or in a list that an event took.
	subArmed
	subClosed
)

// member is a subscription's side of a channel.
type member struct {
	ch *channel
	// pos is the sequence behind which the subscription is in this channel.
	pos uint64
	// asked is the stamp that the client named, behind the one in force: where
	// the client means now, that was the channel's newest when it came.
	asked, behind int64
	// index is the place in the channel's waiters, if takes is the channel's.
	index int32
	takes uint32
}

// Subscribe opens a subscription. The errors are [ErrNoChannel], [ErrName],
// [ErrTooManyNames], [ErrTooManyChannels], [ErrTooManyHolds], [ErrKicked] and
// [ErrClosed].
func (h *Hub) Subscribe(c SubConfig) (*Sub, error) {
	if len(c.Channels) == 0 {
		return nil, ErrNoChannel
	}
	if c.Since.stamped && len(c.Since.stamps) != len(c.Channels) || c.Since.cursors != nil && len(c.Since.cursors) != len(c.Channels) {
		panic("hub: as many stamps or cursors as channels are needed")
	}
	if most := h.Limits().ChannelsPerSub; len(c.Channels) > most {
		return nil, tooMany(ErrTooManyNames, most, "name fewer, or open a second connection")
	}
	var seen map[string]bool
	if len(c.Channels) > 1 {
		seen = make(map[string]bool, len(c.Channels))
	}
	for _, name := range c.Channels {
		if err := CheckChannel(name); err != nil {
			return nil, err
		}
	}
	h.await()
	s := &Sub{hub: h, waker: c.Waker, who: c.Who, note: c.Note, stamps: c.Since.stamped, each: c.Since.each, all: c.Since.all, once: c.Once}
	s.members = s.one[:0]

	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	if len(h.subs)+int(h.flights.readers.Load()) >= h.limits.Holds {
		h.full.Holds++
		return nil, tooMany(ErrTooManyHolds, h.limits.Holds, "raise max_holds")
	}
	if err := h.roomLocked(len(c.Channels)); err != nil {
		return nil, err
	}
	if h.kickedLocked(c.Who, c.Channels) {
		return nil, ErrKicked
	}
	if len(c.Channels) > 1 {
		s.members = make([]member, 0, len(c.Channels))
	}
	for i, name := range c.Channels {
		if seen[name] {
			continue
		}
		if seen != nil {
			seen[name] = true
		}
		ch, err := h.openLocked(name)
		if err != nil {
			s.leaveLocked()
			return nil, err
		}
		s.followLocked(ch)
		s.members = append(s.members, s.beginLocked(ch, c.Since, i))
	}
	h.subs[s] = struct{}{}
	h.opened++
	return s, nil
}

// roomLocked reports whether subscriptions may name n channels more together.
func (h *Hub) roomLocked(n int) error {
	if most := h.limits.follows(); h.follows+n > most {
		h.full.Holds++
		return fmt.Errorf("%w: they name %d channels together, which is the limit; name fewer, or raise max_holds", ErrTooManyHolds, most)
	}
	return nil
}

// beginLocked returns where the subscription begins in its i-th channel.
func (s *Sub) beginLocked(ch *channel, since Since, i int) member {
	m := member{ch: ch, pos: s.hub.head}
	if since.cursors != nil {
		since.after, since.cursor = true, since.cursors[i]
	}
	switch {
	case since.stamped:
		m.asked = since.stamps[i]
		m.behind = m.asked
		switch h := ch.history(); {
		case since.each && m.asked == 0 && len(h) > 0:
			m.behind = h[len(h)-1].Stamp - 1
		case since.each && m.asked == 0:
		case m.asked == 0, m.asked > ch.stamp:
			m.behind = ch.stamp
		}
	case since.all:
		m.pos = 0
	case since.after && since.cursor.Epoch == s.hub.epoch:
		m.pos = since.cursor.Seq
	case since.after:
		s.gap = true
	}
	return m
}

// Hub is the subscription's hub.
func (s *Sub) Hub() *Hub { return s.hub }

// Near reads something of what looking at the subscription will read.
func (s *Sub) Near() int {
	if s.hub == nil || s.kicked.Load() {
		return 1
	}
	return 0
}

// Next returns what there is since the last delivery. Without any it arms the
// subscription and returns nil; the Waker is then told once.
func (s *Sub) Next() *Delivery {
	if d := s.takeComing(); d != nil {
		return d
	}
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.state != subIdle {
		return nil
	}
	d := s.collectLocked()
	if d == nil {
		s.armLocked()
	} else {
		h.delivered++
		s.doneLocked()
	}
	return d
}

// Rest ends the waiting without ending the subscription: once it has returned,
// the Waker is not told any more. It returns what had come meanwhile, or nil and
// the position from which nothing is lost. A delivery that the Waker was told is
// not returned again: whoever gets nil looks there first.
func (s *Sub) Rest() (*Delivery, Cursor) {
	d, at := s.rest()
	if d == nil {
		d = s.takeComing() // an event was faster
	}
	if d != nil {
		return d, d.Cursor
	}
	return nil, at
}

func (s *Sub) rest() (*Delivery, Cursor) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.state != subArmed {
		return nil, s.positionLocked()
	}
	s.disarmLocked()
	d := s.collectLocked()
	if d != nil {
		h.delivered++
		s.doneLocked()
		return d, d.Cursor
	}
	at := s.cursorLocked()
	s.moveLocked(at.Seq)
	return nil, at
}

// Close ends the subscription: once it has returned, the Waker is not told any
// more. It may be called more than once.
func (s *Sub) Close() {
	if !s.over.Load() {
		s.close()
	}
	if d := s.takeComing(); d != nil {
		d.Done()
	}
}

func (s *Sub) close() {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.state == subClosed {
		return
	}
	if s.state == subArmed {
		s.disarmLocked()
	}
	s.endLocked()
}

// doneLocked ends a subscription that was for one delivery, which it has.
func (s *Sub) doneLocked() {
	if s.once {
		s.endLocked()
	}
}

func (s *Sub) endLocked() {
	s.state = subClosed
	delete(s.hub.subs, s)
	s.leaveLocked()
	s.over.Store(true)
}

// leaveLocked takes the subscription out of its channels.
func (s *Sub) leaveLocked() {
	for i := range s.members {
		s.unfollowLocked(s.members[i].ch)
	}
	s.members = nil
	s.one = [1]member{}
}
