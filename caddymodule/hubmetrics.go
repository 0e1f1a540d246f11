package caddymodule

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-comet/caddy-comet/internal/source"
)

// hubCollector reads the figures that hubs and file watches keep themselves.
type hubCollector struct{}

var (
	eventsDesc      = prometheus.NewDesc("caddy_comet_events_total", "Events published, by source.", []string{"hub", "source"}, nil)
	deliveriesDesc  = prometheus.NewDesc("caddy_comet_deliveries_total", "Deliveries given to held requests.", []string{"hub"}, nil)
	channelsDesc    = prometheus.NewDesc("caddy_comet_channels", "Channels in use now.", []string{"hub"}, nil)
	historyDesc     = prometheus.NewDesc("caddy_comet_history_bytes", "Size of all events kept.", []string{"hub"}, nil)
	inFlightDesc    = prometheus.NewDesc("caddy_comet_in_flight_bytes", "What is on its way to readers and from publishers.", []string{"hub"}, nil)
	maxHoldsDesc    = prometheus.NewDesc("caddy_comet_max_holds", "How many requests may be held.", []string{"hub"}, nil)
	maxChannelsDesc = prometheus.NewDesc("caddy_comet_max_channels", "How many channels may be in use.", []string{"hub"}, nil)
	maxHistoryDesc  = prometheus.NewDesc("caddy_comet_max_history_bytes", "How large all events together may be that are kept.", []string{"hub"}, nil)
	maxInFlightDesc = prometheus.NewDesc("caddy_comet_max_in_flight_bytes", "How much may be on its way to readers and from publishers.", []string{"hub"}, nil)
	watchesDesc     = prometheus.NewDesc("caddy_comet_watches", "File watches, by how they notice a change.", []string{"hub", "mode"}, nil)
	faultsDesc      = prometheus.NewDesc("caddy_comet_watch_faults", "File watches that cannot see all of their files now.", []string{"hub"}, nil)
	commitsDesc     = prometheus.NewDesc("caddy_comet_store_commits_total", "Writes to the hub's store that succeeded.", []string{"hub"}, nil)
	failuresDesc    = prometheus.NewDesc("caddy_comet_store_failures_total", "Writes to the hub's store that failed.", []string{"hub"}, nil)
	storeBytesDesc  = prometheus.NewDesc("caddy_comet_store_bytes", "Size of the hub's store.", []string{"hub"}, nil)
	storeUpDesc     = prometheus.NewDesc("caddy_comet_store_up", "1 if the hub's store takes events, 0 if the last write failed.", []string{"hub"}, nil)
	overflowsDesc   = prometheus.NewDesc("caddy_comet_watch_overflows_total", "Times that the kernel dropped file events and all files were looked at instead.", nil, nil)
)

func (hubCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		eventsDesc, deliveriesDesc, channelsDesc, historyDesc, inFlightDesc,
		maxHoldsDesc, maxChannelsDesc, maxHistoryDesc, maxInFlightDesc,
		commitsDesc, failuresDesc, storeBytesDesc, storeUpDesc, watchesDesc, faultsDesc, overflowsDesc,
	} {
		ch <- d
	}
}

func (hubCollector) Collect(ch chan<- prometheus.Metric) {
	for _, h := range runningHubs() {
		collectHub(ch, h)
		if s, ok := h.log.Stored(); ok {
			up := 1.0
			if s.Err != nil {
				up = 0
			}
			put(ch, commitsDesc, prometheus.CounterValue, float64(s.Commits), h.name)
			put(ch, failuresDesc, prometheus.CounterValue, float64(s.Failures), h.name)
			put(ch, storeBytesDesc, prometheus.GaugeValue, float64(s.Bytes), h.name)
			put(ch, storeUpDesc, prometheus.GaugeValue, up, h.name)
		}
	}
	collectWatches(ch, watching())
}

func put(ch chan<- prometheus.Metric, d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, kind, value, labels...)
}

func collectHub(ch chan<- prometheus.Metric, h *sharedHub) {
	s, limits := h.Stats(), h.Limits()
	for source, n := range s.Published {
		put(ch, eventsDesc, prometheus.CounterValue, float64(n), h.name, source)
	}
	put(ch, deliveriesDesc, prometheus.CounterValue, float64(s.Delivered), h.name)
	for _, gauge := range []struct {
		desc  *prometheus.Desc
		value float64
	}{
		{channelsDesc, float64(s.Channels)},
		{historyDesc, float64(s.HistoryBytes)},
		{inFlightDesc, float64(s.InFlight)},
		{maxHoldsDesc, float64(limits.Holds)},
		{maxChannelsDesc, float64(limits.Channels)},
		{maxHistoryDesc, float64(limits.TotalBytes)},
		{maxInFlightDesc, float64(limits.InFlightBytes)},
	} {
		put(ch, gauge.desc, prometheus.GaugeValue, gauge.value, h.name)
	}
}

// watchModes are how a watch may notice a change. Of one whose directory was never
// there nobody knows yet.
var watchModes = []string{"inotify", "polling", "absent"}

func collectWatches(ch chan<- prometheus.Metric, all []source.Status) {
	type figures struct {
		modes  map[string]int
		faults int
	}
	hubs := make(map[string]*figures)
	var overflows int64
	for _, w := range all {
		f := hubs[w.Hub]
		if f == nil {
			f = &figures{modes: make(map[string]int)}
			hubs[w.Hub] = f
		}
		f.modes[or(w.Mode, "absent")]++
		if w.LastError != "" {
			f.faults++
		}
		overflows = max(overflows, w.Overflows)
	}
	for hub, f := range hubs {
		for _, mode := range watchModes {
			put(ch, watchesDesc, prometheus.GaugeValue, float64(f.modes[mode]), hub, mode)
		}
		put(ch, faultsDesc, prometheus.GaugeValue, float64(f.faults), hub)
	}
	put(ch, overflowsDesc, prometheus.CounterValue, float64(overflows))
}
