package source

import (
	"time"

	"golang.org/x/time/rate"
)

const (
	// shift is how long a look works before it rests.
	shift = time.Millisecond
	// longestShift is as much of it as counts: work that takes longer does so because
	// others have the processor.
	longestShift = 10 * time.Millisecond
	// share is the part of a processor that a directory has which is always at work,
	// and ahead how much work it is given before that.
	share = 0.2
	ahead = 250 * time.Millisecond
)

// newEffort bounds the work in a directory, in nanoseconds.
func newEffort() *rate.Limiter {
	return rate.NewLimiter(rate.Limit(share*float64(time.Second)), int(ahead))
}

// rest is called between two files of a look, within long ones, and after much was
// handed over. Who always has something to look at rests as long as he works, and if
// that goes on for longer than a burst of news does, four times as long. So a directory
// in which a hundred thousand files change without end takes no more than a fifth of a
// processor, and nobody waits for longer than a shift until he is given it.
func (d *dir) rest() {
	if d.files.manual || d.first {
		return
	}
	now := time.Now()
	worked := min(now.Sub(d.rested), longestShift)
	if worked < shift || d.inbox.awaited() {
		return
	}
	select {
	case <-d.ctx.Done():
	case <-time.After(max(worked, d.effort.ReserveN(now, int(worked)).DelayFrom(now))):
	}
	d.rested = time.Now()
	d.rests += d.rested.Sub(now)
}
