// Package log has the logs of a hub: where its order and its memory of
// publishers live. Package hub declares what a log is ([hub.Log]); package
// logtest has the tests that each must pass.
package log

import (
	"context"
	"sync"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// Memory is a log that lives as long as the process. Its epoch is new each
// time, so that clients which come back after a restart are told of the gap;
// unless a [Store] keeps all of it, see [Memory.Keep].
type Memory struct {
	clock hub.Clock

	// keeping is held while the store changes.
	keeping sync.Mutex

	mu       sync.Mutex
	closed   bool
	follower hub.Follower
	epoch    hub.Epoch
	// keeper has the order while there is one: it alone gives places then.
	keeper *keeper
	order
}

// NewMemory returns a log that gets its time from clock; nil means the
// machine's.
func NewMemory(clock hub.Clock) *Memory {
	if clock == nil {
		clock = hub.SystemClock{}
	}
	return &Memory{clock: clock, order: newOrder()}
}

// Open implements [hub.Log].
func (m *Memory) Open(f hub.Follower) (hub.Epoch, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.follower, m.epoch = f, newEpoch()
	return m.epoch, 0, nil
}

// Remember implements [hub.Rememberer].
func (m *Memory) Remember(channels int) { m.stamps.limit.Store(int64(max(channels, leastStamps))) }

// Append implements [hub.Log]. Without a store it is done when it returns.
func (m *Memory) Append(_ context.Context, drafts []hub.Draft, done func([]hub.Place, error)) {
	places, queued, err := m.append(drafts, done)
	if !queued {
		done(places, err)
	}
}

func (m *Memory) append(drafts []hub.Draft, done func([]hub.Place, error)) (_ []hub.Place, queued bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, false, hub.ErrClosed
	}
	if m.keeper != nil {
		err := m.keeper.append(request{drafts: drafts, done: done, at: m.clock.Now()})
		return nil, err == nil, err
	}
	return m.applyLocked(request{drafts: drafts, at: m.clock.Now()}), false, nil
}

// applyLocked has a request happen in memory alone.
func (m *Memory) applyLocked(r request) []hub.Place {
	places, entries := m.give(r.drafts, r.at, nil)
	if len(entries) > 0 {
		m.follower.Apply(entries)
	}
	return places
}

// Close implements [hub.Log]. What was taken before is still kept.
func (m *Memory) Close() error {
	m.keeping.Lock()
	defer m.keeping.Unlock()
	m.mu.Lock()
	m.closed = true
	k := m.keeper
	m.mu.Unlock()
	if k != nil {
		k.finish()
		k.close()
	}
	return nil
}
