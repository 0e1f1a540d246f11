package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	gometrics "runtime/metrics"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// statusName is the endpoint's name for the hub's figures.
const statusName = "_status"

// processBegan is when the process began, or hardly later.
var processBegan = time.Now()

// currentStatus tells of the process and of all hubs.
func currentStatus() figures.Status {
	s := statusOf(runningHubs())
	s.Process = &figures.Process{Started: processBegan.UTC(), Goroutines: runtime.NumGoroutine(), MemoryBytes: memory()}
	s.Process.Descriptors, s.Process.MaxDescriptors = descriptors()
	return s
}

// statusOf tells of hubs and of what feeds them.
func statusOf(hubs []*sharedHub) figures.Status {
	s := figures.Status{Time: time.Now().UTC(), Hubs: []figures.Hub{}, Watches: []figures.Watch{}}
	kinds, denied := kindsHeld(), counts(metrics().denied)
	names := make(map[string]bool)
	for _, h := range hubs {
		names[h.name] = true
		stats, limits := h.Stats(), h.Limits()
		s.Hubs = append(s.Hubs, figures.Hub{
			Hub: h.name, Cursor: stats.Cursor.String(), Held: stats.Holds, Channels: stats.Channels,
			History: stats.Events, HistoryBytes: stats.HistoryBytes, InFlightBytes: stats.InFlight,
			Opened: stats.Opened, Delivered: stats.Delivered, Published: stats.Published,
			Denied: denied[h.name], Written: written(h.name), Kinds: kinds[h.name], Store: h.storeStatus(),
			Limits: figures.Limits{
				MaxHolds: limits.Holds, MaxChannels: limits.Channels,
				MaxHistory: limits.TotalBytes, MaxInFlight: limits.InFlightBytes,
			},
		})
	}
	for _, w := range watching() {
		if names[w.Hub] {
			s.Watches = append(s.Watches, figures.Watch{
				Hub: w.Hub, Glob: w.Glob, What: string(w.What), Mode: w.Mode, Why: w.Why,
				Files: w.Files, LastError: w.LastError, Overflows: w.Overflows,
			})
		}
	}
	slices.SortFunc(s.Watches, func(a, b figures.Watch) int {
		return cmp.Or(figures.ByName(a.Hub, b.Hub), figures.ByName(a.Glob, b.Glob), strings.Compare(a.What, b.What))
	})
	return s
}

// noHub says that there is no hub of that name, and which there are.
func noHub(name string) error {
	var known []string
	for _, h := range runningHubs() {
		known = append(known, h.name)
	}
	return noHubOf(name, known)
}

// noHubOf is noHub for who has asked which there are.
func noHubOf(name string, known []string) error {
	if known == nil {
		return errors.New("the running configuration uses no hub: it has no comet directive")
	}
	return fmt.Errorf("there is no hub %q in the running configuration%s", name, didYouMean(name, known))
}

// kindsHeld are the pages by hub, in order.
func kindsHeld() map[string][]figures.Kind {
	all := make(map[string][]figures.Kind)
	pages.Range(func(_, v any) bool {
		p := v.(*page)
		k := figures.Kind{
			Dialect: p.dialect, Transport: p.transport, Opened: uint64(count(p.opened)),
			Held: int(count(p.held)), Parked: int(count(p.parked)), Answered: make(map[string]uint64),
		}
		p.answered.Range(func(outcome, c any) bool {
			k.Answered[fmt.Sprint(outcome)] = uint64(count(c.(prometheus.Counter)))
			return true
		})
		all[p.hub] = append(all[p.hub], k)
		return true
	})
	for _, kinds := range all {
		slices.SortFunc(kinds, func(a, b figures.Kind) int {
			return cmp.Or(strings.Compare(a.Dialect, b.Dialect), strings.Compare(a.Transport, b.Transport))
		})
	}
	return all
}

// count is a counter's or a gauge's value.
func count(m prometheus.Metric) float64 {
	var d dto.Metric
	if m.Write(&d) != nil {
		return 0
	}
	return d.GetCounter().GetValue() + d.GetGauge().GetValue()
}

// eachCount calls f for each counter of a vector.
func eachCount(c prometheus.Collector, f func(labels map[string]string, n uint64)) {
	ch := make(chan prometheus.Metric, 64)
	go func() {
		c.Collect(ch)
		close(ch)
	}()
	for m := range ch {
		var d dto.Metric
		if m.Write(&d) != nil {
			continue
		}
		labels := make(map[string]string)
		for _, l := range d.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		f(labels, uint64(d.GetCounter().GetValue()))
	}
}

// counts are a counter's values by the labels hub and reason.
func counts(c prometheus.Collector) map[string]map[string]uint64 {
	all := make(map[string]map[string]uint64)
	eachCount(c, func(labels map[string]string, n uint64) {
		if all[labels["hub"]] == nil {
			all[labels["hub"]] = make(map[string]uint64)
		}
		all[labels["hub"]][labels["reason"]] = n
	})
	return all
}

// written is how a hub's events reached their readers.
func written(hub string) figures.Written {
	var d dto.Metric
	m, ok := metrics().publishSeconds.WithLabelValues(hub).(prometheus.Metric)
	if !ok || m.Write(&d) != nil {
		return figures.Written{}
	}
	return figures.Written{Events: d.GetHistogram().GetSampleCount(), Seconds: d.GetHistogram().GetSampleSum()}
}

// memory is what Go has of the system: all but what it has given back.
func memory() int64 {
	samples := []gometrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	gometrics.Read(samples)
	var bytes [2]uint64
	for i, s := range samples {
		if s.Value.Kind() == gometrics.KindUint64 {
			bytes[i] = s.Value.Uint64()
		}
	}
	return int64(bytes[0] - bytes[1])
}
