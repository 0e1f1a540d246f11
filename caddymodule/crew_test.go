package caddymodule

import (
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/park"
)

// Thousands of slow requests at once hold up nobody: the crew grows with them. It
// is small again when they are over, and none when it is closed.
func TestTheCrewGrowsWithSlowRequestsAndShrinks(t *testing.T) {
	const slow = 2_000
	open, quick := make(chan struct{}), new(park.Trial)
	served, waits := make(chan struct{}, 1), make(chan struct{}, slow)
	c := newCrew(func(trial *park.Trial) {
		if trial == quick {
			served <- struct{}{}
			return
		}
		waits <- struct{}{}
		<-open
	})
	members := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.members
	}
	for range slow {
		if !c.take(new(park.Trial)) {
			t.Fatal("not taken")
		}
	}
	c.take(quick)
	receive(t, served)
	if n := members(); n < slow {
		t.Errorf("%d members serve %d", n, slow)
	}
	close(open)
	eventually(t, "the crew is small again", func() bool { return members() <= coreCrew() })
	for range 100 {
		c.take(quick)
		receive(t, served)
	}
	c.close()
	c.wait()
	if n := members(); n != 0 || c.take(quick) {
		t.Errorf("%d members after the end", n)
	}
}

// A crew that is closed serves what it has taken.
func TestAClosedCrewServesWhatItTook(t *testing.T) {
	open, served := make(chan struct{}), make(chan struct{}, 100)
	c := newCrew(func(*park.Trial) {
		<-open
		served <- struct{}{}
	})
	for range cap(served) {
		c.take(new(park.Trial))
	}
	over := make(chan struct{})
	c.close()
	go func() {
		c.wait()
		close(over)
	}()
	if c.take(new(park.Trial)) {
		t.Error("it took one more")
	}
	close(open)
	receive(t, over)
	if len(served) != cap(served) {
		t.Errorf("%d of %d were served", len(served), cap(served))
	}
}
