package hub

import (
	"errors"
	"time"
)

// Limits bound a hub's memory. Every field is in force as it stands: zero
// means none, not a default; see [DefaultLimits].
type Limits struct {
	// HistoryCount, HistoryAge and HistoryBytes bound the events that a channel
	// keeps. An event counts with its data and eventOverhead. See [Grace] for
	// what stays longer.
	HistoryCount int
	HistoryAge   time.Duration
	HistoryBytes int64
	// TotalBytes bounds the history of all channels together. The oldest events
	// go first, whatever their channel still had room for.
	TotalBytes int64
	// Channels is how many channels there may be at once: with history, with
	// somebody waiting, or with a file behind them.
	Channels int
	// ChannelsPerSub is how many channels one subscription may name.
	ChannelsPerSub int
	// Holds is how many subscriptions there may be at once. All together may be in
	// ten times as many channels.
	Holds int
	// InFlightBytes bounds what is on its way to readers and from publishers. One
	// answer may always be.
	InFlightBytes int64
	// EventBytes is the largest data of an event.
	EventBytes int
}

// follows is in how many channels all subscriptions may be together: each place
// takes some 80 bytes, so that a thousand names in each request would take a
// hundred times what the requests do.
func (l Limits) follows() int { return max(10*l.Holds, 10*l.ChannelsPerSub) }

// DefaultLimits are what a hub has when nothing was configured.
func DefaultLimits() Limits {
	return Limits{
		HistoryCount:   100,
		HistoryAge:     10 * time.Minute,
		HistoryBytes:   1 << 20,
		TotalBytes:     64 << 20,
		Channels:       100_000,
		ChannelsPerSub: 1_000,
		Holds:          100_000,
		InFlightBytes:  64 << 20,
		EventBytes:     1 << 20,
	}
}

// Grace is how long the newest events stay readable even where the settings
// keep fewer: whoever was busy writing the last delivery still finds them. Only
// the bounds in bytes go before it.
const Grace = 5 * time.Second

// eventOverhead is what an event counts in the history besides its data: the
// structure itself and its places in the lists.
const eventOverhead = 160

// ChannelBytes is what a channel takes at most besides its history, however long
// its name is: the structure, its places in lists and maps, and what is remembered
// of it when it is forgotten.
const ChannelBytes = 1536

// The ways in which a hub says that it is full or that a request asks for too
// much. Each is wrapped with the number and what to do.
var (
	// ErrTooManyChannels: Limits.Channels are in use.
	ErrTooManyChannels = errors.New("too many channels")
	// ErrTooManyHolds: Limits.Holds are waiting.
	ErrTooManyHolds = errors.New("too many held requests")
	// ErrTooManyNames: a request names more than Limits.ChannelsPerSub.
	ErrTooManyNames = errors.New("too many channels in one request")
	// ErrTooMuch: more is being published at once than Limits.InFlightBytes allow.
	ErrTooMuch = errors.New("too much is being published at once")
	// ErrTooLarge: an event's data is over Limits.EventBytes.
	ErrTooLarge = errors.New("event too large")
)
