package caddymodule

import (
	"cmp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/caddy-comet/caddy-comet/internal/figures"
	"github.com/caddy-comet/caddy-comet/internal/samples"
)

// readHubs reads the figures of the hubs of the newest configuration, each with its
// event variables.
func readHubs() []samples.Hub {
	app := newestApp()
	if app == nil {
		return nil
	}
	byName := make(map[string]*samples.Hub)
	var all []*samples.Hub
	of := func(name string) *samples.Hub {
		name, _, _ = strings.Cut(name, "/")
		h := byName[name]
		if h == nil {
			h = &samples.Hub{Hub: name, Sources: make(map[string]uint64)}
			byName[name] = h
			all = append(all, h)
		}
		return h
	}
	for _, shared := range app.sharedHubs() {
		h, stats, limits := of(shared.name), shared.Stats(), shared.Limits()
		variables := strings.HasSuffix(shared.name, doorbellNamespace)
		h.Channels += stats.Channels
		h.History += stats.Events
		h.HistoryBytes += stats.HistoryBytes
		h.InFlight += stats.InFlight
		h.Deliveries += stats.Delivered
		for source, n := range stats.Published {
			h.Events += n
			h.Sources[source] += n
		}
		holds, channels := "max_holds", "max_channels"
		if variables {
			holds, channels = "max_holds of doorbell", "keep of doorbell"
		}
		h.Limits = append(h.Limits,
			samples.Limit{Hub: h.Hub, Name: holds, Used: int64(stats.Holds), Most: int64(limits.Holds)},
			samples.Limit{Hub: h.Hub, Name: channels, Used: int64(stats.Channels), Most: int64(limits.Channels)})
		if !variables {
			h.Limits = append(h.Limits,
				samples.Limit{Hub: h.Hub, Name: "max_history", Used: stats.HistoryBytes, Most: limits.TotalBytes, Bytes: true},
				samples.Limit{Hub: h.Hub, Name: "max_in_flight", Used: stats.InFlight, Most: limits.InFlightBytes, Bytes: true})
			h.Store = storeFigures(shared)
		}
		if times, ok := timesOf(shared.name); ok {
			h.Times = h.Times.Plus(times)
		}
	}
	pages.Range(func(_, v any) bool {
		p := v.(*page)
		name, _, _ := strings.Cut(p.hub, "/")
		if h := byName[name]; h != nil { // else no configuration mentions it any more
			p.addTo(h)
		}
		return true
	})
	hubs := make([]samples.Hub, len(all))
	for i, h := range all {
		hubs[i] = *h
	}
	return hubs
}

// addTo adds what is held of the page's kind to its hub.
func (p *page) addTo(h *samples.Hub) {
	held, parked := int(count(p.held)), int(count(p.parked))
	h.Held += held
	h.Parked += parked
	h.Requests += uint64(count(p.opened))
	if held == 0 {
		return
	}
	i := slices.IndexFunc(h.Dialects, func(d samples.Dialect) bool { return d.Dialect == p.dialect })
	if i < 0 {
		i = len(h.Dialects)
		h.Dialects = append(h.Dialects, samples.Dialect{Dialect: p.dialect, Transport: make(map[string]int)})
	}
	h.Dialects[i].Held += held
	h.Dialects[i].Parked += parked
	h.Dialects[i].Transport[p.transport] += held
}

func timesOf(hub string) (t samples.Times, ok bool) {
	m, ok := metrics().publishSeconds.WithLabelValues(hub).(prometheus.Metric)
	var d dto.Metric
	if !ok || m.Write(&d) != nil {
		return t, false
	}
	t.Count = d.Histogram.GetSampleCount()
	for _, b := range d.Histogram.Bucket {
		t.Upper = append(t.Upper, b.GetUpperBound())
		t.Counts = append(t.Counts, b.GetCumulativeCount())
	}
	return t, true
}

func storeFigures(s *sharedHub) *samples.Store {
	status := s.storeStatus()
	if status == nil {
		return nil
	}
	return &samples.Store{Bytes: status.Bytes, Error: status.Error}
}

// viewOf are the figures of a view, of all hubs for "".
func viewOf(view string, now time.Time, hubs []samples.Hub) *samples.Status {
	s := &samples.Status{
		Time: now, Hub: view, Dialects: []samples.Dialect{}, Hubs: []samples.Hub{}, Limits: []samples.Limit{}, Watches: []samples.Watch{},
		Problems: problems.Of(view), Refused: make(map[string]uint64), Ended: make(map[string]uint64),
	}
	s.Version, _ = caddy.Version()
	if view == "" {
		s.Process = &samples.Process{Goroutines: runtime.NumGoroutine(), Memory: uint64(memory())}
		if open, most := descriptors(); open > 0 {
			s.Limits = append(s.Limits, samples.Limit{Name: "descriptors", Used: int64(open), Most: most})
		}
	}
	sampling.recorder.Fill(s, hubs)
	for _, w := range watching() {
		if view == "" || w.Hub == view {
			s.Watches = append(s.Watches, samples.Watch{Hub: w.Hub, Glob: w.Glob, What: string(w.What), Mode: w.Mode, Why: w.Why, Files: w.Files, Error: w.LastError})
		}
	}
	slices.SortFunc(s.Watches, func(a, b samples.Watch) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), figures.ByName(a.Hub, b.Hub), figures.ByName(a.Glob, b.Glob), strings.Compare(a.What, b.What))
	})
	if more := len(s.Watches) - samples.MaxWatches; more > 0 {
		s.Watches, s.MoreWatches = s.Watches[:samples.MaxWatches], more
	}
	sumBy(metrics().denied, view, "reason", s.Refused)
	sumBy(metrics().answered, view, "outcome", s.Ended)
	return s
}

// rank puts what is not as it should be first.
func rank(w samples.Watch) int {
	switch {
	case w.Error != "":
		return 0
	case w.Mode != "inotify":
		return 1
	}
	return 2
}

// sumBy sums the counters of a hub, or of all for "", by one of their labels.
func sumBy(c prometheus.Collector, hub, label string, into map[string]uint64) {
	eachCount(c, func(labels map[string]string, n uint64) {
		name, _, _ := strings.Cut(labels["hub"], "/")
		if n > 0 && (hub == "" || name == hub) {
			into[labels[label]] += n
		}
	})
}
