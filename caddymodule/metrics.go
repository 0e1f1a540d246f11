package caddymodule

import (
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// meters are the process's own figures; they live as long as it does, so that a
// reload does not set counters back. What the hubs count is read from them when
// somebody asks (hubCollector). No label is ever a channel, an address or a
// user: their number would not be bounded.
type meters struct {
	held           *prometheus.GaugeVec
	parked         *prometheus.GaugeVec
	opened         *prometheus.CounterVec
	leased         *prometheus.CounterVec
	answered       *prometheus.CounterVec
	denied         *prometheus.CounterVec
	publishSeconds *prometheus.HistogramVec
}

var metrics = sync.OnceValue(func() *meters {
	const namespace, subsystem = "caddy", "comet"
	hold := []string{"hub", "dialect", "transport"}
	return &meters{
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "held",
			Help: "Requests held now.",
		}, hold),
		parked: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "parked",
			Help: "Requests held now that are parked: they cost no goroutine.",
		}, hold),
		opened: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "opened_total",
			Help: "Requests that began to be held.",
		}, hold),
		leased: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "leased_total",
			Help: "Requests that began to be held by a lease, past Caddy's routes.",
		}, hold),
		answered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "answered_total",
			Help: "Held requests that ended, by how.",
		}, append(hold, "outcome")),
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "denied_total",
			Help: "Requests and events that were refused, by why.",
		}, []string{"hub", "reason"}),
		publishSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "publish_seconds",
			Help:    "Time from an event's publishing to the last write to those who waited for it, the disk's included where there is a store.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 30},
		}, []string{"hub"}),
	}
})

// publishTimes are how long a hub's publishes took so far, as the histogram counts them:
// what happened meanwhile is the difference of two.
type publishTimes struct {
	Count   uint64       `json:"count"`
	Seconds float64      `json:"seconds"`
	Buckets []timeBucket `json:"buckets"`
}

// timeBucket is how many took so many seconds at most. What took longer than the last
// of them is in the count alone.
type timeBucket struct {
	Seconds float64 `json:"le"`
	Count   uint64  `json:"count"`
}

func publishTimesOf(hub string) (times publishTimes) {
	var m dto.Metric
	histogram, ok := metrics().publishSeconds.WithLabelValues(hub).(prometheus.Metric)
	if !ok || histogram.Write(&m) != nil {
		return times
	}
	h := m.GetHistogram()
	times.Count, times.Seconds = h.GetSampleCount(), h.GetSampleSum()
	for _, b := range h.GetBucket() {
		times.Buckets = append(times.Buckets, timeBucket{b.GetUpperBound(), b.GetCumulativeCount()})
	}
	return times
}

// registerMetrics adds all figures to a config generation's registry.
func registerMetrics(registry *prometheus.Registry) error {
	m := metrics()
	for _, c := range []prometheus.Collector{m.held, m.parked, m.opened, m.leased, m.answered, m.denied, m.publishSeconds, hubCollector{}} {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}

// hubCollector reads the figures that hubs and file watches keep themselves.
type hubCollector struct{}

var (
	eventsDesc     = prometheus.NewDesc("caddy_comet_events_total", "Events published, by source.", []string{"hub", "source"}, nil)
	deliveriesDesc = prometheus.NewDesc("caddy_comet_deliveries_total", "Deliveries given to held requests.", []string{"hub"}, nil)
	channelsDesc   = prometheus.NewDesc("caddy_comet_channels", "Channels in use now.", []string{"hub"}, nil)
	historyDesc    = prometheus.NewDesc("caddy_comet_history_bytes", "Size of all events kept.", []string{"hub"}, nil)
	inFlightDesc   = prometheus.NewDesc("caddy_comet_in_flight_bytes", "What is on its way to readers and from publishers.", []string{"hub"}, nil)
	watchesDesc    = prometheus.NewDesc("caddy_comet_watches", "File watches, by how they notice a change.", []string{"mode"}, nil)
	commitsDesc    = prometheus.NewDesc("caddy_comet_store_commits_total", "Writes to the hub's store that succeeded.", []string{"hub"}, nil)
	failuresDesc   = prometheus.NewDesc("caddy_comet_store_failures_total", "Writes to the hub's store that failed.", []string{"hub"}, nil)
	storeBytesDesc = prometheus.NewDesc("caddy_comet_store_bytes", "Size of the hub's store.", []string{"hub"}, nil)
	storeUpDesc    = prometheus.NewDesc("caddy_comet_store_up", "1 if the hub's store takes events, 0 if the last write failed.", []string{"hub"}, nil)
	overflowsDesc  = prometheus.NewDesc("caddy_comet_watch_overflows_total", "Times that the kernel dropped file events and all files were looked at instead.", nil, nil)
)

func (hubCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{eventsDesc, deliveriesDesc, channelsDesc, historyDesc, inFlightDesc, commitsDesc, failuresDesc, storeBytesDesc, storeUpDesc, watchesDesc, overflowsDesc} {
		ch <- d
	}
}

func (hubCollector) Collect(ch chan<- prometheus.Metric) {
	for _, h := range runningHubs() {
		s := h.Stats()
		for source, n := range s.Published {
			ch <- prometheus.MustNewConstMetric(eventsDesc, prometheus.CounterValue, float64(n), h.name, source)
		}
		ch <- prometheus.MustNewConstMetric(deliveriesDesc, prometheus.CounterValue, float64(s.Delivered), h.name)
		ch <- prometheus.MustNewConstMetric(channelsDesc, prometheus.GaugeValue, float64(s.Channels), h.name)
		ch <- prometheus.MustNewConstMetric(historyDesc, prometheus.GaugeValue, float64(s.HistoryBytes), h.name)
		ch <- prometheus.MustNewConstMetric(inFlightDesc, prometheus.GaugeValue, float64(s.InFlight), h.name)
	}
	for _, h := range runningHubs() {
		if s, ok := h.log.Stored(); ok {
			up := 1.0
			if s.Err != nil {
				up = 0
			}
			ch <- prometheus.MustNewConstMetric(commitsDesc, prometheus.CounterValue, float64(s.Commits), h.name)
			ch <- prometheus.MustNewConstMetric(failuresDesc, prometheus.CounterValue, float64(s.Failures), h.name)
			ch <- prometheus.MustNewConstMetric(storeBytesDesc, prometheus.GaugeValue, float64(s.Bytes), h.name)
			ch <- prometheus.MustNewConstMetric(storeUpDesc, prometheus.GaugeValue, up, h.name)
		}
	}
	modes := map[string]int{"inotify": 0, "polling": 0}
	var overflows int64
	for _, w := range watching() {
		modes[w.Mode]++
		overflows = max(overflows, w.Overflows)
	}
	for mode, n := range modes {
		ch <- prometheus.MustNewConstMetric(watchesDesc, prometheus.GaugeValue, float64(n), mode)
	}
	ch <- prometheus.MustNewConstMetric(overflowsDesc, prometheus.CounterValue, float64(overflows))
}
