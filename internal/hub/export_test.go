package hub

// Inside is what tests see of the hub's own lists.
type Inside struct {
	Channels, Idle, Spare, Order, Graced, Sharing, Jobs int
	Floor                                               uint64
}

func (h *Hub) Inside() Inside {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Inside{
		Channels: len(h.channels), Idle: h.idle.Len(), Spare: h.spare.Len(),
		Order: cap(h.order), Graced: len(h.graced), Sharing: len(h.sharing),
		Jobs: len(h.jobs), Floor: h.floor,
	}
}

// Working reports whether a fan-out is under way.
func (h *Hub) Working() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.working
}

const (
	IdleKeep          = idleKeep
	SweepEvery        = sweepEvery
	StampPause        = stampPause
	MaxDeliveryEvents = maxDeliveryEvents
	EventOverhead     = eventOverhead
	FanoutChunk       = fanoutChunk
)
