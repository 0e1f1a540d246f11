package caddymodule

import (
	"slices"
	"sync"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// turns has few of those who wait ask the site again at once: an event that thousands
// wait for must not come to it as thousands of requests. It is no more than a queue; who
// is in it is held still, and answered in any case when his time is over.
type turns struct {
	mu         sync.Mutex
	most, busy int
	queue      []*turn
}

// Bounds of asking again.
const (
	// defaultTurns is how many ask at once.
	defaultTurns = 4
	// turnSpacing is how long one who asked waits before he asks once more, some less
	// and some more: a site that sends every event back to waiting is asked for each.
	turnSpacing = time.Second
	// turnTime is how long the site may take until another has his turn.
	turnTime = 30 * time.Second
)

// turn is one request that may be asked again, from when it was handed over first until
// its answer.
type turn struct {
	of *turns
	// deadline is when its client gets an answer in any case.
	deadline time.Time
	// lasts are the values of Grip-Last, and body is the request's.
	lasts []string
	body  []byte
	// nested: it is asked again by a handler that waits for that. more: that handler is
	// to ask once more.
	nested, more bool

	// wanted is when it asked for the turn that it has or had last, asked when it got it. The rest is guarded by the lock of turns.
	wanted, asked time.Time

	state  turnState
	ready  func()
	timer  *time.Timer
	expiry *time.Timer
	// had is how many turns it had.
	had int
}

type turnState uint8

const (
	turnIdle turnState = iota
	turnSpaced
	turnQueued
	turnHas
)

var _ hold.Turn = (*turn)(nil)

// Wait implements [hold.Turn].
func (t *turn) Wait(ready func()) {
	t.of.mu.Lock()
	t.ready, t.state = ready, turnSpaced
	if left := time.Until(t.asked.Add(dialect.Jitter(turnSpacing, 0.5))); !t.asked.IsZero() && left > 0 {
		t.timer = time.AfterFunc(left, t.enqueue)
		t.of.mu.Unlock()
		return
	}
	t.of.mu.Unlock()
	t.enqueue()
}

func (t *turn) enqueue() {
	t.of.mu.Lock()
	if t.state == turnSpaced {
		t.state, t.wanted = turnQueued, time.Now()
		t.of.queue = append(t.of.queue, t)
	}
	t.of.next()
}

// next gives turns away. It unlocks.
func (q *turns) next() {
	var given []func()
	for q.busy < q.most && len(q.queue) > 0 {
		t := q.queue[0]
		q.queue[0] = nil
		if q.queue = q.queue[1:]; len(q.queue) == 0 {
			q.queue = nil
		}
		q.busy++
		t.state, t.asked = turnHas, time.Now()
		t.had++
		n := t.had
		t.expiry = time.AfterFunc(turnTime, func() { t.leave(n) })
		given = append(given, t.ready)
	}
	q.mu.Unlock()
	for _, ready := range given {
		ready()
	}
}

// Leave implements [hold.Turn].
func (t *turn) Leave() { t.leave(0) }

// leaver returns what gives the turn back that it has now, and no later one: who asks
// the site may be done when the request waits again already.
func (t *turn) leaver() func() {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if t.state != turnHas {
		return func() {}
	}
	n := t.had
	return func() { t.leave(n) }
}

// took is how long ago it asked for its turn.
func (t *turn) took() time.Duration {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	return time.Since(t.wanted)
}

// leave is Leave, but with n for one turn alone.
func (t *turn) leave(n int) {
	q := t.of
	q.mu.Lock()
	if n != 0 && (t.state != turnHas || t.had != n) {
		q.mu.Unlock()
		return
	}
	switch t.state {
	case turnSpaced:
		if t.timer != nil {
			t.timer.Stop()
		}
	case turnQueued:
		k := slices.Index(q.queue, t)
		q.queue = slices.Delete(q.queue, k, k+1)
	case turnHas:
		t.expiry.Stop()
		q.busy--
	}
	t.state, t.ready = turnIdle, nil
	q.next()
}
