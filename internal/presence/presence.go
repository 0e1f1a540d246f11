// Package presence knows who is there: which users follow a channel, however often they
// do, and through the short times in which a poll has been answered and the next has not
// come. That somebody comes or goes is an event of the channel itself.
package presence

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// Types of the events. Their data is {"user":"42"}.
const (
	Join  = "join"
	Leave = "leave"
)

// Source names the events' source.
const Source = "presence"

// Config says for whom, and how patiently.
type Config struct {
	// Match reports whether a channel has members. nil is none.
	Match func(channel string) bool
	// Grace is how long somebody may be away before he has left.
	Grace time.Duration
}

// Publisher is what there is of a [hub.Hub].
type Publisher interface {
	Publish(context.Context, []hub.Draft) ([]hub.Result, error)
	Attend(hub.Attendance)
}

// Members are those of a hub's channels. Make them with [New]. It is safe for concurrent
// use.
type Members struct {
	hub   Publisher
	clock hub.Clock
	// failed is told of events that could not be published.
	failed func(error)

	mu       sync.Mutex
	config   Config
	channels map[string]map[string]*member
	// news are the events that are not published yet.
	news    []hub.Draft
	telling bool
}

// member is a user in a channel.
type member struct {
	// follows is how many subscriptions he has.
	follows int
	// stop takes back that he is about to have left, nil if he is not.
	stop func() bool
	// away counts how often he was about to.
	away int
}

// New returns the members of a hub, which are none before [Members.Set]. clock is nil for
// the system's; failed is told why an event could not be published.
func New(h Publisher, clock hub.Clock, failed func(error)) *Members {
	if clock == nil {
		clock = hub.SystemClock{}
	}
	return &Members{hub: h, clock: clock, failed: failed, channels: make(map[string]map[string]*member)}
}

// Set says of which channels members are wanted from now on. Who was there before, and is
// still, does not join anew.
func (m *Members) Set(c Config) {
	m.hub.Attend(nil)
	m.mu.Lock()
	m.config = c
	for channel, users := range m.channels {
		if c.Match == nil || !c.Match(channel) {
			for _, u := range users {
				u.stays()
			}
			delete(m.channels, channel)
			continue
		}
		for user, u := range users {
			u.follows = 0
			m.awayLocked(channel, user, u)
		}
	}
	m.mu.Unlock()
	if c.Match != nil {
		m.hub.Attend(m)
	}
}

// Came implements [hub.Attendance].
func (m *Members) Came(channel string, who *hub.Who) {
	if who == nil || who.User == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.config.Match == nil || !m.config.Match(channel) {
		return
	}
	users := m.channels[channel]
	if users == nil {
		users = make(map[string]*member)
		m.channels[channel] = users
	}
	u := users[who.User]
	if u == nil {
		u = new(member)
		users[who.User] = u
		m.tellLocked(channel, Join, who.User)
	}
	u.stays()
	u.follows++
}

// Went implements [hub.Attendance].
func (m *Members) Went(channel string, who *hub.Who) {
	if who == nil || who.User == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.channels[channel][who.User]
	if u == nil {
		return
	}
	if u.follows--; u.follows <= 0 {
		m.awayLocked(channel, who.User, u)
	}
}

func (u *member) stays() {
	if u.stop != nil {
		u.stop()
		u.stop = nil
	}
	u.away++
}

// awayLocked has the user leave, unless he comes back in time.
func (m *Members) awayLocked(channel, user string, u *member) {
	u.stays()
	away := u.away
	u.stop = m.clock.AfterFunc(m.config.Grace, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if u.away != away {
			return
		}
		users := m.channels[channel]
		delete(users, user)
		if len(users) == 0 {
			delete(m.channels, channel)
		}
		m.tellLocked(channel, Leave, user)
	})
}

// Of returns the members of a channel in order, and whether it can have any.
func (m *Members) Of(channel string) (users []string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.config.Match == nil || !m.config.Match(channel) {
		return nil, false
	}
	users = make([]string, 0, len(m.channels[channel]))
	for user := range m.channels[channel] {
		users = append(users, user)
	}
	slices.Sort(users)
	return users, true
}

// tellLocked has an event published soon: the hub is locked now.
func (m *Members) tellLocked(channel, what, user string) {
	data, _ := json.Marshal(map[string]string{"user": user}) // a string always can be
	m.news = append(m.news, hub.Draft{Channel: channel, Type: what, ContentType: "application/json", Data: data, Source: Source})
	if !m.telling {
		m.telling = true
		go m.tell()
	}
}

// most is how many events are published at once.
const most = 1000

// tell publishes what there is to tell, and ends when there is nothing.
func (m *Members) tell() {
	for {
		m.mu.Lock()
		n := min(most, len(m.news))
		news := m.news[:n:n]
		m.news = m.news[n:]
		if n == 0 {
			m.news, m.telling = nil, false
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		if _, err := m.hub.Publish(context.Background(), news); err != nil {
			m.failed(err)
		}
	}
}
