package integration

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// publisher says one number after the other on two channels until it is stopped, and
// returns how many.
func (s *live) publisher(t *testing.T, every time.Duration) (said *atomic.Int64, stop func() int) {
	said = new(atomic.Int64)
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			s.say(t, []string{"x", "y"}[n%2], n)
			said.Add(1)
		}
	}()
	stopped := false
	stop = func() int {
		if !stopped {
			stopped = true
			close(quit)
			<-ended
		}
		return int(said.Load())
	}
	t.Cleanup(func() { stop() })
	return said, stop
}

// TestTabsShareOneConnection over whatever becomes of the tab that has it: it is
// closed, reloaded, left and come back to, all while events are published. Each tab
// gets each event once.
func TestTabsShareOneConnection(t *testing.T) {
	s := newLive(t).start(t)
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it
	best := s.best(t)
	_, body := get(t, s.base+"/comet/x?since=")
	cursor := cursorIn.FindString(body)
	options := "{since: '" + cursor + "'}"

	follow := func(t *testing.T) (context.Context, context.CancelFunc) {
		tab, leave := chromedp.NewContext(chromium)
		t.Cleanup(leave)
		s.follow(t, tab, "/live.html", options, "x", "y")
		opened(t, tab, best)
		return tab, leave
	}
	first, closeFirst := follow(t)
	second, _ := follow(t)
	third, _ := follow(t)
	s.only(t, best)

	said, stop := s.publisher(t, 5*time.Millisecond)
	more := func(t *testing.T, tabs ...context.Context) {
		t.Helper()
		upto := int(said.Load()) + 20
		until(t, "more events", func() bool { return int(said.Load()) > upto })
		for _, tab := range tabs {
			until(t, "the tab to go on", func() bool { return script[bool](t, tab, "newest.x >= "+strconv.Itoa(upto)) })
		}
	}
	more(t, first, second, third)

	closeFirst() // it was the first, and so it leads
	more(t, second, third)
	s.only(t, best)

	// The second one leads now, if anything is fair; each is reloaded once.
	for _, tab := range []context.Context{second, third} {
		s.follow(t, tab, "/live.html", options, "x", "y")
		more(t, second, third)
		s.only(t, best)
	}

	// Another page, and back: from the cache, with its state, or anew.
	open(t, second, s.base+"/comet/comet.js")
	more(t, third)
	script[bool](t, second, "history.back(), true")
	until(t, "the page to be back", func() bool { return script[bool](t, second, "typeof follow === 'function'") })
	if !script[bool](t, second, "!!live") {
		script[bool](t, second, "follow("+options+", ['x', 'y'])")
	}
	more(t, second, third)
	s.only(t, best)

	last := stop() - 1
	for _, tab := range []context.Context{second, third} {
		wants(t, tab, 0, last)
		noGap(t, tab)
	}
}

// TestEachTabHasAConnectionWhereTheyCannotShare.
func TestEachTabHasAConnectionWhereTheyCannotShare(t *testing.T) {
	s := newLive(t).start(t)
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it
	one, two := tab(t, chromium), tab(t, chromium)
	for _, tab := range []context.Context{one, two} {
		s.follow(t, tab, "/live.html", "{share: false, transports: ['sse']}", "x")
		opened(t, tab, "sse")
	}
	until(t, "two held requests", func() bool { return s.held(t)["sse"] == 2 })
	s.say(t, "x", 1)
	wants(t, one, 1, 1)
	wants(t, two, 1, 1)
}
