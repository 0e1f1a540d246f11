package console

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// rate is how often something happened in a second, below 0 where that is not known yet.
func rate(before, now uint64, seconds float64) float64 {
	if seconds <= 0 || now < before {
		return -1
	}
	return float64(now-before) / seconds
}

// perSecond is a rate for people, with a decimal where it is small.
func perSecond(r float64) string {
	switch {
	case r < 0:
		return "-"
	case r == 0:
		return "0"
	case r < 100:
		return fmt.Sprintf("%.1f", r)
	}
	return number(int64(r + 0.5))
}

// seconds is how long the last two looks lie apart, 0 where there is but one.
func (t *Top) seconds() float64 {
	if t.before.Time.IsZero() {
		return 0
	}
	return t.now.Time.Sub(t.before.Time).Seconds()
}

// sum adds all values.
func sum(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// hubBefore is a hub as it was, and whether it was known.
func (t *Top) hubBefore(name string) (figures.Hub, bool) {
	for _, h := range t.before.Hubs {
		if h.Hub == name {
			return h, true
		}
	}
	return figures.Hub{}, false
}

// hubRate is the rate of a figure of a hub.
func (t *Top) hubRate(h figures.Hub, of func(figures.Hub) uint64) float64 {
	before, known := t.hubBefore(h.Hub)
	if !known {
		return -1
	}
	return rate(of(before), of(h), t.seconds())
}

// The figures that have rates.
func published(h figures.Hub) uint64 { return sum(h.Published) }
func delivered(h figures.Hub) uint64 { return h.Delivered }
func opened(h figures.Hub) uint64    { return h.Opened }
func denied(h figures.Hub) uint64    { return sum(h.Denied) }

// total is a rate of all hubs.
func (t *Top) total(of func(figures.Hub) uint64) float64 {
	all := -1.0
	for _, h := range t.now.Hubs {
		if r := t.hubRate(h, of); r >= 0 {
			all = max(0, all) + r
		}
	}
	return all
}

// lag is how long it took, in milliseconds, until the events of late had reached their
// last reader; below 0 where there were none.
func (t *Top) lag() float64 {
	var events uint64
	var seconds float64
	for _, h := range t.now.Hubs {
		if before, known := t.hubBefore(h.Hub); known && h.Written.Events >= before.Written.Events {
			events += h.Written.Events - before.Written.Events
			seconds += h.Written.Seconds - before.Written.Seconds
		}
	}
	if events == 0 {
		return -1
	}
	return seconds / float64(events) * 1000
}

func parked(h figures.Hub) (n int) {
	for _, k := range h.Kinds {
		n += k.Parked
	}
	return n
}

// ordered are the hubs in the order that is chosen.
func (t *Top) ordered() []figures.Hub {
	hubs := slices.Clone(t.now.Hubs)
	slices.SortStableFunc(hubs, func(a, b figures.Hub) int {
		by := 0
		switch t.hubs.name() {
		case "held":
			by = cmp.Compare(b.Held, a.Held)
		case "events":
			by = cmp.Compare(t.hubRate(b, published), t.hubRate(a, published))
		}
		return cmp.Or(by, figures.ByName(a.Hub, b.Hub))
	})
	return hubs
}

// place is where the chosen hub is among the ordered, below 0 if nowhere.
func (t *Top) place() int {
	return slices.IndexFunc(t.ordered(), func(h figures.Hub) bool { return h.Hub == t.hub })
}

func (t *Top) channelPlace() int {
	return slices.IndexFunc(t.list.Channels.Channels, func(c figures.Channel) bool { return c.Channel == t.channel })
}

// channelRate is how many events a second there are in a channel.
func (t *Top) channelRate(c figures.Channel) float64 {
	for _, b := range t.listBefore.Channels.Channels {
		if b.Channel == c.Channel {
			return rate(b.Events, c.Events, t.list.at.Sub(t.listBefore.at).Seconds())
		}
	}
	return -1
}

// answered is the rate at which holds of a kind ended in one of these ways; all but them
// with but.
func (t *Top) answered(hub string, k figures.Kind, but bool, outcomes ...string) float64 {
	before, known := t.hubBefore(hub)
	if !known {
		return -1
	}
	count := func(k figures.Kind) (n uint64) {
		for outcome, c := range k.Answered {
			if slices.Contains(outcomes, outcome) != but {
				n += c
			}
		}
		return n
	}
	for _, b := range before.Kinds {
		if b.Dialect == k.Dialect && b.Transport == k.Transport {
			return rate(count(b), count(k), t.seconds())
		}
	}
	return rate(0, count(k), t.seconds())
}
