package log

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

const (
	// rememberIDs is how long a repeated publish is recognised, and
	// maxIDs how many IDs are remembered at most (twice, see generations).
	rememberIDs = 10 * time.Minute
	maxIDs      = 50_000
	// leastStamps is of how many channels the stamp is remembered (up to twice),
	// unless there may be more channels.
	leastStamps = 1000
)

// order gives drafts their places, and remembers what it takes to do so. Not safe
// for concurrent use.
type order struct {
	seq    uint64
	stamps generations[string, hub.StampState]
	ids    generations[publishID, rememberedID]
}

func newOrder() order {
	return order{
		stamps: newGenerations[string, hub.StampState](leastStamps),
		ids:    newGenerations[publishID, rememberedID](maxIDs),
	}
}

// newEpoch returns one that no other life has.
func newEpoch() hub.Epoch {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	// 40 bits: eight letters in a cursor, and no two lives alike.
	return hub.Epoch(binary.LittleEndian.Uint64(b[:])>>24 | 1)
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

// give gives a batch its places. back, if not nil, takes that back: call it before
// the next give, and in the reverse order.
func (o *order) give(drafts []hub.Draft, now time.Time, back *undo) ([]hub.Place, []hub.Entry) {
	places := make([]hub.Place, len(drafts))
	entries := make([]hub.Entry, 0, len(drafts))
	if back != nil {
		back.seq = o.seq
	}
	for i := range drafts {
		d := &drafts[i]
		var key publishID
		if d.ID != "" {
			key = newPublishID(d.Channel, d.ID)
			if r, ok := o.ids.get(key); ok && now.Sub(r.at) < rememberIDs {
				places[i] = hub.Place{Seq: r.seq, Repeated: true}
				continue
			}
		}
		if !d.StampOnly {
			o.seq++
		}
		if d.ID != "" {
			if back != nil {
				back.ids = append(back.ids, key)
			}
			o.ids.set(key, rememberedID{o.seq, now})
		}
		last, _ := o.stamps.get(d.Channel)
		stamp := hub.NextStamp(last, d.OwnStamp(), d.Changed, now)
		if back != nil {
			back.stamps = append(back.stamps, formerStamp{d.Channel, last})
		}
		o.stamps.set(d.Channel, stamp)
		places[i] = hub.Place{Seq: o.seq}
		entries = append(entries, hub.Entry{Draft: *d, Seq: o.seq, Time: now, Stamp: stamp.Last})
	}
	return places, entries
}

// undo is what it takes to take a batch's places back.
type undo struct {
	seq    uint64
	ids    []publishID
	stamps []formerStamp
}

type formerStamp struct {
	channel string
	state   hub.StampState
}

// takeBack undoes a give. An older ID that was too old to count is not put back.
func (o *order) takeBack(u *undo) {
	o.seq = u.seq
	for _, id := range u.ids {
		o.ids.remove(id)
	}
	for i := len(u.stamps) - 1; i >= 0; i-- {
		if s := &u.stamps[i]; s.state == (hub.StampState{}) {
			o.stamps.remove(s.channel)
		} else {
			o.stamps.set(s.channel, s.state)
		}
	}
}
