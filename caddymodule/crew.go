package caddymodule

import (
	"runtime"
	"sync"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/park"
)

// crew serves requests of connections that stay parked, on a few goroutines that it
// keeps: Caddy's routes need a stack that has grown, and thousands that come at once
// need no goroutine each, for most are parked again in some microseconds. A request
// that takes longer, because it is proxied, say, holds up nobody for long: where
// there is no progress, the crew grows.
type crew struct {
	serve func(*park.Trial)

	mu   sync.Mutex
	work []*park.Trial
	// idle members wait for a signal. members are all there are.
	idle, members int
	signal        *sync.Cond
	// served counts, to see whether there is progress. watched: somebody looks.
	served  uint64
	watched bool
	closed  bool
	running sync.WaitGroup
}

// patience is how long requests wait without any progress.
const patience = 2 * time.Millisecond

// coreCrew is how many members there are where requests make progress.
func coreCrew() int { return 2 * runtime.GOMAXPROCS(0) }

func newCrew(serve func(*park.Trial)) *crew {
	c := &crew{serve: serve}
	c.signal = sync.NewCond(&c.mu)
	return c
}

// take has a request served, and reports whether it will be.
func (c *crew) take(t *park.Trial) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.work = append(c.work, t)
	switch {
	case len(c.work) <= c.idle:
		c.signal.Signal()
	case c.members < coreCrew():
		c.growLocked()
	case !c.watched:
		c.watched = true
		c.watchLocked()
	}
	return true
}

func (c *crew) growLocked() {
	c.members++
	c.running.Go(c.member)
}

// watchLocked has the crew grow where nothing goes on.
func (c *crew) watchLocked() {
	before := c.served
	time.AfterFunc(patience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.work) == 0 {
			c.watched = false
			return
		}
		// Where members need longer than that for one request they wait for others.
		// There may be as many again then, so that thousands are soon under way.
		if c.served-before < uint64(c.members) {
			for range min(len(c.work), c.members) {
				c.growLocked()
			}
		}
		c.watchLocked()
	})
}

func (c *crew) member() {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.members-- }()
	for {
		for len(c.work) == 0 {
			if c.closed || c.members > coreCrew() {
				return
			}
			c.idle++
			c.signal.Wait()
			c.idle--
		}
		t := c.work[0]
		c.work[0] = nil
		if c.work = c.work[1:]; len(c.work) == 0 {
			c.work = nil
		}
		c.mu.Unlock()
		c.serve(t)
		c.mu.Lock()
		c.served++
	}
}

// close has the crew take no more.
func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.signal.Broadcast()
}

// wait waits until all that the crew took before it closed is served.
func (c *crew) wait() { c.running.Wait() }
