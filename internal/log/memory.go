// Package log has the logs of a hub: where its order and its memory of
// publishers live. Package hub declares what a log is ([hub.Log]); package
// logtest has the tests that each must pass.
package log

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

const (
	// rememberIDs is how long a repeated publish is recognised, and
	// maxIDs how many IDs are remembered at most (twice, see generations).
	rememberIDs = 10 * time.Minute
	maxIDs      = 50_000
	// maxStamps is of how many channels the stamp is remembered at most (twice).
	maxStamps = 200_000
)

// Memory is a log that lives as long as the process. Its epoch is new each
// time, so that clients which come back after a restart are told of the gap.
type Memory struct {
	clock hub.Clock

	mu       sync.Mutex
	closed   bool
	follower hub.Follower
	seq      uint64
	stamps   generations[string, hub.StampState]
	ids      generations[publishID, rememberedID]
}

// publishID stands for a channel and a publisher's ID. It is a hash, because
// the publisher chooses how long the ID is and we keep many.
type publishID [sha256.Size / 2]byte

func newPublishID(channel, id string) publishID {
	sum := sha256.Sum256([]byte(channel + "\x00" + id)) // no channel's name has a zero byte
	return publishID(sum[:sha256.Size/2])
}

type rememberedID struct {
	seq uint64
	at  time.Time
}

// NewMemory returns a log that gets its time from clock; nil means the
// machine's.
func NewMemory(clock hub.Clock) *Memory {
	if clock == nil {
		clock = hub.SystemClock{}
	}
	return &Memory{
		clock:  clock,
		stamps: generations[string, hub.StampState]{limit: maxStamps},
		ids:    generations[publishID, rememberedID]{limit: maxIDs},
	}
}

// Open implements [hub.Log].
func (m *Memory) Open(f hub.Follower) (hub.Epoch, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.follower = f
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	// 40 bits: eight letters in a cursor, and no two lives alike.
	return hub.Epoch(binary.LittleEndian.Uint64(b[:])>>24 | 1), 0, nil
}

// Append implements [hub.Log]. It is done when it returns.
func (m *Memory) Append(_ context.Context, drafts []hub.Draft, done func([]hub.Place, error)) {
	places, err := m.append(drafts)
	done(places, err)
}

func (m *Memory) append(drafts []hub.Draft) ([]hub.Place, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, hub.ErrClosed
	}
	now := m.clock.Now()
	places := make([]hub.Place, len(drafts))
	entries := make([]hub.Entry, 0, len(drafts))
	for i := range drafts {
		d := &drafts[i]
		var key publishID
		if d.ID != "" {
			key = newPublishID(d.Channel, d.ID)
			if r, ok := m.ids.get(key); ok && now.Sub(r.at) < rememberIDs {
				places[i] = hub.Place{Seq: r.seq, Repeated: true}
				continue
			}
		}
		if !d.StampOnly {
			m.seq++
		}
		if d.ID != "" {
			m.ids.set(key, rememberedID{m.seq, now})
		}
		last, _ := m.stamps.get(d.Channel)
		stamp := hub.NextStamp(last, d.OwnStamp(), d.Changed, now)
		m.stamps.set(d.Channel, stamp)
		places[i] = hub.Place{Seq: m.seq}
		entries = append(entries, hub.Entry{Draft: *d, Seq: m.seq, Time: now, Stamp: stamp.Last})
	}
	if len(entries) > 0 {
		m.follower.Apply(entries)
	}
	return places, nil
}

// Close implements [hub.Log].
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
