// Package logtest has the tests that every [hub.Log] must pass.
package logtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/hub/hubtest"
)

// Run tests the logs that open returns: each a new one, without entries, that
// gets its time from clock and that nobody has opened yet.
func Run(t *testing.T, open func(t *testing.T, clock hub.Clock) hub.Log) {
	for name, test := range map[string]func(*rig){
		"EntriesAreInOrderWithoutHoles":         inOrder,
		"ABatchIsContiguous":                    contiguous,
		"DoneIsCalledOnceAfterApply":            doneOnce,
		"ARepeatedIDIsAnsweredAndNotApplied":    repeated,
		"ARepeatedIDInOneBatch":                 repeatedInBatch,
		"ARepeatedIDAtTheSameTime":              repeatedAtOnce,
		"AStampAloneTakesNoSequence":            stampOnly,
		"StampsAreThoseOfNextStamp":             stamps,
		"AnEntryIsItsDraft":                     faithful,
		"AClosedLogSaysSo":                      closed,
		"ConcurrentAppendsAreAppliedOneByOne":   concurrent,
		"AnEmptyBatchIsAnsweredAndIsNothing":    empty,
		"ABatchWithNothingNewIsAnsweredAlright": nothingNew,
	} {
		t.Run(name, func(t *testing.T) {
			r := &rig{T: t, clock: hubtest.NewClock()}
			r.log = open(t, r.clock)
			t.Cleanup(func() {
				if err := r.log.Close(); err != nil && !errors.Is(err, hub.ErrClosed) {
					t.Error(err)
				}
			})
			epoch, head, err := r.log.Open(r)
			if err != nil || epoch == 0 || head != 0 {
				t.Fatalf("Open: epoch %v, head %d, %v; want a new log", epoch, head, err)
			}
			test(r)
		})
	}
}

// rig is a log and the follower that notes what it applied.
type rig struct {
	*testing.T
	clock *hubtest.Clock
	log   hub.Log

	inside  atomic.Int32
	mu      sync.Mutex
	entries []hub.Entry
	batches int
}

// Apply implements [hub.Follower].
func (r *rig) Apply(entries []hub.Entry) {
	if r.inside.Add(1) != 1 {
		r.Error("Apply was called while it ran")
	}
	defer r.inside.Add(-1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(entries) == 0 {
		r.Error("Apply of nothing")
	}
	r.batches++
	for _, e := range entries {
		if seq := r.headLocked(); e.StampOnly && e.Seq != seq || !e.StampOnly && e.Seq != seq+1 {
			r.Errorf("entry %d follows %d (a stamp alone: %v)", e.Seq, seq, e.StampOnly)
		}
		r.entries = append(r.entries, e)
	}
}

// Reset implements [hub.Follower].
func (r *rig) Reset(hub.Epoch, uint64) { r.Error("a reset that nothing asked for") }

func (r *rig) headLocked() uint64 {
	if len(r.entries) == 0 {
		return 0
	}
	return r.entries[len(r.entries)-1].Seq
}

// applied returns how many entries there are, and the last.
func (r *rig) applied() (int, hub.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.entries) == 0 {
		return 0, hub.Entry{}
	}
	return len(r.entries), r.entries[len(r.entries)-1]
}

type outcome struct {
	places []hub.Place
	err    error
}

// patience is how long a log may take for one batch.
const patience = 20 * time.Second

// append appends and waits until done was called.
func (r *rig) append(drafts ...hub.Draft) ([]hub.Place, error) {
	done := make(chan outcome, 2)
	r.log.Append(context.Background(), drafts, func(p []hub.Place, err error) {
		if err == nil {
			r.mustHave(p, drafts)
		}
		done <- outcome{p, err}
	})
	select {
	case o := <-done:
		return o.places, o.err
	case <-time.After(patience):
		r.Error("done was not called")
		return nil, errors.New("not done")
	}
}

// mustHave wants the follower to have what done says.
func (r *rig) mustHave(places []hub.Place, drafts []hub.Draft) {
	if len(places) != len(drafts) {
		r.Errorf("%d places for %d drafts", len(places), len(drafts))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range places {
		if p.Seq > r.headLocked() || p.Seq == 0 && !drafts[i].StampOnly {
			r.Errorf("done says %d, and applied is %d", p.Seq, r.headLocked())
		}
	}
}

func (r *rig) must(drafts ...hub.Draft) []hub.Place {
	r.Helper()
	places, err := r.append(drafts...)
	if err != nil || len(places) != len(drafts) {
		r.Fatalf("%d places, %v", len(places), err)
	}
	return places
}

func draft(channel string) hub.Draft { return hub.Draft{Channel: channel} }

func inOrder(r *rig) {
	for i := range 100 {
		if p := r.must(draft(fmt.Sprint("c", i%7))); p[0] != (hub.Place{Seq: uint64(i + 1)}) {
			r.Fatalf("the place of draft %d is %+v", i+1, p[0])
		}
	}
	if n, _ := r.applied(); n != 100 {
		r.Errorf("%d entries", n)
	}
}

func contiguous(r *rig) {
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 10 {
				p := r.must(draft("a"), draft("b"), draft("a"))
				if p[1].Seq != p[0].Seq+1 || p[2].Seq != p[0].Seq+2 {
					r.Errorf("places %v", p)
				}
			}
		})
	}
	wg.Wait()
	if n, _ := r.applied(); n != 600 || r.batches > 200 {
		r.Errorf("%d entries in %d batches, want 600 in 200 or less", n, r.batches)
	}
}

func doneOnce(r *rig) {
	var calls atomic.Int32
	done := func([]hub.Place, error) { calls.Add(1) }
	r.log.Append(context.Background(), []hub.Draft{draft("a"), draft("b")}, done)
	r.must(draft("a")) // and what is before that is done
	if err := r.log.Close(); err != nil {
		r.Error(err)
	}
	if n := calls.Load(); n != 1 {
		r.Errorf("done was called %d times", n)
	}
	r.log.Append(context.Background(), []hub.Draft{draft("a")}, done)
	if _, err := r.append(draft("a")); !errors.Is(err, hub.ErrClosed) {
		r.Error(err)
	}
	if n := calls.Load(); n != 2 {
		r.Errorf("done of a closed log was called %d times", n-1)
	}
}

func faithful(r *rig) {
	want := hub.Draft{
		Channel: "a", Type: "t", ContentType: "text/x", Data: []byte("data"), ID: "id",
		Quiet: true, Kept: true, Source: "file",
	}
	now := r.clock.Now()
	r.must(want)
	_, e := r.applied()
	if !e.Time.Equal(now) || e.Stamp != now.Unix() {
		r.Errorf("time %v, stamp %d", e.Time, e.Stamp)
	}
	if e.Channel != want.Channel || e.Type != want.Type || e.ContentType != want.ContentType || string(e.Data) != "data" ||
		!e.Quiet || !e.Kept || e.StampOnly || e.Source != want.Source {
		r.Errorf("the entry is %+v", e)
	}
}

func closed(r *rig) {
	r.must(draft("a"))
	if err := r.log.Close(); err != nil {
		r.Error(err)
	}
	if _, err := r.append(draft("a")); !errors.Is(err, hub.ErrClosed) {
		r.Errorf("got %v, want ErrClosed", err)
	}
	if n, _ := r.applied(); n != 1 {
		r.Errorf("%d entries", n)
	}
}

func concurrent(r *rig) {
	const writers, each = 16, 50
	var seen [writers*each + 1]atomic.Bool
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			last := uint64(0)
			for range each {
				p := r.must(draft(fmt.Sprint(w)))
				if p[0].Seq <= last || seen[p[0].Seq].Swap(true) {
					r.Errorf("place %d after %d", p[0].Seq, last)
				}
				last = p[0].Seq
			}
		})
	}
	wg.Wait()
	if n, e := r.applied(); n != writers*each || e.Seq != writers*each {
		r.Errorf("%d entries, the last is %d", n, e.Seq)
	}
}

func empty(r *rig) {
	if p, err := r.append(); len(p) != 0 || err != nil {
		r.Errorf("%v, %v", p, err)
	}
	if n, _ := r.applied(); n != 0 {
		r.Errorf("%d entries", n)
	}
}
