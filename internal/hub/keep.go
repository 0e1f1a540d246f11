package hub

import (
	"context"
	"slices"
	"strings"
)

// A log that outlives the process keeps what the hub keeps, no more and no less:
// the hub decides what its history holds, and the log asks for it. So there is
// one set of limits, and a log that failed for a while can be written anew from
// what is in memory.

// Archive is what such a log needs of a hub besides [Follower]. Its methods may be
// called by the log at any time, but not from within [Follower.Apply].
type Archive interface {
	// Kept returns all that is to be kept. From then on Dropped has what changes
	// of it, beside the entries that the log itself has handed over.
	Kept() Kept
	// Restore begins with what an earlier life kept. It comes before anybody uses
	// the hub. It returns the head from which the sequence goes on.
	Restore(k Kept) (head uint64)
	// Dropped returns what changed since the last call, or since Kept.
	Dropped() Dropped
	// Unkept ends what Kept began: nobody will ask for what is dropped.
	Unkept()
}

// Kept is a hub's history with all that it takes to go on from there.
type Kept struct {
	Epoch Epoch
	Head  uint64
	// Floor is what a channel has that is not in Floors; see [Hub].
	Floor uint64
	// Floors are the channels' own: whoever is before is told of a gap.
	Floors map[string]uint64
	// Entries are the events, in their order. What it takes to apply them as news
	// (Changed, Quiet) is not among it.
	Entries []Entry
}

// Dropped is what is not to be kept any more.
type Dropped struct {
	Seqs []uint64
	// Floors are the channels whose floor is new, Gone those that are forgotten.
	Floors map[string]uint64
	Gone   map[string]struct{}
	// Floor is the present one for all other channels.
	Floor uint64
}

// Any reports whether there is anything to do.
func (d *Dropped) Any() bool { return len(d.Seqs)+len(d.Floors)+len(d.Gone) > 0 }

// Forgetter is a log that forgets what the hub drops.
type Forgetter interface {
	// Forget has the log ask for what was dropped. done, if not nil, is called
	// once it is forgotten, or with the reason why not.
	Forget(done func(error))
}

// Kept implements [Archive].
func (h *Hub) Kept() Kept {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dropped = &Dropped{}
	k := Kept{Epoch: h.epoch, Head: h.head, Floor: h.floor, Floors: make(map[string]uint64), Entries: make([]Entry, 0, h.live)}
	for _, ch := range h.channels {
		events := ch.history()
		if len(events) == 0 && ch.floor <= h.floor {
			ch.noted = false
			continue
		}
		k.Floors[ch.name] = ch.floor
		ch.noted = true
		for i, e := range events {
			entry := Entry{
				Draft: Draft{Channel: e.Channel, Type: e.Type, ContentType: e.ContentType, Data: e.Data, ID: e.ID, Forms: e.Forms},
				Seq:   e.Seq, Time: e.Time, Stamp: e.Stamp,
			}
			if i == len(events)-1 {
				entry.State, entry.Source = ch.state, ch.source
			}
			k.Entries = append(k.Entries, entry)
		}
	}
	slices.SortFunc(k.Entries, func(a, b Entry) int {
		if a.Seq < b.Seq {
			return -1
		}
		return 1
	})
	return k
}

// Dropped implements [Archive].
func (h *Hub) Dropped() Dropped {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dropped == nil {
		return Dropped{}
	}
	d := *h.dropped
	d.Floor = h.floor
	*h.dropped = Dropped{}
	return d
}

// Unkept implements [Archive].
func (h *Hub) Unkept() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dropped = nil
}

// Restore implements [Archive]. What the limits do not allow any more goes at
// once.
//
// What happened to files while nobody watched them is not known. A file's content
// is looked at again and told if it is another; of touches and lines nothing
// tells, so whoever follows these channels is told of a gap: the sequence leaves
// out one number for it.
func (h *Hub) Restore(k Kept) (head uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dropped = &Dropped{}
	h.epoch, h.head, h.floor = k.Epoch, k.Head, k.Floor
	for i := range k.Entries {
		e := &k.Entries[i]
		ch := h.channels[e.Channel]
		if ch == nil {
			ch = h.addLocked(e.Channel)
			if floor, ok := k.Floors[e.Channel]; ok {
				ch.floor = floor
			}
			ch.noted = true
		}
		event := e.event(ch)
		ch.news, ch.state, ch.source = e.Seq, e.State, e.Source
		ch.stamp = max(ch.stamp, e.Stamp)
		ch.newsStamp = ch.stamp
		h.keepLocked(ch, event)
		h.settleLocked(ch)
	}
	for name, floor := range k.Floors {
		if ch := h.channels[name]; ch == nil && floor > h.floor {
			ch = h.addLocked(name)
			ch.floor, ch.noted = floor, true
			h.settleLocked(ch)
		}
	}
	lost := false
	for _, ch := range h.channels {
		if ch.source == FileSource && !ch.state {
			ch.floor, lost = h.head+1, true
			h.noteLocked(ch)
		}
	}
	if lost {
		h.head++
	}
	h.restored = h.head
	for len(h.channels) > h.limits.Channels && h.makeRoomLocked() {
	}
	return h.head
}

// noteLocked notes that a channel's floor is another, or its first event there.
func (h *Hub) noteLocked(ch *channel) {
	if h.dropped == nil {
		return
	}
	if h.dropped.Floors == nil {
		h.dropped.Floors = make(map[string]uint64)
	}
	ch.noted = true
	h.dropped.Floors[ch.name] = ch.floor
	delete(h.dropped.Gone, ch.name)
}

// noteDropLocked notes that an event is dropped.
func (h *Hub) noteDropLocked(ch *channel, e *Event) {
	if h.dropped == nil {
		return
	}
	h.dropped.Seqs = append(h.dropped.Seqs, e.Seq)
	h.noteLocked(ch)
}

// noteGoneLocked notes that a channel is forgotten.
func (h *Hub) noteGoneLocked(ch *channel) {
	if h.dropped == nil || !ch.noted && ch.stamp == 0 {
		return
	}
	delete(h.dropped.Floors, ch.name)
	if h.dropped.Gone == nil {
		h.dropped.Gone = make(map[string]struct{})
	}
	h.dropped.Gone[strings.Clone(ch.name)] = struct{}{}
}

// forget has the log forget what was dropped since, where it keeps anything.
func (h *Hub) forget(done func(error)) {
	if f, ok := h.log.(Forgetter); ok {
		f.Forget(done)
	} else if done != nil {
		done(nil)
	}
}

// Settle waits until what was dropped, as by [Hub.Delete], is forgotten for
// good.
func (h *Hub) Settle(ctx context.Context) error {
	done := make(chan error, 1)
	h.forget(func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// knownLocked looks at a thing's state that was there before anybody looked,
// where an earlier life kept one: the same again is no event, and another one is
// news.
func (h *Hub) knownLocked(ch *channel, d *Draft) {
	if !d.Quiet || !d.State || d.StampOnly || !ch.state || ch.newest() == 0 || ch.newest() > h.restored {
		return
	}
	events := ch.history()
	e := events[len(events)-1]
	if string(e.Data) == string(d.Data) && e.ContentType == d.ContentType {
		d.StampOnly = true
		return
	}
	d.Quiet = false
}
