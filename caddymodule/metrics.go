package caddymodule

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
	asks           *prometheus.CounterVec
	askSeconds     *prometheus.HistogramVec
	kicks          *prometheus.CounterVec
	shortages      prometheus.Counter
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
		asks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "asks_total",
			Help: "Requests of the server's own to the site, by what for and what came of it.",
		}, []string{"hub", "purpose", "result"}),
		askSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "ask_seconds",
			Help:    "Time until the site answered such a request, the wait for php_concurrency's places included.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"hub", "purpose"}),
		kicks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "kicks_total",
			Help: "Times that the site sent somebody away.",
		}, []string{"hub"}),
		shortages: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "descriptor_shortages_total",
			Help: "Connections that came when hardly a file descriptor was left.",
		}),
	}
})

// all are the collectors, those that read the hubs included.
func (m *meters) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.held, m.parked, m.opened, m.leased, m.answered, m.denied, m.publishSeconds,
		m.asks, m.askSeconds, m.kicks, m.shortages, hubCollector{},
	}
}

// reasons are why something is refused.
var reasons = []string{
	"authorize", "backend", "file_event", "instruction", "keys", "limit", "method", "origin", "publisher", "rate", "request",
	"store", "token",
}

// meterHub has a hub's counters begin at 0: one that is there only with its first event
// would hide that event from whoever looks at increases.
func meterHub(name string) {
	m := metrics()
	for _, reason := range reasons {
		m.denied.WithLabelValues(name, reason)
	}
	m.kicks.WithLabelValues(name)
	m.publishSeconds.WithLabelValues(name)
}

// What the site is asked for.
const (
	askAuthorize = "authorize"
	askAgain     = "again"
	askLink      = "link"
)

// What comes of asking.
const (
	askAnswered = "answered"
	askRefused  = "refused"
	askFailed   = "failed"
)

// askedSite counts a request to the site.
func askedSite(hub, purpose, result string, took time.Duration) {
	m := metrics()
	for _, r := range []string{askAnswered, askRefused, askFailed} {
		m.asks.WithLabelValues(hub, purpose, r) // all begin at 0
	}
	m.asks.WithLabelValues(hub, purpose, result).Inc()
	m.askSeconds.WithLabelValues(hub, purpose).Observe(took.Seconds())
}

// registerMetrics adds all figures to a config generation's registry.
func registerMetrics(registry *prometheus.Registry) error {
	for _, c := range metrics().all() {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}
