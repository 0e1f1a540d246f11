package hub

import (
	"maps"
	"sort"
)

// Stats are a hub's figures. The counters count since the hub began.
type Stats struct {
	Cursor       Cursor
	Channels     int
	Holds        int
	HistoryBytes int64
	// InFlight is how many bytes are on their way to readers and from publishers.
	InFlight int64
	Events   int
	// Opened are the subscriptions, Delivered the deliveries given to them.
	Opened, Delivered uint64
	// Published are the events by source.
	Published map[string]uint64
	// Full is who was refused.
	Full Full
}

// Full is how often there was no room since the limits are what they are.
type Full struct{ Holds, Channels uint64 }

// Stats returns the figures as they are now.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Stats{
		Cursor:   Cursor{h.epoch, h.head},
		Channels: len(h.channels) - h.idle.Len(),
		Holds:    len(h.subs), HistoryBytes: h.bytes, Events: h.live, InFlight: h.inFlight(),
		Opened: h.opened, Delivered: h.delivered,
		Published: maps.Clone(h.published), Full: h.full,
	}
}

// Info describes one channel.
type Info struct {
	Channel string
	// Held is how many subscriptions follow the channel.
	Held int
	// Events is how many events there were since the channel is known.
	Events uint64
	// Cursor is the position of the channel's last event; its sequence is 0
	// where the history has none.
	Cursor Cursor
	// Stamp is the channel's newest stamp, 0 without one.
	Stamp int64
	// History is how many events are kept, Bytes their size.
	History int
	Bytes   int64
}

// Info returns what there is of a channel, and whether there is one.
func (h *Hub) Info(name string) (Info, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ch := h.channels[name]
	if ch == nil || ch.list == h.idle {
		return Info{}, false
	}
	return h.infoLocked(ch), true
}

// List describes at most limit channels, in the order of their names, and the
// hub's position. It costs what sorting all names costs.
func (h *Hub) List(limit int) ([]Info, Cursor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := make([]string, 0, len(h.channels))
	for name, ch := range h.channels {
		if ch.list != h.idle {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	infos := make([]Info, 0, min(limit, len(names)))
	for _, name := range names[:min(limit, len(names))] {
		infos = append(infos, h.infoLocked(h.channels[name]))
	}
	return infos, Cursor{h.epoch, h.head}
}

func (h *Hub) infoLocked(ch *channel) Info {
	return Info{
		Channel: ch.name, Held: ch.subs, Events: ch.told, Cursor: Cursor{h.epoch, ch.newest()},
		Stamp: ch.stamp, History: len(ch.history()), Bytes: ch.bytes,
	}
}
