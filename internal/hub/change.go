package hub

import "slices"

// Joined says from where on a subscription follows channels.
type Joined struct {
	// Channels are those that it did not follow already.
	Channels []string
	// At is the position behind which they begin, the hub's where there are none.
	At Cursor
	// Gap: events of theirs before At are lost, which is not told otherwise.
	Gap bool
}

// Join adds channels to a live subscription, each from since on; those that it
// follows already stay as they are. With [All] a channel begins with the oldest
// event that is kept. The errors are those of [Hub.Subscribe], and then nothing has
// changed. Positions that are stamps cannot be joined: it panics.
//
// What there is to catch up with is older than what the other channels may have
// given already. Whoever waits is told of it; who is at rest gets it by Next.
func (s *Sub) Join(channels []string, since Since) (j Joined, err error) {
	if s.stamps || since.stamped {
		panic("hub: a subscription by stamps does not change its channels")
	}
	for _, name := range channels {
		if err := CheckChannel(name); err != nil {
			return Joined{}, err
		}
	}
	err = s.change(func() error {
		j, err = s.joinLocked(channels, since)
		return err
	})
	return j, err
}

func (s *Sub) joinLocked(channels []string, since Since) (Joined, error) {
	h := s.hub
	follows := make(map[string]bool, len(s.members)+len(channels))
	for i := range s.members {
		follows[s.members[i].ch.name] = true
	}
	if h.kickedLocked(s.who, channels) {
		return Joined{}, ErrKicked
	}
	had := len(s.members)
	j := Joined{At: Cursor{h.epoch, h.head}}
	for _, name := range channels {
		if follows[name] {
			continue
		}
		follows[name] = true
		ch, err := h.openLocked(name)
		if err == nil {
			if err = s.mayJoinLocked(); err != nil {
				h.settleLocked(ch)
			}
		}
		if err != nil {
			s.dropLocked(had)
			return Joined{}, err
		}
		s.followLocked(ch)
		m := member{ch: ch, pos: h.head}
		switch {
		case since.all:
			m.pos = ch.oldest(h.limits.HistoryCount) // what is gone before is no gap to who was not there
		case since.after && since.cursor.Epoch != h.epoch:
			j.Gap = true
		case since.after:
			m.pos = max(since.cursor.Seq, ch.floor)
			j.Gap = j.Gap || m.pos > since.cursor.Seq
		}
		j.At.Seq = min(j.At.Seq, m.pos)
		j.Channels = append(j.Channels, name)
		s.members = append(s.members, m)
	}
	return j, nil
}

// mayJoinLocked reports whether there is room for one channel more.
func (s *Sub) mayJoinLocked() error {
	h := s.hub
	if most := h.limits.ChannelsPerSub; len(s.members) >= most { // it may have been more
		return tooMany(ErrTooManyNames, most, "leave others, or open a second connection")
	}
	return h.roomLocked(1)
}

// dropLocked takes back all members from the n-th on.
func (s *Sub) dropLocked(n int) {
	for i := n; i < len(s.members); i++ {
		s.unfollowLocked(s.members[i].ch)
	}
	s.members = slices.Delete(s.members, n, len(s.members))
}

// Leave takes channels out of a live subscription. A delivery that is just being
// told may still have their events. A subscription may be left without any.
func (s *Sub) Leave(channels []string) error {
	left := make(map[string]bool, len(channels))
	for _, name := range channels {
		left[name] = true
	}
	return s.change(func() error {
		stay := 0
		for i := range s.members {
			if !left[s.members[i].ch.name] {
				s.members[stay], s.members[i] = s.members[i], s.members[stay]
				stay++
			}
		}
		s.dropLocked(stay)
		return nil
	})
}

// change changes the members by f. A subscription that was armed is so again
// afterwards, or is told what it has.
func (s *Sub) change(f func() error) error {
	h := s.hub
	h.mu.Lock()
	if s.state == subClosed || h.closed {
		h.mu.Unlock()
		return ErrClosed
	}
	armed := s.state == subArmed
	if armed {
		s.disarmLocked()
	}
	err := f()
	told := false
	if armed {
		if d := s.collectLocked(); d != nil {
			h.delivered++
			s.comes(d)
			told = true
		} else {
			s.armLocked()
		}
	}
	h.mu.Unlock()
	if told {
		s.wake()
	}
	return err
}
