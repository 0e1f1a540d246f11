package caddymodule

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// book is where one hold is entered: when it began, and what becomes of it. It
// may outlive the configuration that it began with, so it knows nothing of it.
type book struct {
	page  *page
	began park.Moment
	log   *logEntry // nil unless Caddy's line was taken over
	// channels is how many it follows.
	channels int32
	// stake is what it takes of the visitor's, nil where nobody has limits.
	stake *stake
	// held: the hub knows of it. parked: its request does not.
	held, parked bool
}

// page is what holds of one kind have in common.
type page struct {
	hub, dialect, transport string
	opened, leased          prometheus.Counter
	held, parked            prometheus.Gauge
	// answered are counters by outcome.
	answered sync.Map
}

func (p *page) count(outcome hold.Outcome) {
	c, ok := p.answered.Load(outcome)
	if !ok {
		c, _ = p.answered.LoadOrStore(outcome, metrics().answered.WithLabelValues(p.hub, p.dialect, p.transport, string(outcome)))
	}
	c.(prometheus.Counter).Inc()
}

// pages are all there are: one for each hub, dialect and transport.
var pages sync.Map // of pageKey to *page

type pageKey struct{ hub, dialect, transport string }

func pageOf(hub, dialect, transport string) *page {
	key := pageKey{hub, dialect, transport}
	if p, ok := pages.Load(key); ok {
		return p.(*page)
	}
	m := metrics()
	p, _ := pages.LoadOrStore(key, &page{
		hub: hub, dialect: dialect, transport: transport,
		opened: m.opened.WithLabelValues(hub, dialect, transport),
		leased: m.leased.WithLabelValues(hub, dialect, transport),
		held:   m.held.WithLabelValues(hub, dialect, transport),
		parked: m.parked.WithLabelValues(hub, dialect, transport),
	})
	return p.(*page)
}

// open enters a hold.
func (p *page) open(channels int) *book {
	p.opened.Inc()
	return &book{page: p, began: park.Now(), channels: int32(channels)}
}

// wait says that the hub knows of the hold.
func (b *book) wait() {
	b.held = true
	b.page.held.Inc()
}

// park says that the hold goes on without its request.
func (b *book) park() {
	b.parked = true
	b.page.parked.Inc()
}

// Ended closes the book of a parked hold.
func (b *book) Ended(r hold.Report, status, size int, header func() http.Header) {
	b.page.parked.Dec()
	b.close(r)
	if b.log != nil {
		b.log.write(status, size, b.took(), header(), string(r.Outcome))
	}
}

// Again opens the book of the same hold going on with another request.
func (b *book) Again(head []byte) hold.Ended {
	next := b.page.open(int(b.channels))
	if next.stake = b.stake; next.stake != nil {
		next.stake.keep()
	}
	next.wait()
	next.park()
	b.page.leased.Inc()
	if b.log != nil {
		next.log = b.log.again(head)
	}
	return next
}

func (b *book) close(r hold.Report) {
	p := b.page
	if b.held {
		p.held.Dec()
	}
	if b.stake != nil {
		b.stake.release()
	}
	p.count(r.Outcome)
	if r.Outcome == hold.Denied {
		metrics().denied.WithLabelValues(p.hub, "limit").Inc()
	}
	if entry := logs().holds.Check(zapcore.DebugLevel, "held request ended"); entry != nil {
		entry.Write(zap.String("hub", p.hub), zap.String("dialect", p.dialect), zap.String("transport", p.transport),
			zap.String("outcome", string(r.Outcome)), zap.Bool("parked", b.parked),
			zap.Int32("channels", b.channels), zap.Int("events", r.Events), zap.Duration("waited", b.took()))
	}
}

func (b *book) took() time.Duration { return time.Duration(park.Now() - b.began) }
