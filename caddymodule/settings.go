package caddymodule

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/log"
)

// Settings are what a hub can be told. In every field zero means "as given one
// level above": a hub takes what it does not set from the app, and the app from
// the built-in defaults.
type Settings struct {
	// How much each channel keeps for clients that come back.
	History *History `json:"history,omitempty"`

	// How much all channels of the hub keep together, in bytes. The oldest
	// events go first. Default: 64 MiB.
	MaxHistory int64 `json:"max_history,omitempty"`

	// How much may be on its way at once, in bytes: answers that readers have not
	// taken yet, of which those that are longest on their way are cut for more, and
	// what publishers send. At least four times MaxEvent. Default: 64 MiB.
	MaxInFlight int64 `json:"max_in_flight,omitempty"`

	// What the hub may take altogether, in bytes: MaxHistory and MaxInFlight, 1.5 KiB
	// for each of MaxChannels and 72 KiB for each of MaxHolds. Which of them is not
	// set gets its share of what the others leave. Default: 0, the sum of theirs.
	MaxMemory int64 `json:"max_memory,omitempty"`

	// The largest data of one event, in bytes. Default: 1 MiB, or what fits.
	MaxEvent int `json:"max_event,omitempty"`

	// How many requests may be held at once. Who comes then is told to come
	// back later. Default: 100000.
	MaxHolds int `json:"max_holds,omitempty"`

	// How many requests may be held at once for one address of a client, or one /64 of
	// IPv6. Clients behind one router or proxy share theirs. Default: 0, no limit.
	MaxHoldsPerIP int `json:"max_holds_per_ip,omitempty"`

	// How many requests may be held at once for one user, where the site or a token
	// names one. Default: 0, no limit.
	MaxHoldsPerUser int `json:"max_holds_per_user,omitempty"`

	// How many events all publishers together may send in a time: by POST, by an
	// answer's header, by setting an event variable. Those of files have no rate. Default:
	// none.
	MaxPublishRate *Rate `json:"max_publish_rate,omitempty"`

	// The channels that know their members. Default: none.
	Presence *Presence `json:"presence,omitempty"`

	// How many channels there may be at once. Default: 100000.
	MaxChannels int `json:"max_channels,omitempty"`

	// How long a poll waits if nothing happens, give or take a fifth, so that
	// polls which came together do not come back together. Default: 25s,
	// because proxies and load balancers cut a silent request after 30 to 60
	// seconds.
	Hold caddy.Duration `json:"hold,omitempty"`

	// After how long a stream that has nothing to say sends a sign of life.
	// Default: 20s.
	Heartbeat caddy.Duration `json:"heartbeat,omitempty"`

	// For how long after a poll went through Caddy's routes the next ones of the
	// same connection are taken as the same request going on, if they are equal to
	// the last byte but for the position: they pass no route, no middleware and no
	// authentication then, as the later events of a stream do not. That makes the
	// next poll several times cheaper. Default: 0, never.
	Lease caddy.Duration `json:"lease,omitempty"`

	// The directory in which the hub keeps its history over a restart: an absolute
	// path. Each hub has a file of its own there, named after it. A publisher gets
	// his answer when the event is on the disk. `off` is for a hub that keeps none
	// where the level above does. Default: none; a restart begins anew, and clients
	// are told of the gap.
	Store string `json:"store,omitempty"`
}

// History says how much a channel keeps. An event goes when any of the three is
// exceeded, but not in its first five seconds, unless Bytes demands it.
type History struct {
	// How many events. Default: 100. A negative number keeps none.
	Count int `json:"count,omitempty"`
	// For how long. Default: 10m.
	Age caddy.Duration `json:"age,omitempty"`
	// How many bytes, counting 160 bytes besides each event's data.
	// Default: 1 MiB.
	Bytes int64 `json:"bytes,omitempty"`
}

func (h *History) age() time.Duration { return time.Duration(h.Age) }

// storeOff is the store of a hub that has none.
const storeOff = "off"

const (
	defaultHold      = 25 * time.Second
	defaultHeartbeat = 20 * time.Second
)

// over returns s with what it leaves open taken from base.
func (s Settings) over(base Settings) Settings {
	s.History = s.History.over(base.History)
	s.MaxHistory = or(s.MaxHistory, base.MaxHistory)
	s.MaxInFlight = or(s.MaxInFlight, base.MaxInFlight)
	s.MaxMemory = or(s.MaxMemory, base.MaxMemory)
	s.MaxEvent = or(s.MaxEvent, base.MaxEvent)
	s.MaxHolds = or(s.MaxHolds, base.MaxHolds)
	s.MaxHoldsPerIP = or(s.MaxHoldsPerIP, base.MaxHoldsPerIP)
	s.MaxHoldsPerUser = or(s.MaxHoldsPerUser, base.MaxHoldsPerUser)
	s.MaxPublishRate = or(s.MaxPublishRate, base.MaxPublishRate)
	s.Presence = or(s.Presence, base.Presence)
	s.MaxChannels = or(s.MaxChannels, base.MaxChannels)
	s.Hold = or(s.Hold, base.Hold)
	s.Heartbeat = or(s.Heartbeat, base.Heartbeat)
	s.Lease = or(s.Lease, base.Lease)
	s.Store = or(s.Store, base.Store)
	return s
}

func (h *History) over(base *History) *History {
	if h == nil {
		return base
	}
	if base == nil {
		return h
	}
	return &History{
		// Who sets an age or a size wants a history, whatever the level above has.
		Count: or(h.Count, max(0, base.Count)), Age: or(h.Age, base.Age), Bytes: or(h.Bytes, base.Bytes),
	}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// check reports the first setting that makes no sense.
func (s Settings) check() error {
	if err := s.Presence.check(); err != nil {
		return err
	}
	if _, err := s.MaxPublishRate.quota(); err != nil {
		return fmt.Errorf("max_publish_%w", err)
	}
	if h := s.History; h != nil {
		if h.Age < 0 || h.Bytes < 0 {
			return fmt.Errorf("history: age and bytes cannot be negative; for no history write \"history off\" (count -1)")
		}
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"max_history", s.MaxHistory}, {"max_in_flight", s.MaxInFlight}, {"max_memory", s.MaxMemory}, {"max_event", int64(s.MaxEvent)},
		{"max_holds", int64(s.MaxHolds)}, {"max_channels", int64(s.MaxChannels)},
		{"max_holds_per_ip", int64(s.MaxHoldsPerIP)}, {"max_holds_per_user", int64(s.MaxHoldsPerUser)},
		{"hold", int64(s.Hold)}, {"heartbeat", int64(s.Heartbeat)}, {"lease", int64(s.Lease)},
	} {
		if n.value < 0 {
			return fmt.Errorf("%s cannot be negative", n.name)
		}
	}
	if n := max(s.MaxHolds, s.MaxChannels); n > maxCount {
		return fmt.Errorf("%d are too many; %d holds or channels are the most", n, maxCount)
	}
	if n := max(s.MaxHistory, s.MaxInFlight, s.MaxMemory, int64(s.MaxEvent)); n > maxSize {
		return fmt.Errorf("%d bytes are too many; 1TiB is the most", n)
	}
	if s.Hold != 0 && time.Duration(s.Hold) < time.Second {
		return fmt.Errorf("hold %s: a poll must wait at least 1s, or clients ask without a pause", time.Duration(s.Hold))
	}
	if s.Heartbeat != 0 && time.Duration(s.Heartbeat) < time.Second {
		return fmt.Errorf("heartbeat %s: at least 1s", time.Duration(s.Heartbeat))
	}
	if s.Store != "" && s.Store != storeOff {
		return log.CheckStore(s.Store)
	}
	return nil
}

// limits returns the hub's limits, of settings that fit.
func (s Settings) limits() hub.Limits {
	l, _ := s.fitted()
	return l
}

func (s Settings) hold() time.Duration {
	return or(time.Duration(s.Hold), defaultHold)
}

func (s Settings) lease() time.Duration { return time.Duration(s.Lease) }

func (s Settings) heartbeat() time.Duration {
	return or(time.Duration(s.Heartbeat), defaultHeartbeat)
}

// Keep says how long and how many event variables stay set.
type Keep struct {
	// For how long after it was set. Default: 10m.
	Age caddy.Duration `json:"age,omitempty"`
	// How many there may be, set or waited for, 100 million at most. For a new
	// one the one that was set longest ago is forgotten. Default: 100000.
	Count int `json:"count,omitempty"`
}

const (
	defaultKeepAge   = 10 * time.Minute
	defaultKeepCount = 100_000
	maxKeepCount     = 100_000_000
	// keepBytes is room for one event variable in the history, and not for two: no
	// data, and the number as the channel's name. So one that is set again and
	// again takes no room of the others.
	keepBytes = 320
	// keepInFlight is more than enough for answers of some bytes.
	keepInFlight = 1 << 20
)

// settings returns the settings of a hub for event variables; the rest is as in
// base.
func (k *Keep) settings(base Settings) (Settings, error) {
	if k == nil {
		k = new(Keep)
	}
	if k.Age < 0 || k.Count < 0 {
		return base, fmt.Errorf("keep: age and count cannot be negative")
	}
	age, count := or(time.Duration(k.Age), defaultKeepAge), or(k.Count, defaultKeepCount)
	if age < time.Second {
		return base, fmt.Errorf("keep %s: at least 1s, or who asks a moment later waits for ever", age)
	}
	if count > maxKeepCount {
		return base, fmt.Errorf("keep %d: %d are the most", count, maxKeepCount)
	}
	base.History = &History{Count: 1, Age: caddy.Duration(age), Bytes: keepBytes}
	base.MaxChannels = count
	base.MaxHistory = int64(count) * keepBytes
	base.MaxMemory, base.MaxEvent, base.MaxInFlight = 0, 0, keepInFlight
	return base, nil
}
