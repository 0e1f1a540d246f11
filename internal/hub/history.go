package hub

import (
	"slices"
	"time"
)

// idleKeep is how long a channel without history and readers is remembered. A
// poll that was answered is back within seconds; if its channel were forgotten
// meanwhile, a raised floor would tell it of a gap that is none.
const idleKeep = time.Minute

// keepLocked adds an event to its channel's history.
func (h *Hub) keepLocked(ch *channel, e *Event) {
	if !ch.noted {
		h.noteLocked(ch)
	}
	ch.push(e)
	h.order = append(h.order, orderItem{ch, e.Seq})
	h.live++
	h.bytes += eventSize(e)
	h.trimLocked(ch)
	h.trimTotalLocked()
	h.compactOrderLocked()
	h.armSweepLocked()
}

// dropLocked forgets a channel's oldest event, and the shared deliveries, which
// may hold it.
func (h *Hub) dropLocked(ch *channel) {
	e := ch.drop()
	ch.shared = nil
	h.live--
	h.bytes -= eventSize(e)
	h.noteDropLocked(ch, e)
}

// clearLocked forgets a channel's history.
func (h *Hub) clearLocked(ch *channel) {
	for len(ch.history()) > 0 {
		h.dropLocked(ch)
	}
}

// trimLocked brings a channel within its limits, and has the sweep look again
// at what only [Grace] keeps.
func (h *Hub) trimLocked(ch *channel) {
	now := h.clock.Now()
	for ch.overfull(h.limits, now) {
		h.dropLocked(ch)
	}
	if !ch.graced && len(ch.history()) > h.limits.HistoryCount {
		ch.graced = true
		h.graced = append(h.livingLocked(h.graced), ch)
	}
}

// shareLocked returns the delivery of events, which are a piece of the channel's
// history. Until the next sweep it is the same for all who ask for the same:
// after an event many come back from one place.
func (h *Hub) shareLocked(ch *channel, events []*Event) *Delivery {
	if !ch.sharing {
		ch.sharing = true
		h.sharing = append(h.livingLocked(h.sharing), ch)
	}
	return ch.sharedDelivery(events, h.epoch, h.shelf)
}

// livingLocked takes the channels out of a list that are forgotten, when they are
// the most: a list that only the sweep empties would keep a million of them.
func (h *Hub) livingLocked(list []*channel) []*channel {
	if len(list) < 2*len(h.channels)+1024 {
		return list
	}
	return slices.DeleteFunc(list, func(ch *channel) bool { return h.channels[ch.name] != ch })
}

// trimTotalLocked brings all channels together within their limit: the oldest
// event of the hub goes first.
func (h *Hub) trimTotalLocked() {
	for h.bytes > h.limits.TotalBytes && h.live > 1 {
		ch := h.oldestLocked()
		h.dropLocked(ch)
		h.settleLocked(ch)
	}
}

// oldestLocked returns the channel with the oldest event in the history, of
// which there is at least one.
func (h *Hub) oldestLocked() *channel {
	for {
		item := h.order[h.orderGone]
		if !item.stale() {
			return item.ch
		}
		h.skipOrderLocked()
	}
}

// orderItem is an event's place in the order of all channels.
type orderItem struct {
	ch  *channel
	seq uint64
}

func (i orderItem) stale() bool {
	h := i.ch.history()
	return len(h) == 0 || h[0].Seq > i.seq
}

// skipOrderLocked passes over the oldest item and gives space back when half of
// the list is behind.
func (h *Hub) skipOrderLocked() {
	h.order[h.orderGone] = orderItem{}
	h.orderGone++
	if h.orderGone*2 >= len(h.order) {
		h.order = append([]orderItem(nil), h.order[h.orderGone:]...)
		h.orderGone = 0
	}
}

// compactOrderLocked removes stale items when they are the most: a channel that
// keeps one event and gets a thousand leaves 999 of them.
func (h *Hub) compactOrderLocked() {
	if len(h.order)-h.orderGone < 2*h.live+1024 {
		return
	}
	kept := make([]orderItem, 0, h.live)
	for _, item := range h.order[h.orderGone:] {
		if !item.stale() {
			kept = append(kept, item)
		}
	}
	h.order, h.orderGone = kept, 0
}

// sweepEvery is how often the hub looks for what has become too old. The timer
// runs only while there is something that can.
const sweepEvery = 10 * time.Second

func (h *Hub) armSweepLocked() {
	if h.sweeping || h.closed {
		return
	}
	h.sweeping = true
	h.clock.AfterFunc(sweepEvery, h.sweep)
}

func (h *Hub) sweep() {
	if h.sweepDropped() {
		h.forget(nil)
	}
}

// sweepDropped reports whether a log has to forget something.
func (h *Hub) sweepDropped() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweeping = false
	now := h.clock.Now()
	for i := h.orderGone; i < len(h.order); i++ {
		item := h.order[i]
		if !item.stale() {
			if item.ch.presentLocked() {
				continue // of any age
			}
			if !item.ch.overfull(h.limits, now) {
				break
			}
			h.dropLocked(item.ch)
			h.settleLocked(item.ch)
		}
	}
	for h.orderGone < len(h.order) && h.order[h.orderGone].stale() {
		h.skipOrderLocked()
	}
	h.compactOrderLocked()
	h.sweepListsLocked(now)
	if h.live > 0 || h.idle.Len() > 0 {
		h.armSweepLocked()
	}
	return h.dropped != nil && h.dropped.Any()
}

func (h *Hub) sweepListsLocked(now time.Time) {
	graced := h.graced
	h.graced = nil
	for _, ch := range graced {
		ch.graced = false
		h.trimLocked(ch)
		h.settleLocked(ch)
	}
	if len(h.sharing) > 0 {
		h.unshareLocked()
	}
	for front := h.idle.Front(); front != nil; front = h.idle.Front() {
		ch := front.Value.(*channel)
		if now.Sub(ch.idleSince) < idleKeep {
			break
		}
		h.forgetLocked(ch)
	}
	if h.most > 1024 && len(h.channels) < h.most/4 {
		left := make(map[string]*channel, len(h.channels)) // a map that was large stays so
		for name, ch := range h.channels {
			left[name] = ch
		}
		h.channels, h.most = left, len(left)
	}
}
