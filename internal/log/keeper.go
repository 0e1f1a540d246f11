package log

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// keeper brings a log's requests to the disk before they happen. One goroutine
// takes all that came during the last commit and makes it the next: a publisher
// alone waits for one sync of the disk, and a hundred together wait for one or two.
type keeper struct {
	log     *Memory
	store   Store
	archive hub.Archive // nil if the follower is none
	// faults, for tests, may fail what is about to be done to the file.
	faults func(what string) error

	// Taken after the log's.
	mu     sync.Mutex
	work                 // not yet begun
	wake   chan struct{} // there is work, or an end
	over   bool          // end when there is none
	rest   bool          // end at once
	ended  chan struct{} // the goroutine has; nil if there is none
	stored Stored

	// These belong to the goroutine.
	file *file // nil while the store takes nothing
	// failed is why, and failedAt since when.
	failed   error
	failedAt time.Time
	warned   time.Time
	// anew: the file must be written anew.
	anew bool
	// ids is how many IDs the file had when it was closed.
	ids int
	// owed is what was dropped and is not yet off the disk.
	owed hub.Dropped
}

// request is a batch that was appended.
type request struct {
	drafts []hub.Draft
	done   func([]hub.Place, error)
	at     time.Time
}

func (r *request) size() (n int) {
	for i := range r.drafts {
		n += size(&r.drafts[i])
	}
	return n
}

// size is about what an event takes, in memory and in the file.
func size(d *hub.Draft) int { return len(d.Data) + 256 }

// work is what a commit begins with.
type work struct {
	requests []request
	forgets  []func(error)
	forget   bool
	bytes    int
}

const (
	// maxQueue bounds what waits for the disk, in bytes and in batches.
	maxQueue   = 32 << 20
	maxWaiting = 100_000
	// maxCommit is how much one commit takes, but for a batch that is larger.
	maxCommit = 8 << 20
	// tryAgain is after how long a store that failed is tried again, at the next
	// occasion.
	tryAgain = time.Second
	// warnAgain is the least time between two warnings.
	warnAgain = time.Minute
)

// beginFaults are the faults that a keeper begins with, for tests.
var beginFaults func(what string) error

func newKeeper(m *Memory, s Store) *keeper {
	k := &keeper{log: m, store: s, wake: make(chan struct{}, 1), faults: beginFaults}
	k.archive, _ = m.follower.(hub.Archive)
	return k
}

// append queues a request.
func (k *keeper) append(r request) error {
	size := r.size()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.requests) > 0 && k.bytes+size > maxQueue || len(k.requests) >= maxWaiting {
		return hub.ErrBusy
	}
	k.requests = append(k.requests, r)
	k.bytes += size
	k.knock()
	return nil
}

func (k *keeper) forget(done func(error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.work.forget = true
	if done != nil {
		k.forgets = append(k.forgets, done)
	}
	k.knock()
}

func (k *keeper) knock() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// inherit takes what another has not begun.
func (k *keeper) inherit(old *keeper) {
	w := old.take()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.work = w
	k.knock()
}

// take takes all that waits.
func (k *keeper) take() work {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.work
	k.work = work{}
	return w
}

// resume starts the goroutine.
func (k *keeper) resume() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rest, k.ended = false, make(chan struct{})
	k.knock()
	go k.run(k.ended)
}

// pause ends the goroutine after the commit that is under way; finish when nothing
// is left to do.
func (k *keeper) pause()  { k.stop(&k.rest) }
func (k *keeper) finish() { k.stop(&k.over) }

func (k *keeper) stop(how *bool) {
	k.mu.Lock()
	*how = true
	ended := k.ended
	k.knock()
	k.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

func (k *keeper) run(ended chan struct{}) {
	defer close(ended)
	for range k.wake {
		for {
			w, more := k.next()
			if !more {
				return
			}
			if len(w.requests) == 0 && !w.forget {
				break
			}
			k.write(w)
		}
	}
}

// next returns what one commit takes, and whether to go on at all.
func (k *keeper) next() (w work, more bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.rest || k.over && len(k.requests) == 0 && !k.work.forget {
		return work{}, false
	}
	w.forget, w.forgets = k.work.forget, k.forgets
	k.work.forget, k.forgets = false, nil
	n, size := 0, 0
	for n < len(k.requests) && (n == 0 || size < maxCommit) {
		size += k.requests[n].size()
		n++
	}
	w.requests = k.requests[:n:n]
	k.requests = k.requests[n:]
	if k.bytes -= size; len(k.requests) == 0 {
		k.requests = nil
	}
	return w, true
}

// given are a request's places.
type given struct {
	places  []hub.Place
	entries []hub.Entry
	undo    undo
}

// write commits the work, and lets it happen when it is on the disk. An event that
// was delivered before, and then lost with the machine, would leave its sequence to
// another one, which the client then had for seen.
func (k *keeper) write(w work) {
	c := change{now: k.log.clock.Now()}
	all := make([]given, len(w.requests))
	err := k.ready(c.now)
	if err == nil {
		for i, r := range w.requests {
			g := &all[i]
			g.places, g.entries = k.log.give(r.drafts, r.at, &g.undo)
			c.add(k.log, g)
		}
		if k.archive != nil {
			merge(&k.owed, k.archive.Dropped())
		}
		c.epoch, c.head, c.dropped = k.log.epoch, k.log.seq, k.owed
		if len(c.entries) > 0 || c.dropped.Any() {
			if err = k.commit(&c); err != nil {
				for i := len(all) - 1; i >= 0; i-- {
					k.log.takeBack(&all[i].undo)
				}
				err = k.fail(err, c.now)
			}
		}
	}
	if err == nil {
		k.owed = hub.Dropped{}
	}
	for i, r := range w.requests {
		if err != nil {
			r.done(nil, err)
			continue
		}
		if len(all[i].entries) > 0 {
			k.log.follower.Apply(all[i].entries)
		}
		r.done(all[i].places, nil)
	}
	for _, done := range w.forgets {
		done(err)
	}
}

// add adds what a request was given to the commit.
func (c *change) add(m *Memory, g *given) {
	c.entries = append(c.entries, g.entries...)
	for i := range g.entries {
		e := &g.entries[i]
		if e.ID != "" {
			c.ids = append(c.ids, identified{newPublishID(e.Channel, e.ID), e.Seq, e.Time})
		}
		if e.StampOnly || e.Lost {
			if c.stamps == nil {
				c.stamps = make(map[string]hub.StampState)
			}
			c.stamps[e.Channel], _ = m.stamps.get(e.Channel)
		}
	}
}

func (k *keeper) commit(c *change) error {
	err := k.fault("commit")
	if err == nil {
		err = k.file.commit(c)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.stored.Commits++
		k.stored.Events += uint64(len(c.entries))
		k.stored.Bytes = k.file.size
	}
	return err
}

func (k *keeper) fault(what string) error {
	if k.faults == nil {
		return nil
	}
	return k.faults(what)
}

// merge adds what was dropped later.
func merge(to *hub.Dropped, d hub.Dropped) {
	to.Seqs = append(to.Seqs, d.Seqs...)
	to.Floor = d.Floor
	for channel, floor := range d.Floors {
		if to.Floors == nil {
			to.Floors = make(map[string]uint64)
		}
		to.Floors[channel] = floor
		delete(to.Gone, channel)
	}
	for channel := range d.Gone {
		if to.Gone == nil {
			to.Gone = make(map[string]struct{})
		}
		to.Gone[channel] = struct{}{}
		delete(to.Floors, channel)
	}
}

// fail closes the file after a failure. The next occasion opens it again, or
// writes it anew where it cannot be trusted.
func (k *keeper) fail(err error, now time.Time) error {
	k.close()
	k.anew = k.anew || !wrote(err)
	k.failedAt = now
	k.failed = hub.ErrUnkept
	if isFull(err) {
		k.failed = hub.ErrFull
	}
	if k.warned.IsZero() || now.Sub(k.warned) >= warnAgain || now.Before(k.warned) {
		k.warned = now
		k.store.logger().Error(failedText(err), zap.String("store", k.store.Path), zap.Error(err))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stored.Failures++
	k.stored.Err = k.failed
	return k.failed
}

// failedText says what to do.
func failedText(err error) string {
	const rest = "; until then publishers are told to come back, and what is in memory is served"
	if isFull(err) {
		return "the disk of the store is full, so events are refused: make room" + rest
	}
	return "the store cannot be written, so events are refused: see to the disk (is it mounted read-only?)" + rest
}
