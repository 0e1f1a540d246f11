package hubtest

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestAdvanceCallsInTheOrderOfTime(t *testing.T) {
	c := NewClock()
	start := c.Now()
	var got []string
	note := func(name string) func() {
		return func() { got = append(got, fmt.Sprint(name, c.Now().Sub(start))) }
	}
	c.AfterFunc(3*time.Second, note("c"))
	c.AfterFunc(time.Second, func() {
		note("a")()
		c.AfterFunc(time.Second, note("b"))
	})
	stop := c.AfterFunc(2*time.Second, note("stopped"))
	c.AfterFunc(time.Minute, note("later"))
	if !stop() || stop() {
		t.Error("stop must prevent the call once")
	}
	c.Advance(10 * time.Second)
	if want := []string{"a1s", "b2s", "c3s"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if c.Now().Sub(start) != 10*time.Second || c.Timers() != 1 {
		t.Errorf("stands at %v with %d timers", c.Now().Sub(start), c.Timers())
	}
}

func TestTimersDoNotNoticeThatTheClockWasSet(t *testing.T) {
	c := NewClock()
	called := false
	c.AfterFunc(time.Second, func() { called = true })
	c.Set(c.Now().Add(-time.Hour))
	c.Advance(time.Second)
	if !called {
		t.Error("the timer was not called")
	}
}
