package hub

import (
	"context"
	"errors"
	"time"
)

// Entry is a draft with the place that the log gave it.
type Entry struct {
	Draft
	// Seq is the entry's place, counted from 1 without holes, except for
	// entries that are StampOnly: those carry the place of the entry before.
	Seq uint64
	// Time is when the log took the entry.
	Time time.Time
	// Stamp is the channel's stamp after this entry.
	Stamp int64
}

// Log is where a hub's order lives: it gives every draft its sequence, time
// and stamp, and hands the entries to the hub one after the other. The memory
// log does so at once; a store on disk when they are safe; one that several
// machines share hands over the entries of all of them. Package logtest has the
// tests that every log must pass.
type Log interface {
	// Open begins the log's life and returns its epoch and the sequence of its
	// last entry. Entries that it kept from an earlier life it hands to f
	// before it returns. It is called once, before anything else.
	Open(f Follower) (Epoch, uint64, error)
	// Append takes drafts as one batch. It does not wait for the outcome: done
	// is called once, perhaps before Append returns, with the drafts' places in
	// their order, after the follower has them; or with an error, and then none
	// of them happened. A draft that repeats an earlier one (same channel, same
	// ID) is answered with the earlier one's place and is not applied again.
	// Neither done nor the follower may call the log. What a log remembers for
	// that (IDs, stamps) it bounds itself.
	Append(ctx context.Context, drafts []Draft, done func([]Place, error))
	// Close ends the log's life. Appends fail with [ErrClosed] from then on.
	Close() error
}

// Rememberer is a log that can be told how many channels there may be.
type Rememberer interface {
	// Remember has the stamps of as many channels remembered as were given one last,
	// and of twice as many at most.
	Remember(channels int)
}

// Place is the answer to one draft.
type Place struct {
	Seq uint64
	// Repeated says that the draft repeats an earlier one, whose place this is.
	Repeated bool
}

// Follower is what a log needs of a hub.
type Follower interface {
	// Apply is called with every batch of entries, in order, one call at a time.
	Apply(entries []Entry)
	// Reset says that the log lost its past (a fail-over to a machine that had
	// less): whatever was before is unknown, and epoch and head are new.
	Reset(epoch Epoch, head uint64)
}

// The ways in which a log says that it cannot keep an event, which has not
// happened then. What is in memory is served as before.
var (
	// ErrFull: there is no room on the disk.
	ErrFull = errors.New("the disk of the hub's store is full, so nothing was published; make room there and publish again")
	// ErrUnkept: the disk does not take it for another reason.
	ErrUnkept = errors.New("the hub's store cannot be written, so nothing was published; the server's log says why and what to do; publish again then")
	// ErrBusy: more waits to be kept than may.
	ErrBusy = errors.New("the hub's store takes events slower than they come, so nothing was published; publish again in a moment")
)

// ErrClosed says that the log, and so the hub, has ended.
var ErrClosed = errors.New("the hub is closed")
