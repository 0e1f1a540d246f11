package hub

import "slices"

// News is what [Hub.News] tells: what somebody at a cursor has not seen.
type News struct {
	// Channels are those with events behind the cursor, in the order in which
	// they were asked. With a gap they are also those that may have had some.
	Channels []string
	// Gap says that some of these events are lost.
	Gap bool
	// At is the position to ask from next.
	At Cursor
}

// News says in which of the channels anything happened behind a cursor. It is
// for who asks in passing: it waits for nothing, opens no channel and keeps none
// from being forgotten, so that a list of any names costs no memory. Each name
// is told as often as it is asked.
func (h *Hub) News(channels []string, since Cursor) News {
	h.await()
	h.mu.Lock()
	defer h.mu.Unlock()
	n := News{At: Cursor{h.epoch, h.head}}
	if since.Epoch != h.epoch {
		n.Channels, n.Gap = append(n.Channels, channels...), len(channels) > 0
		return n
	}
	n.At.Seq = max(h.head, since.Seq) // it lies ahead where the log does
	for _, name := range channels {
		floor, newest := h.floor, uint64(0)
		if ch := h.channels[name]; ch != nil {
			floor, newest = ch.floor, ch.newest()
		}
		if max(floor, newest) > since.Seq {
			n.Channels = append(n.Channels, name)
		}
		n.Gap = n.Gap || floor > since.Seq
	}
	return n
}

// Behind returns the position behind the newest event of a channel that has this ID.
// Where there is none, known says that the channel's newest event has another: so
// that something has happened since.
func (h *Hub) Behind(channel, id string) (at Cursor, found, known bool) {
	h.await()
	h.mu.Lock()
	defer h.mu.Unlock()
	ch := h.channels[channel]
	if ch == nil {
		return Cursor{}, false, false
	}
	history := ch.history()
	for _, e := range slices.Backward(history) {
		if e.ID == id {
			return Cursor{h.epoch, e.Seq}, true, true
		}
	}
	return Cursor{}, false, len(history) > 0 && history[len(history)-1].ID != ""
}
