package console

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// The most that is asked for at once.
const (
	maxListed = 100
	maxHolds  = 200
	maxEvents = 500
)

// askTime is how long the server may take to answer.
const askTime = 10 * time.Second

// feed is where the figures come from.
type feed struct{ *Remote }

type (
	// tick says that it is time for another look.
	tick struct{}
	// looked is what a look has found.
	looked struct {
		status figures.Status
		hub    string
		list   *figures.Channels
		holds  *figures.Holds
		at     time.Time
		err    error
		// extra: the next look is due anyway.
		extra bool
	}
	// heard is what has happened in the channel that is followed.
	heard struct {
		of   int
		news News
		err  error
	}
)

// look asks for what the screen needs.
func (t *Top) look() tea.Cmd {
	if t.paused {
		return tea.Tick(t.interval, func(time.Time) tea.Msg { return tick{} })
	}
	feed, hub, by, which := t.feed, t.hub, t.by.name(), t.which()
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), askTime)
		defer cancel()
		m := looked{hub: hub}
		if m.status, m.err = feed.Status(ctx); m.err != nil {
			return m
		}
		if hub == "" { // the next look has a hub
			return m
		}
		list, err := feed.Channels(ctx, m.hub, by, maxListed)
		if m.list, m.at, m.err = &list, time.Now(), err; err != nil || which == nil {
			return m
		}
		var holds figures.Holds
		holds.More, m.err = feed.Holds(ctx, *which, func(h figures.Hold) error {
			holds.Holds = append(holds.Holds, h)
			return nil
		})
		m.holds = &holds
		return m
	}
}

// see looks at once, besides the looks that come anyway.
func (t *Top) see() tea.Cmd {
	paused := t.paused
	t.paused = false
	look := t.look()
	t.paused = paused
	return func() tea.Msg {
		m, ok := look().(looked)
		if !ok {
			return nil
		}
		m.extra = true
		return m
	}
}

// which are the holds that are looked at, nil where none are.
func (t *Top) which() *Which {
	if t.screen != holding {
		return nil
	}
	w := &Which{Hub: t.hub, Limit: maxHolds}
	if t.focus == onChannels || t.back == events {
		w.Channel = t.channel
	}
	return w
}

// tail is a channel that is followed.
type tail struct {
	// of counts them, so that what comes late for another is known.
	of     int
	cancel context.CancelFunc
	events []event
	// lost: some were, before the first that is there.
	lost   bool
	cursor string
	err    error
}

func (t *tail) stop() {
	if t.cancel != nil {
		t.cancel()
	}
	*t = tail{of: t.of}
}

// follow begins with what is kept of the channel.
func (t *Top) follow() tea.Cmd {
	t.tail.stop()
	t.tail.of++
	return t.listen("all", 0)
}

// listen waits for what happens next, after a while.
func (t *Top) listen(since string, after time.Duration) tea.Cmd {
	ctx, cancel := context.WithCancel(context.Background())
	t.tail.cancel = cancel
	feed, hub, channel, of := t.feed, t.hub, t.channel, t.tail.of
	return func() tea.Msg {
		defer cancel()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(after):
		}
		news, err := feed.Since(ctx, hub, []string{channel}, since)
		return heard{of, news, err}
	}
}

// hear takes what has happened, and waits for more.
func (t *Top) hear(m heard) tea.Cmd {
	if m.of != t.tail.of || t.screen == overview {
		return nil
	}
	if t.tail.err = m.err; m.err != nil {
		if errors.Is(m.err, context.Canceled) {
			return nil
		}
		return t.listen(or(t.tail.cursor, "all"), t.interval)
	}
	t.tail.cursor = m.news.Cursor
	t.tail.lost = t.tail.lost || m.news.Gap
	for _, raw := range m.news.Events {
		t.tail.add(raw)
		if t.screen == events && (t.from > 0 || t.paused) {
			t.from++ // what is being read stays where it is
		}
	}
	return t.listen(m.news.Cursor, 0)
}

func (t *tail) add(raw json.RawMessage) {
	if t.events = append(t.events, readEvent(raw)); len(t.events) > maxEvents {
		t.events = t.events[len(t.events)-maxEvents:]
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
