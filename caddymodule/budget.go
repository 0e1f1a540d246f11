package caddymodule

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// What one of each takes at most, for whoever adds up what a server may take.
const (
	channelBytes = hub.ChannelBytes
	// holdBytes is more than a request takes that is held over HTTP/2 on a connection of
	// its own, which is the dearest.
	holdBytes = 72 << 10
)

// maxCount bounds every count, so that none overflows.
const maxCount = 100_000_000

// slice is one part of a hub's memory: how many of what, each of how many bytes.
type slice struct {
	name  string
	set   int64 // 0 where it is open
	bytes int64
	// share is how much an open part gets of what the others leave.
	share int64
	// least is the least that makes sense.
	least int64
}

// fitted returns the hub's limits, of which max_memory decides those that are open.
// An error says which settings do not go together.
func (s Settings) fitted() (hub.Limits, error) {
	l := hub.DefaultLimits()
	if h := s.History; h != nil {
		l.HistoryCount = max(0, or(h.Count, l.HistoryCount))
		l.HistoryAge = or(h.age(), l.HistoryAge)
		l.HistoryBytes = or(h.Bytes, l.HistoryBytes)
	}
	parts := []slice{
		{"max_history", s.MaxHistory, 1, 2, 64 << 10},
		{"max_in_flight", s.MaxInFlight, 1, 2, 64 << 10},
		{"max_channels", int64(s.MaxChannels), channelBytes, 1, 1},
		{"max_holds", int64(s.MaxHolds), holdBytes, 3, 1},
	}
	values := []int64{l.TotalBytes, l.InFlightBytes, int64(l.Channels), int64(l.Holds)}
	var err error
	if s.MaxMemory != 0 {
		err = share(s.MaxMemory, parts, values)
	}
	for i, p := range parts {
		values[i] = or(p.set, values[i])
	}
	l.TotalBytes, l.InFlightBytes, l.Channels, l.Holds = values[0], values[1], int(values[2]), int(values[3])
	l.EventBytes = int(min(int64(l.EventBytes), l.TotalBytes, l.InFlightBytes/4))
	if s.MaxEvent != 0 {
		l.EventBytes = s.MaxEvent
		if n := int64(s.MaxEvent); err == nil && (n > l.TotalBytes || n > l.InFlightBytes/4) {
			err = fmt.Errorf("max_event %s does not fit: max_history, which is %s, must be as much, and max_in_flight, which is %s, four times as much",
				inBytes(n), inBytes(l.TotalBytes), inBytes(l.InFlightBytes))
		}
	}
	return l, err
}

// share shares memory out among the open parts.
func share(memory int64, parts []slice, values []int64) error {
	rest, shares := memory, int64(0)
	var set []string
	for _, p := range parts {
		if p.set == 0 {
			shares += p.share
			continue
		}
		rest -= p.set * p.bytes
		if p.bytes == 1 {
			set = append(set, p.name+" "+inBytes(p.set))
		} else {
			set = append(set, fmt.Sprintf("%s %d (%s each, so %s)", p.name, p.set, inBytes(p.bytes), inBytes(p.set*p.bytes)))
		}
	}
	for i, p := range parts {
		if p.set != 0 {
			continue
		}
		values[i] = max(rest, 0) * p.share / shares / p.bytes
		if rest >= 0 && values[i] < p.least {
			rest = -1
		}
	}
	switch {
	case rest >= 0:
		return nil
	case len(set) == 0:
		return fmt.Errorf("max_memory %s is too small; write one as in 64MiB", inBytes(memory))
	}
	return fmt.Errorf("max_memory %s is too small for %s; raise it, or lower them or leave them out", inBytes(memory), strings.Join(set, ", "))
}

func inBytes(n int64) string { return strings.ReplaceAll(humanize.IBytes(uint64(n)), " ", "") }
