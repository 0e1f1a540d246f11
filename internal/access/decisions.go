package access

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/singleflight"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// Verdict is the answer to a question whether somebody may listen: a grant, or a
// refusal.
type Verdict struct {
	Grant
	// Refusal is nil where the answer is yes.
	Refusal *Refusal
	// For is how long the answer is good for.
	For time.Duration
}

// Refusal is what a visitor is told who may not listen.
type Refusal struct {
	Status int
	// ContentType is of Body. Authenticate is the WWW-Authenticate header.
	ContentType, Authenticate string
	Body                      []byte
}

// Key is what equal questions have in common.
type Fingerprint [sha256.Size]byte

// FingerprintOf returns that of some fields, in their order.
func FingerprintOf(fields ...string) (p Fingerprint) {
	h := sha256.New()
	for _, f := range fields {
		_ = binary.Write(h, binary.BigEndian, uint64(len(f))) // a hash takes everything
		h.Write([]byte(f))
	}
	h.Sum(p[:0])
	return p
}

const (
	// RefusalKeep is how long a refusal is remembered, so that a client that does not
	// take a no costs little, and one that has just logged in waits not long.
	RefusalKeep = 3 * time.Second
	// Grace is for how long a grant that cannot be renewed is good once more each time,
	// and MaxGrace for how long in all.
	Grace    = time.Minute
	MaxGrace = 24 * time.Hour
	// refusals is how many of them are remembered.
	refusals = 10_000
)

// Decisions remembers answers, and has each question asked once at a time. Make one
// with [NewDecisions]. It is safe for concurrent use.
type Decisions struct {
	now   func() time.Time
	asked singleflight.Group

	mu      sync.Mutex
	granted *simplelru.LRU[Fingerprint, *granted]
	refused *simplelru.LRU[Fingerprint, refused]
}

type granted struct {
	Verdict
	// until is when the question is asked anew, last when it was answered.
	until, last time.Time
}

type refused struct {
	*Refusal
	until time.Time
}

// NewDecisions remembers so many grants at most. now is the clock, nil for the
// system's.
func NewDecisions(most int, now func() time.Time) *Decisions {
	if now == nil {
		now = time.Now
	}
	d := &Decisions{now: now}
	d.granted, _ = simplelru.NewLRU[Fingerprint, *granted](max(1, most), nil) // fails for no size only
	d.refused, _ = simplelru.NewLRU[Fingerprint, refused](refusals, nil)
	return d
}

// Resize changes how many grants are remembered.
func (d *Decisions) Resize(most int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.granted.Resize(max(1, most))
}

// Question is whether somebody may listen.
type Question struct {
	Fingerprint Fingerprint
	// Ask asks whoever decides. An error says that there is no answer for now. Several
	// who ask the same share one call, so it must not depend on one of them; the time
	// is that at which it began.
	Ask func(began time.Time) (Verdict, error)
	// Void reports whether a grant has been taken back since it was given.
	Void func(Grant) bool
}

// Known returns what is remembered of a question, and whether anything is.
func (d *Decisions) Known(q Question) (Verdict, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if g, ok := d.granted.Get(q.Fingerprint); ok {
		switch {
		case q.Void(g.Grant):
			d.granted.Remove(q.Fingerprint)
		case now.Before(g.until):
			return g.Verdict, true
		}
	}
	if r, ok := d.refused.Get(q.Fingerprint); ok && now.Before(r.until) {
		return Verdict{Refusal: r.Refusal}, true
	}
	return Verdict{}, false
}

// maxVoid is how often a question is asked again whose answer was void when it came.
const maxVoid = 3

// Decide returns the answer to a question: what is remembered, or what it asks. Whom
// it had allowed stays so while nobody answers. The errors are those of Ask and of the
// context, and [hub.ErrKicked].
func (d *Decisions) Decide(ctx context.Context, q Question) (Verdict, error) {
	for range maxVoid {
		if v, ok := d.Known(q); ok {
			return v, nil
		}
		answer := d.asked.DoChan(string(q.Fingerprint[:]), func() (any, error) { return d.ask(q) })
		select {
		case a := <-answer:
			v, _ := a.Val.(Verdict)
			if a.Err != nil || v.Refusal != nil || !q.Void(v.Grant) {
				return v, a.Err
			}
		case <-ctx.Done():
			return Verdict{}, context.Cause(ctx)
		}
	}
	return Verdict{}, hub.ErrKicked
}

func (d *Decisions) ask(q Question) (Verdict, error) {
	began := d.now()
	v, err := q.Ask(began)
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	switch {
	case err != nil:
		old, ok := d.granted.Peek(q.Fingerprint)
		if !ok || q.Void(old.Grant) || now.Sub(old.last) > MaxGrace {
			return Verdict{}, err
		}
		v = old.Verdict
		v.For = Grace
		v.Who = rightUntil(v, began, now)
		d.granted.Add(q.Fingerprint, &granted{v, v.Who.Expires, old.last})
	case v.Refusal != nil:
		d.granted.Remove(q.Fingerprint)
		d.refused.Add(q.Fingerprint, refused{v.Refusal, now.Add(RefusalKeep)})
	default:
		d.refused.Remove(q.Fingerprint)
		v.Who = rightUntil(v, began, now)
		d.granted.Add(q.Fingerprint, &granted{v, v.Who.Expires, now})
	}
	return v, nil
}

// rightUntil is who has a grant, until the question is asked anew: a little earlier
// for some than for others, so that those who came together do not come back so.
func rightUntil(v Verdict, began, now time.Time) *hub.Who {
	var who hub.Who
	if v.Who != nil {
		who = *v.Who
	}
	if who.Granted.IsZero() {
		who.Granted = began
	}
	who.Expires = now.Add(v.For - rand.N(v.For/10+1))
	return &who
}
