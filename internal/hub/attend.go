package hub

// Attendance is told who follows which channels, for as long as he does. It is told with
// the hub locked: it must not block, and must not call the hub.
type Attendance interface {
	// Came says that a subscription follows a channel from now on, Went that it does no
	// more. who is nil where nobody told.
	Came(channel string, who *Who)
	Went(channel string, who *Who)
}

// Attend has a told of everybody, beginning with those who are there. nil is told of
// nobody. Whoever was told before is told of nobody any more, and not that they went.
func (h *Hub) Attend(a Attendance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attendance = a
	if a == nil {
		return
	}
	for s := range h.subs {
		for i := range s.members {
			a.Came(s.members[i].ch.name, s.who)
		}
	}
}

// followLocked counts the subscription in a channel.
func (s *Sub) followLocked(ch *channel) {
	ch.subs++
	s.hub.follows++
	if a := s.hub.attendance; a != nil {
		a.Came(ch.name, s.who)
	}
}

// unfollowLocked takes that back.
func (s *Sub) unfollowLocked(ch *channel) {
	ch.subs--
	s.hub.follows--
	if a := s.hub.attendance; a != nil {
		a.Went(ch.name, s.who)
	}
	s.hub.settleLocked(ch)
}
