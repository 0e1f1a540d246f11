package samples

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// How much a [Recorder] keeps for each view: the seconds of ten minutes and the
// minutes of a day. A column of both takes 8 KiB; a view has about ten, and that of all
// hubs one more for each hub.
const (
	Seconds = 600
	Minutes = 1440
)

// Recorder makes rates and times of the readings that it is given, and keeps them for
// a while: for all hubs together, and for each that somebody has a page of.
type Recorder struct {
	mu    sync.Mutex
	views map[string]*view
	// last is the last reading, by hub.
	last map[string]Hub
	at   time.Time
}

// view is what is kept for those who see one hub, or all.
type view struct {
	followers int
	recent    Recent
	seconds   *series
	minutes   *series
	// minute is the one that goes on, as sums, and how many samples each has.
	minute map[string]*sum
	began  int64
}

type sum struct {
	total, most float64
	n           int
}

// Follow keeps figures of a hub, or of all for "", until as many calls of Unfollow. It
// reports whether that is the first view of all.
func (r *Recorder) Follow(hub string) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first = len(r.views) == 0
	v := r.views[hub]
	if v == nil {
		v = &view{seconds: newSeries(Seconds), minutes: newSeries(Minutes), minute: make(map[string]*sum)}
		if r.views == nil {
			r.views = make(map[string]*view)
		}
		r.views[hub] = v
	}
	v.followers++
	return first
}

// Unfollow reports whether there is no view any more.
func (r *Recorder) Unfollow(hub string) (last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.views[hub]
	if v == nil {
		return false
	}
	if v.followers--; v.followers == 0 {
		delete(r.views, hub)
	}
	if len(r.views) == 0 {
		r.last = nil
		return true
	}
	return false
}

// Views are the hubs that somebody has a page of, "" for all.
func (r *Recorder) Views() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]string, 0, len(r.views))
	for name := range r.views {
		names = append(names, name)
	}
	return names
}

// Take takes a reading of all hubs.
func (r *Recorder) Take(at time.Time, hubs []Hub) {
	r.mu.Lock()
	defer r.mu.Unlock()
	passed := at.Sub(r.at).Seconds()
	if r.last == nil || passed <= 0 {
		passed = 0
	}
	for name, v := range r.views {
		v.take(at, passed, of(hubs, name), r.last)
	}
	r.last = make(map[string]Hub, len(hubs))
	for _, h := range hubs {
		r.last[h.Hub] = h
	}
	r.at = at
}

// of are the hubs that a view shows.
func of(hubs []Hub, view string) []Hub {
	if view == "" {
		return hubs
	}
	return slices.DeleteFunc(slices.Clone(hubs), func(h Hub) bool { return h.Hub != view })
}

func (v *view) take(at time.Time, passed float64, hubs []Hub, last map[string]Hub) {
	if v.recent.Since.IsZero() {
		v.recent.Since = at
	}
	values := make(map[string]float64, 16)
	var times Times
	var requests, events, deliveries uint64
	parked, workers := 0, 0
	for _, h := range hubs {
		before, known := last[h.Hub]
		if !known {
			before = h // what it has from before is not of this moment
		}
		requests += since(h.Requests, before.Requests)
		events += since(h.Events, before.Events)
		deliveries += since(h.Deliveries, before.Deliveries)
		times = times.Plus(h.Times.minus(before.Times))
		parked += h.Parked
		for _, d := range h.Dialects {
			values["held "+d.Dialect] += float64(d.Held)
			if d.Dialect != Watching {
				workers += d.Held
			}
		}
		values["hub "+h.Hub] = float64(h.Held)
	}
	v.recent.WorkerSeconds += float64(workers) * passed
	v.recent.Requests, v.recent.Events, v.recent.Deliveries = 0, 0, 0
	if passed > 0 {
		v.recent.Requests, v.recent.Events, v.recent.Deliveries = float64(requests)/passed, float64(events)/passed, float64(deliveries)/passed
	}
	v.recent.Median, v.recent.P99 = times.quantile(.5), times.quantile(.99)
	values["parked"] = float64(parked)
	values["requests"], values["events"], values["deliveries"] = v.recent.Requests, v.recent.Events, v.recent.Deliveries
	if v.recent.Median != nil {
		values["median"], values["p99"] = *v.recent.Median, *v.recent.P99
	}
	v.keep(at.Unix(), values)
}

// Watching is the dialect under which those are held who look at a channel's events
// on the status page: no PHP worker would have waited for them.
const Watching = "status"

func since(now, before uint64) uint64 {
	if now < before {
		return 0 // it began anew
	}
	return now - before
}

// keep keeps a sample, and at the end of a minute what the minute was like: the mean,
// and of p99 the worst.
func (v *view) keep(at int64, values map[string]float64) {
	if minute := at - at%60; minute != v.began {
		if v.began != 0 {
			means := make(map[string]float64, len(v.minute))
			for name, s := range v.minute {
				means[name] = s.total / float64(s.n)
				if name == "p99" {
					means[name] = s.most
				}
			}
			v.minutes.add(v.began, means)
			clear(v.minute)
		}
		v.began = minute
	}
	v.seconds.add(at, values)
	for name, value := range values {
		s := v.minute[name]
		if s == nil {
			s = new(sum)
			v.minute[name] = s
		}
		s.total, s.most, s.n = s.total+value, math.Max(s.most, value), s.n+1
	}
}

// maxColumns is of how many hubs a history has a column each.
const maxColumns = 7

// History is what was kept of a view, as JSON: by seconds or by minutes. Of the hubs it
// has those with most held requests.
func (r *Recorder) History(hub string, minutes bool) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.views[hub]
	if v == nil {
		return []byte(`{"t":[],"v":{}}`)
	}
	s := v.seconds
	if minutes {
		s = v.minutes
	}
	peaks := make(map[string]float32)
	var names []string
	for name, column := range s.columns {
		if strings.HasPrefix(name, "hub ") {
			names = append(names, name)
			peaks[name] = peak(column)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(peaks[b], peaks[a]), strings.Compare(a, b)) })
	names = names[:min(maxColumns, len(names))]
	return s.append(nil, func(column string) bool {
		return !strings.HasPrefix(column, "hub ") || slices.Contains(names, column)
	})
}

// Fill has what a view knows of the last reading: rates, times, and the figures of its
// hubs in their order.
func (r *Recorder) Fill(s *Status, hubs []Hub) {
	r.mu.Lock()
	if v := r.views[s.Hub]; v != nil {
		s.Recent = v.recent
	}
	r.mu.Unlock()
	hubs = slices.Clone(of(hubs, s.Hub))
	slices.SortFunc(hubs, func(a, b Hub) int { return cmp.Or(cmp.Compare(b.Held, a.Held), figures.ByName(a.Hub, b.Hub)) })
	for _, h := range hubs {
		s.Held += h.Held
		s.Parked += h.Parked
		s.Limits = append(s.Limits, h.Limits...)
		for _, d := range h.Dialects {
			s.Dialects = addDialect(s.Dialects, d)
		}
	}
	slices.SortFunc(s.Dialects, func(a, b Dialect) int { return strings.Compare(a.Dialect, b.Dialect) })
	slices.SortStableFunc(s.Limits, func(a, b Limit) int { return cmp.Compare(b.share(), a.share()) })
	s.Limits = slices.Clip(s.Limits[:min(MaxLimits, len(s.Limits))])
	shown := min(MaxHubs, len(hubs))
	s.Hubs, s.MoreHubs = hubs[:shown:shown], len(hubs)-shown
}

// addDialect adds up what is held for one dialect.
func addDialect(all []Dialect, d Dialect) []Dialect {
	i := slices.IndexFunc(all, func(a Dialect) bool { return a.Dialect == d.Dialect })
	if i < 0 {
		i = len(all)
		all = append(all, Dialect{Dialect: d.Dialect, Transport: make(map[string]int)})
	}
	all[i].Held += d.Held
	all[i].Parked += d.Parked
	for transport, n := range d.Transport {
		all[i].Transport[transport] += n
	}
	return all
}
