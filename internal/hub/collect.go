package hub

import (
	"container/heap"
	"slices"
	"sort"
)

// The largest delivery: whoever has more to catch up with gets it in pieces,
// and memory stays bounded whatever the history holds.
const (
	maxDeliveryEvents = 1000
	maxDeliveryBytes  = 4 << 20
)

// collectLocked returns what the history holds behind the subscription's
// position and moves the position there, or returns nil.
func (s *Sub) collectLocked() *Delivery {
	switch {
	case s.each:
		return s.collectEachLocked()
	case s.stamps:
		return s.collectStampsLocked()
	}
	h := s.hub
	var one [1][]*Event
	lists := one[:0]
	missing := uint64(0) // up to there, 0 for nothing
	for i := range s.members {
		m := &s.members[i]
		if s.all {
			m.pos = m.ch.oldest(h.limits.HistoryCount)
		}
		if found := m.ch.after(m.pos); len(found) > 0 {
			lists = append(lists, found)
		}
		if m.pos < m.ch.floor {
			missing = max(missing, m.ch.floor)
		}
	}
	gap := s.gap
	s.gap, s.all = false, false
	if len(lists) == 0 && !gap && missing == 0 {
		return nil
	}
	events, more := merge(lists)
	cursor := s.cursorLocked()
	cursor.Seq = max(cursor.Seq, missing)
	if more {
		cursor.Seq = events[len(events)-1].Seq
	}
	gap = gap || s.crossLocked(cursor.Seq)
	var d *Delivery
	if len(s.members) == 1 && !gap {
		d = h.shareLocked(s.members[0].ch, events)
	} else {
		d = &Delivery{Events: slices.Clone(events), Cursor: cursor, Gap: gap}
	}
	s.moveLocked(d.Cursor.Seq)
	return d
}

// crossLocked reports whether what is missing in a channel lies before seq, and behind
// the subscription. What is kept before that, and does not fit a delivery, comes first.
func (s *Sub) crossLocked(seq uint64) bool {
	for i := range s.members {
		if m := &s.members[i]; m.pos < m.ch.floor && m.ch.floor <= seq {
			return true
		}
	}
	return false
}

// cursorLocked is the position when nothing is left to deliver.
func (s *Sub) cursorLocked() Cursor {
	seq := s.hub.head
	for i := range s.members {
		seq = max(seq, s.members[i].pos)
	}
	return Cursor{s.hub.epoch, seq}
}

// positionLocked is the position behind the last delivery. Where a gap has not
// been told yet it is the zero Cursor, which is answered with one.
func (s *Sub) positionLocked() Cursor {
	if s.state == subClosed {
		return s.end
	}
	if s.gap {
		return Cursor{}
	}
	if len(s.members) == 0 {
		return Cursor{s.hub.epoch, s.hub.head}
	}
	seq := s.members[0].pos
	for _, m := range s.members {
		seq = min(seq, m.pos)
	}
	return Cursor{s.hub.epoch, seq}
}

// moveLocked moves the subscription behind seq in all its channels.
func (s *Sub) moveLocked(seq uint64) {
	for i := range s.members {
		s.members[i].pos = max(s.members[i].pos, seq)
	}
}

// collectStampsLocked is collectLocked for positions that are stamps. The
// events stand for their channels' stamps and have no data.
func (s *Sub) collectStampsLocked() *Delivery {
	var events []*Event
	for i := range s.members {
		m := &s.members[i]
		if s.risenLocked(m) {
			m.takeStampLocked(m.ch.stamp)
			events = append(events, m.ch.stampEvent())
		}
	}
	if events == nil {
		return nil
	}
	return &Delivery{Events: events, Cursor: s.cursorLocked()}
}

// collectEachLocked is collectLocked for who follows the events one at a time.
func (s *Sub) collectEachLocked() *Delivery {
	m := &s.members[0]
	if !s.risenLocked(m) {
		return nil
	}
	h := m.ch.history()
	if m.ch.unpaid {
		// The rest will have a stamp of its own soon. Whoever got it by the one that
		// it shares would get it again by that.
		h = h[:sort.Search(len(h), func(i int) bool { return h[i].Seq > m.ch.paid })]
		if len(h) == 0 || h[len(h)-1].Stamp <= m.behind {
			return nil
		}
	}
	first := sort.Search(len(h), func(i int) bool { return h[i].Stamp > m.behind })
	if first == len(h) { // only the stamp rose, or the event is gone already
		m.takeStampLocked(m.ch.stamp)
		return nil
	}
	last := first
	for last+1 < len(h) && h[last+1].Stamp == h[first].Stamp {
		last++
	}
	m.takeStampLocked(h[last].Stamp)
	return s.hub.shareLocked(m.ch, h[last:last+1])
}

// risenLocked reports whether the channel's stamp has risen for a client. What
// was no news is told to those alone who named an older stamp.
func (s *Sub) risenLocked(m *member) bool {
	switch {
	case m.ch.newsStamp > m.behind:
		return true
	case m.ch.stamp <= m.behind:
		return false
	case (m.asked != 0 || s.each) && m.asked < m.ch.stamp:
		return true
	}
	m.behind = m.ch.stamp
	return false
}

// takeStampLocked moves behind a stamp, which from here on a client has.
func (m *member) takeStampLocked(stamp int64) {
	m.asked, m.behind = stamp, stamp
	if stamp == m.ch.stamp {
		m.ch.stampTaken = true
	}
}

// merge returns the oldest events of all lists in their order, as many as one
// delivery takes but at least one, and whether there are more. Each list is in
// order. The result may be a part of the only list.
func merge(lists eventLists) (events []*Event, more bool) {
	if len(lists) == 1 {
		n := fitting(lists[0])
		return lists[0][:n], n < len(lists[0])
	}
	return mergeMany(slices.Clone(lists))
}

func mergeMany(lists eventLists) (events []*Event, more bool) {
	heap.Init(&lists)
	size := 0
	for len(lists) > 0 {
		e := lists[0][0]
		size += len(e.Data)
		if len(events) == maxDeliveryEvents || (len(events) > 0 && size > maxDeliveryBytes) {
			return events, true
		}
		events = append(events, e)
		if lists[0] = lists[0][1:]; len(lists[0]) == 0 {
			heap.Pop(&lists)
		} else {
			heap.Fix(&lists, 0)
		}
	}
	return events, false
}

// fitting returns how many of the events one delivery takes, at least one.
func fitting(events []*Event) int {
	size := 0
	for i, e := range events {
		size += len(e.Data)
		if i == maxDeliveryEvents || (i > 0 && size > maxDeliveryBytes) {
			return i
		}
	}
	return len(events)
}

// eventLists is a heap of lists, the one with the oldest event on top.
type eventLists [][]*Event

func (l eventLists) Len() int           { return len(l) }
func (l eventLists) Less(i, j int) bool { return l[i][0].Seq < l[j][0].Seq }
func (l eventLists) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *eventLists) Push(x any)        { *l = append(*l, x.([]*Event)) }
func (l *eventLists) Pop() any {
	last := len(*l) - 1
	x := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	return x
}
