package caddymodule

import (
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// TestOneLineBoundsAHub: whatever else is set, all of it together is within
// max_memory, and what is set is as it was set.
func TestOneLineBoundsAHub(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		set  Settings
		want hub.Limits // its fields that are not 0
	}{
		"alone": {Settings{MaxMemory: 256 * mib}, hub.Limits{TotalBytes: 64 * mib, InFlightBytes: 64 * mib, Channels: 32 * mib / 1536, Holds: 96 * mib / (72 << 10), EventBytes: mib}},
		"small": {Settings{MaxMemory: mib}, hub.Limits{TotalBytes: mib / 4, InFlightBytes: mib / 4, EventBytes: mib / 16}},
		"with a part of it": {Settings{MaxMemory: 256 * mib, MaxHistory: 184 * mib}, hub.Limits{
			TotalBytes: 184 * mib, InFlightBytes: 24 * mib, Channels: 12 * mib / 1536, Holds: 36 * mib / (72 << 10), EventBytes: mib}},
		"with counts": {Settings{MaxMemory: 256 * mib, MaxHolds: 1000, MaxChannels: 10, MaxEvent: 3 * mib}, hub.Limits{Holds: 1000, Channels: 10, EventBytes: 3 * mib}},
		"all of it":   {Settings{MaxMemory: 256 * mib, MaxHolds: 1, MaxChannels: 1, MaxHistory: 20 * mib, MaxInFlight: 10 * mib}, hub.Limits{Holds: 1, Channels: 1, TotalBytes: 20 * mib, InFlightBytes: 10 * mib}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := c.set.fitted()
			if err != nil {
				t.Fatal(err)
			}
			if sum := l.TotalBytes + l.InFlightBytes + int64(l.Channels)*channelBytes + int64(l.Holds)*holdBytes; sum > c.set.MaxMemory {
				t.Errorf("%d bytes in all, of %d", sum, c.set.MaxMemory)
			}
			for what, v := range map[string][2]int64{
				"history": {l.TotalBytes, c.want.TotalBytes}, "in flight": {l.InFlightBytes, c.want.InFlightBytes},
				"channels": {int64(l.Channels), int64(c.want.Channels)}, "holds": {int64(l.Holds), int64(c.want.Holds)},
				"event": {int64(l.EventBytes), int64(c.want.EventBytes)},
			} {
				if v[1] != 0 && v[0] != v[1] || v[0] <= 0 {
					t.Errorf("%s: %d; want %d", what, v[0], v[1])
				}
			}
		})
	}
}

// TestEventVariablesHaveRoomOfTheirOwn, whatever the hub's total is.
func TestEventVariablesHaveRoomOfTheirOwn(t *testing.T) {
	hubName := unique("h")
	start(t, "comet {\nmax_event 2MiB\nmax_history 4MiB\nmax_in_flight 8MiB\nmax_memory 64MiB\nhub "+hubName+"\n}", "http://SITE {\nbind 127.0.0.1\ncomet /d/* doorbell {\nhub "+hubName+"\n}\n}")
	h, ok := findHub(hubName + "/doorbell")
	if !ok {
		t.Fatal("there is no such hub")
	}
	if l := h.Limits(); l.Channels != 100_000 || l.TotalBytes != 32_000_000 || l.InFlightBytes != keepInFlight || l.EventBytes > keepInFlight {
		t.Errorf("%+v", l)
	}
}
