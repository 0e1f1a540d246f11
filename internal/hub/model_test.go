package hub_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/hub/hubtest"
	"github.com/caddy-comet/caddy-comet/internal/log"
)

var seed = flag.Uint64("seed", 0, "seed of the model test; 0: a new one")

// TestWhoFollowsCursorsSeesEveryEventOnceInOrderOrAGap lets publishers, polls
// and streams loose on one hub and compares what each client was given with
// what the log says.
func TestWhoFollowsCursorsSeesEveryEventOnceInOrderOrAGap(t *testing.T) {
	for round := range 8 {
		s := *seed
		if s == 0 {
			s = rand.Uint64()
		}
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Logf("go test -run %s -seed %d", t.Name(), s)
			newModel(t, s).run()
		})
	}
}

const (
	modelChannels = 5
	modelEvents   = 400 // of each publisher
)

type model struct {
	*testing.T
	seed  uint64
	hub   *hub.Hub
	clock *hubtest.Clock
	stop  chan struct{}

	mu    sync.Mutex
	truth []hub.Entry
}

// recordingLog notes what the log hands to the hub.
type recordingLog struct {
	hub.Log
	m *model
}

type recorder struct {
	hub.Follower
	m *model
}

func (l recordingLog) Open(f hub.Follower) (hub.Epoch, uint64, error) {
	return l.Log.Open(recorder{f, l.m})
}

func (r recorder) Apply(entries []hub.Entry) {
	r.m.mu.Lock()
	for _, e := range entries {
		if !e.StampOnly {
			r.m.truth = append(r.m.truth, e)
		}
	}
	r.m.mu.Unlock()
	r.Follower.Apply(entries)
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{T: t, seed: seed, clock: hubtest.NewClock(), stop: make(chan struct{})}
	m.hub = open(t, hub.Config{Log: recordingLog{log.NewMemory(m.clock), m}, Clock: m.clock, Limits: randomLimits(m.rand(0))})
	return m
}

func (m *model) rand(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(m.seed, stream)) }

func randomLimits(r *rand.Rand) hub.Limits {
	l := hub.DefaultLimits()
	l.HistoryCount = r.IntN(30)
	l.HistoryAge = time.Duration(r.IntN(60)) * time.Second
	l.HistoryBytes = 200 << r.IntN(10)
	l.TotalBytes = 1000 << r.IntN(12)
	return l
}

func name(i int) string { return string(rune('a' + i)) }

func (m *model) run() {
	var publishers, clients sync.WaitGroup
	for i := range 4 {
		publishers.Go(func() { m.publish(m.rand(100 + uint64(i))) })
	}
	publishers.Go(func() { m.disturb(m.rand(1)) })
	all := make([]*client, 30)
	for i := range all {
		all[i] = m.client(uint64(1000 + i))
		clients.Go(all[i].run)
	}
	publishers.Wait()
	for m.hub.Working() {
		runtime.Gosched()
	}
	close(m.stop)
	clients.Wait()
	gaps, events := 0, 0
	for i, c := range all {
		g, e := c.check(i)
		gaps, events = gaps+g, events+e
	}
	m.Logf("%d events, %d of them in deliveries, %d gaps", len(m.truth), events, gaps)
	if holds := m.hub.Stats().Holds; holds != 0 {
		m.Errorf("%d holds are left", holds)
	}
}

func (m *model) publish(r *rand.Rand) {
	for n := 0; n < modelEvents; {
		drafts := make([]hub.Draft, 1+r.IntN(1+r.IntN(4)))
		for i := range drafts {
			drafts[i] = hub.Draft{
				Channel: name(r.IntN(modelChannels)), Data: make([]byte, r.IntN(50)),
				Quiet: r.IntN(8) == 0, StampOnly: r.IntN(8) == 0,
			}
		}
		n += len(drafts)
		if _, err := m.hub.Publish(context.Background(), drafts); err != nil {
			m.Error(err)
		}
		for range r.IntN(200) {
			runtime.Gosched()
		}
	}
}

// disturb does what administrators and time do.
func (m *model) disturb(r *rand.Rand) {
	for range 100 {
		switch r.IntN(10) {
		case 0:
			m.hub.SetLimits(randomLimits(r))
		case 1:
			m.hub.Delete(name(r.IntN(modelChannels)))
		case 2, 3:
			m.clock.Advance(time.Duration(r.IntN(20)) * time.Second)
		}
		for range r.IntN(200) {
			runtime.Gosched()
		}
	}
}

// client follows some channels with one cursor, by polls and streams in turn.
type client struct {
	m        *model
	rand     *rand.Rand
	channels []string
	begin    hub.Cursor
	got      []*hub.Delivery
}

func (m *model) client(stream uint64) *client {
	c := &client{m: m, rand: m.rand(stream), begin: m.hub.Cursor()}
	for i := range modelChannels {
		if c.rand.IntN(2) == 0 {
			c.channels = append(c.channels, name(i))
		}
	}
	if len(c.channels) == 0 {
		c.channels = []string{"a"}
	}
	return c
}

func (c *client) run() {
	cursor, more := c.begin, true
	for more {
		cursor, more = c.follow(cursor)
	}
}

// follow is one subscription. It returns the cursor to come back with, and
// whether to come back.
func (c *client) follow(cursor hub.Cursor) (hub.Cursor, bool) {
	told := make(chan *hub.Delivery, 1)
	s, err := c.m.hub.Subscribe(hub.SubConfig{
		Channels: c.channels, Since: hub.After(cursor),
		Waker: waker(func(d *hub.Delivery) { told <- d }),
	})
	if err != nil {
		c.m.Error(err)
		return cursor, false
	}
	defer s.Close()
	for deliveries := 1 + c.rand.IntN(10)*c.rand.IntN(2); deliveries > 0; deliveries-- {
		d := s.Next()
		if d == nil {
			var over bool
			d, cursor, over = c.wait(s, told)
			if over {
				return cursor, false
			}
		}
		if d == nil {
			return cursor, true
		}
		c.got = append(c.got, d)
		cursor = d.Cursor
		d.Done()
	}
	if c.rand.IntN(2) == 0 { // how a stream ends
		d, at := s.Rest()
		if d != nil {
			c.m.Error("Rest of a subscription that does not wait returned something")
		}
		cursor = at
	}
	return cursor, true
}

// wait waits for the waker, or rests after a while.
func (c *client) wait(s *hub.Sub, told chan *hub.Delivery) (d *hub.Delivery, cursor hub.Cursor, over bool) {
	if c.rand.IntN(3) == 0 { // impatient
		for range c.rand.IntN(300) {
			runtime.Gosched()
		}
	} else {
		select {
		case d = <-told:
			return d, d.Cursor, false
		case <-c.m.stop:
			over = true
		}
	}
	d, cursor = s.Rest()
	if d == nil {
		select {
		case d = <-told:
		default:
			return nil, cursor, over
		}
	} else if over && !d.Gap && slices.ContainsFunc(d.Events, func(e *hub.Event) bool { return !c.m.quiet(e.Seq) }) {
		c.m.Errorf("lost wake-up: %s was never told", show(d))
	}
	if over { // it must see the end
		c.got = append(c.got, d)
		return nil, d.Cursor, false
	}
	return d, d.Cursor, false
}

func (m *model) quiet(seq uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.truth[seq-1].Quiet
}

// check compares the deliveries with the truth and counts.
func (c *client) check(i int) (gaps, events int) {
	at := c.begin.Seq
	for _, d := range c.got {
		if d.Gap {
			gaps++
		}
		var want []uint64
		for _, e := range c.m.truth {
			if e.Seq > at && e.Seq <= d.Cursor.Seq && slices.Contains(c.channels, e.Channel) {
				want = append(want, e.Seq)
			}
		}
		var got []uint64
		for _, e := range d.Events {
			got = append(got, e.Seq)
		}
		events += len(got)
		if d.Cursor.Seq < at || !slices.IsSorted(got) || !(d.Gap && isPart(got, want) || slices.Equal(got, want)) {
			c.m.Fatalf("client %d of %v was at %d: got %v @%d, gap %v, want %v", i, c.channels, at, got, d.Cursor.Seq, d.Gap, want)
		}
		at = d.Cursor.Seq
	}
	for _, e := range c.m.truth {
		if e.Seq > at && slices.Contains(c.channels, e.Channel) {
			c.m.Fatalf("client %d of %v ended at %d and never saw %d", i, c.channels, at, e.Seq)
		}
	}
	return gaps, events
}

// isPart reports whether some is all with holes.
func isPart(some, all []uint64) bool {
	for _, n := range all {
		if len(some) > 0 && some[0] == n {
			some = some[1:]
		}
	}
	return len(some) == 0
}
