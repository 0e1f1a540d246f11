package hub

// armLocked puts the subscription among the waiters of all its channels.
// Nothing is left to deliver.
func (s *Sub) armLocked() {
	s.arm++
	s.state = subArmed
	s.all = false
	for i := range s.members {
		m := &s.members[i]
		m.pos = max(m.pos, s.hub.head)
		if s.stamps && m.behind == m.ch.stamp {
			m.ch.stampTaken = true
		}
		s.waitLocked(i)
	}
}

// waitLocked puts the subscription among the waiters of its i-th channel.
func (s *Sub) waitLocked(i int) {
	m := &s.members[i]
	m.takes, m.index = m.ch.takes, int32(len(m.ch.waiters))
	m.ch.waiters = append(m.ch.waiters, waiter{s, s.arm, int32(i)})
}

// maxIdleWaiters is the largest list of waiters that an empty channel keeps.
const maxIdleWaiters = 64

func (s *Sub) disarmLocked() {
	s.state = subIdle
	for i := range s.members {
		m := &s.members[i]
		ch := m.ch
		if m.takes != ch.takes {
			continue // an event took the list; whoever works on it skips us
		}
		last := len(ch.waiters) - 1
		moved := ch.waiters[last]
		ch.waiters[m.index] = moved
		moved.sub.members[moved.member].index = m.index
		ch.waiters[last] = waiter{}
		ch.waiters = ch.waiters[:last]
		if last == 0 && cap(ch.waiters) > maxIdleWaiters {
			ch.waiters = nil
		}
	}
}

// comes says what the Waker is told next.
func (s *Sub) comes(d *Delivery) {
	s.waking.Lock()
	defer s.waking.Unlock()
	s.coming = d
}

// takeComing takes what the Waker has not been told. If it is being told, that
// is over on return.
func (s *Sub) takeComing() *Delivery {
	s.waking.Lock()
	defer s.waking.Unlock()
	d := s.coming
	s.coming, s.kicking = nil, false
	return d
}

// wake tells the Waker what comes, unless somebody took it.
func (s *Sub) wake() {
	s.waking.Lock()
	defer s.waking.Unlock()
	if d := s.coming; d != nil {
		s.coming = nil
		s.waker.Wake(d)
	}
}
