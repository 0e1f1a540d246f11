package caddymodule

import (
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// book is where one hold is entered: when it began, and what becomes of it. It
// may outlive the configuration that it began with, so it knows nothing of it.
type book struct {
	*holder
	began park.Moment
	log   *logEntry // nil unless Caddy's line was taken over
	// stake is what it takes of the visitor's, nil where nobody has limits.
	stake *stake
	// number is what the log calls it, 0 where that has not heard of it.
	number uint64
	// channels is how many it follows.
	channels int32
	// held: the hub knows of it. parked: its request does not.
	held, parked bool
	denial       denial
}

// denial is why a hold is denied, for the figure of refusals.
type denial uint8

const (
	byLimit denial = iota
	bySite         // which cannot say who may listen
	counted        // for another reason already
)

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

// holder is what is told of a hold to who looks. It is the same while the hold goes on
// by a lease.
type holder struct {
	page *page
	// client is the address, invalid where there is none.
	client netip.Addr
	// since is when the hold began, a [park.Moment]; aside is that it is parked.
	since atomic.Int64
	aside atomic.Bool
}

// open enters a hold.
func (p *page) open(channels int, client netip.Addr) *book {
	both := &struct { // in one piece of memory
		book
		holder
	}{holder: holder{page: p, client: client}}
	both.book.begin(&both.holder, channels, false)
	return &both.book
}

// begin is the beginning of a hold, or of its next poll by a lease.
func (b *book) begin(of *holder, channels int, leased bool) {
	of.page.opened.Inc()
	b.holder, b.began, b.channels = of, park.Now(), int32(channels)
	b.logBegin(leased)
}

// wait says that the hub knows of the hold.
func (b *book) wait() {
	b.held = true
	b.since.Store(int64(b.began))
	b.page.held.Inc()
}

// park says that the hold goes on without its request.
func (b *book) park() {
	b.parked = true
	b.aside.Store(true)
	b.page.parked.Inc()
	b.logPark()
}

// Ended closes the book of a parked hold.
func (b *book) Ended(r hold.Report, status, size int, header func() http.Header) {
	b.page.parked.Dec()
	b.close(r)
	if b.log != nil {
		b.log.write(status, size, b.took(), header(), string(r.Outcome))
	}
}

// Again opens the book of the same hold going on with another request, if there is room
// for it.
func (b *book) Again(head []byte) hold.Ended {
	if b.stake != nil && !b.stake.again() {
		return nil
	}
	next := &book{stake: b.stake}
	next.begin(b.holder, int(b.channels), true)
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
		tellFull(p.hub, r.Full)
		switch b.denial {
		case byLimit:
			metrics().denied.WithLabelValues(p.hub, "limit").Inc()
		case bySite:
			metrics().denied.WithLabelValues(p.hub, "authorize").Inc()
		}
	}
	b.logEnd(r)
}

func (b *book) took() time.Duration { return time.Duration(park.Now() - b.began) }
