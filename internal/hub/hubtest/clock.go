// Package hubtest has what tests of the hub and of its users share.
package hubtest

import (
	"sync"
	"time"
)

// Clock is a [hub.Clock] that stands still until somebody moves it. Make one
// with [NewClock]. It is safe for concurrent use.
//
// [hub.Clock]: https://pkg.go.dev/github.com/caddy-comet/caddy-comet/internal/hub#Clock
type Clock struct {
	mu  sync.Mutex
	now time.Time
	// ran is how far the clock was advanced: timers follow it, because they do
	// not notice that the wall clock was set.
	ran    time.Duration
	timers []*timer
}

type timer struct {
	due time.Duration
	f   func()
}

// NewClock returns a clock that stands at a round time of the year 2026.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)}
}

// Now returns the time at which the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc has f called by the Advance that reaches d from now.
func (c *Clock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{c.ran + max(d, 0), f}
	c.timers = append(c.timers, t)
	return func() bool { return c.remove(t) }
}

func (c *Clock) remove(t *timer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.timers {
		if c.timers[i] == t {
			c.timers = append(c.timers[:i], c.timers[i+1:]...)
			return true
		}
	}
	return false
}

// Advance moves the clock by d and calls what falls due on the way, one after
// the other in the order of time, each at its own time. It returns after the
// last call.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	end := c.ran + d
	c.mu.Unlock()
	for {
		f := c.step(end)
		if f == nil {
			return
		}
		f()
	}
}

// step moves to the first timer that is due until end and returns its function,
// or moves to end.
func (c *Clock) step(end time.Duration) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := -1
	for i, t := range c.timers {
		if t.due <= end && (first < 0 || t.due < c.timers[first].due) {
			first = i
		}
	}
	to, f := end, (func())(nil)
	if first >= 0 {
		to, f = c.timers[first].due, c.timers[first].f
		c.timers = append(c.timers[:first], c.timers[first+1:]...)
	}
	if to > c.ran {
		c.now = c.now.Add(to - c.ran)
		c.ran = to
	}
	return f
}

// Set sets the clock, as an administrator or NTP does: no timer notices.
func (c *Clock) Set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// Timers returns how many calls are to come.
func (c *Clock) Timers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers)
}
