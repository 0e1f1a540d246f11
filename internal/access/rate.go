package access

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Publisher is who was let in: a user, or whoever has a key. The zero value is
// whoever comes where nobody is asked.
type Publisher struct {
	// User is the number of the user and one, so that there is a zero for none.
	User int64
	Key  Key
}

// Rate is how much may come: so many events in that time, and so many at one go
// after a rest.
type Rate struct {
	Events int
	Per    time.Duration
	Burst  int
}

// Quota gives each publisher the same rate. It has one entry for each of them, so
// it is bounded by those who are configured.
type Quota struct {
	rate Rate

	mu       sync.Mutex
	limiters map[Publisher]*rate.Limiter
}

// NewQuota makes one in which nobody has used anything.
func NewQuota(r Rate) *Quota {
	return &Quota{rate: r, limiters: make(map[Publisher]*rate.Limiter)}
}

// ErrNever is for what is more than one go may have.
type ErrNever struct{ Events, Burst int }

func (e ErrNever) Error() string {
	return fmt.Sprintf("%d events at one go are more than the rate has room for, which is %d; publish fewer at once, or raise its burst", e.Events, e.Burst)
}

// Take takes n events out of what a publisher may publish now. Where that is too
// many, it takes nothing and says for how long to wait.
func (q *Quota) Take(who Publisher, n int) (wait time.Duration, err error) {
	wait, _, err = q.TakeWithin(who, n, 0)
	return wait, err
}

// TakeWithin takes n events also where they may come so soon only: then the caller waits
// for that long, or gives them back. Those who wait have turns one behind the other. It
// has taken nothing where giveBack is nil.
func (q *Quota) TakeWithin(who Publisher, n int, most time.Duration) (wait time.Duration, giveBack func(), err error) {
	if n > q.rate.Burst {
		return 0, nil, ErrNever{n, q.rate.Burst}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	limiter := q.limiters[who]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Limit(float64(q.rate.Events)/q.rate.Per.Seconds()), q.rate.Burst)
		q.limiters[who] = limiter
	}
	now := time.Now()
	reservation := limiter.ReserveN(now, n)
	if wait = reservation.DelayFrom(now); wait > most {
		reservation.CancelAt(now)
		return wait, nil, nil
	}
	return wait, reservation.Cancel, nil
}
