package hub

import "time"

// fanoutChunk is how many waiters are looked at under the hub's lock at once:
// a publisher or a new poll waits for that long at most.
const fanoutChunk = 128

// batch collects what one Apply does to the channels, for the fan-out.
type batch struct {
	// began is when the log took the first of its entries.
	began  time.Time
	groups []group
}

// group is what a batch brings to one channel.
type group struct {
	ch *channel
	// events are those that are news.
	events []*Event
}

func (b *batch) add(ch *channel, e *Event, quiet bool) {
	if ch.batch != b {
		ch.batch, ch.group = b, len(b.groups)
		b.groups = append(b.groups, group{ch: ch})
	}
	if g := &b.groups[ch.group]; e != nil && !quiet {
		g.events = append(g.events, e)
	}
}

// job is a list of waiters that an event took from its channel, to be woken.
type job struct {
	waiters []waiter
	// delivery is what those get who follow the events, nil if there are none;
	// stamped what those get who follow the stamp.
	delivery, stamped *Delivery
	// alone: the batch touched no other channel, so that delivery is all of it.
	alone  bool
	fanout *fanout
}

// startLocked takes the waiters of the batch's channels and has them woken.
func (h *Hub) startLocked(b *batch) {
	var f *fanout
	for i := range b.groups {
		g := &b.groups[i]
		ch := g.ch
		ch.batch = nil
		if len(ch.waiters) == 0 {
			continue
		}
		if f == nil {
			f = &fanout{began: b.began, finished: h.fannedOut}
		}
		f.left.Add(1)
		j := job{
			waiters: ch.waiters, fanout: f, alone: len(b.groups) == 1,
			stamped: &Delivery{Events: []*Event{ch.stampEvent()}, Cursor: Cursor{h.epoch, h.head}, fanout: f},
		}
		if len(g.events) > 0 {
			j.delivery = &Delivery{Events: g.events, Cursor: Cursor{h.epoch, g.events[len(g.events)-1].Seq}, fanout: f}
		}
		ch.waiters = nil
		ch.takes++
		h.jobs = append(h.jobs, j)
	}
	if len(h.jobs) > 0 && !h.working {
		h.working = true
		go h.work()
	}
}

func (h *Hub) fannedOut(f *fanout) {
	if h.onDone != nil && f.woken {
		h.onDone(max(0, h.clock.Now().Sub(f.began)))
	}
}

// work wakes the waiters of all jobs and ends when there are none.
func (h *Hub) work() {
	woken := make([]*Sub, 0, fanoutChunk)
	for {
		h.mu.Lock()
		if len(h.jobs) == 0 {
			h.jobs = nil
			h.working = false
			h.mu.Unlock()
			return
		}
		j := h.jobs[0]
		h.jobs[0] = job{}
		h.jobs = h.jobs[1:]
		h.mu.Unlock()

		for len(j.waiters) > 0 {
			n := min(fanoutChunk, len(j.waiters))
			h.mu.Lock()
			for _, w := range j.waiters[:n] {
				if h.takeLocked(&j, w) {
					woken = append(woken, w.sub)
				}
			}
			h.mu.Unlock()
			for _, s := range woken {
				s.wake()
			}
			clear(woken)
			woken = woken[:0]
			j.waiters = j.waiters[n:]
		}
		j.fanout.done()
	}
}

// takeLocked decides what one waiter gets of a job and reports whether it must
// be woken. It need not if it has gone on, or if the job is nothing for it, and
// then it waits on.
func (h *Hub) takeLocked(j *job, w waiter) bool {
	s := w.sub
	if s.state != subArmed || s.arm != w.arm {
		return false
	}
	m := &s.members[w.member]
	var d *Delivery
	switch {
	case s.each:
		d = j.forEachLocked(s, m)
	case s.stamps:
		d = j.forStampLocked(s, m)
	case j.wholeLocked(s, m, h.quiet):
		d = j.delivery
		s.disarmLocked()
		s.moveLocked(d.Cursor.Seq)
	case m.ch.news > m.pos:
		// Not the job's events alone, perhaps none of them: while the waiter was
		// in this list, later events did not find it in the channel's.
		s.disarmLocked()
		if d = s.collectLocked(); d == nil {
			s.armLocked()
			return false
		}
		if len(s.members) > 1 {
			d.fanout = j.fanout
		}
	}
	if d == nil {
		s.waitLocked(int(w.member))
		return false
	}
	if d.fanout != nil {
		d.fanout.woken = true
		d.fanout.left.Add(1)
	}
	h.delivered++
	s.comes(d) // before it is over: Close looks no further then
	s.doneLocked()
	return true
}

// wholeLocked reports whether the job's events are all that the waiter misses.
func (j *job) wholeLocked(s *Sub, m *member, quiet uint64) bool {
	return j.delivery != nil && (j.alone || len(s.members) == 1) &&
		m.pos < j.delivery.Events[0].Seq && m.pos >= quiet
}

// forStampLocked returns what a waiter for the stamp gets, nil if nothing.
func (j *job) forStampLocked(s *Sub, m *member) *Delivery {
	if !s.risenLocked(m) {
		return nil
	}
	d := j.stamped
	if d.Events[0].Stamp <= m.behind { // risen since the job began
		d = &Delivery{Events: []*Event{m.ch.stampEvent()}, Cursor: s.cursorLocked(), fanout: j.fanout}
	}
	s.disarmLocked()
	m.takeStampLocked(d.Events[0].Stamp)
	return d
}

// forEachLocked returns what a waiter for the next event gets, nil if nothing.
// Mostly that is the job's only event.
func (j *job) forEachLocked(s *Sub, m *member) *Delivery {
	if d := j.delivery; d != nil && !m.ch.unpaid && len(d.Events) == 1 && d.Events[0].Stamp > m.behind && m.ch.newest() == d.Events[0].Seq {
		s.disarmLocked()
		m.takeStampLocked(d.Events[0].Stamp)
		return d
	}
	d := s.collectEachLocked()
	if d != nil {
		s.disarmLocked()
	}
	return d
}
