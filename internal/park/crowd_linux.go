package park

import (
	"runtime"
	"sync/atomic"
	"time"
)

// crowd knows whether goroutines wait for their turn to run. Where they do, a thread
// that sleeps in the kernel keeps those waiting that are queued where it runs, a
// publisher among them whose request the loop has just heard: for the ten or twenty
// milliseconds until the runtime finds out. And when it wakes it comes last, after
// all who are ready.
type crowd struct{ there atomic.Bool }

// crowdTime is how long a turn takes that others had, where there are many.
const crowdTime = Moment(100 * time.Microsecond)

// yield gives all others a turn.
func (c *crowd) yield() {
	began := Now()
	runtime.Gosched()
	c.there.Store(Now()-began > crowdTime)
}

// yield implements [watch]. In a crowd the loop itself does not wait until all have had
// their turn.
func (e *epoll) yield() {
	if e.dozing = e.crowd.there.Load(); e.dozing {
		go e.crowd.yield()
		return
	}
	e.crowd.yield()
	e.dozing = e.crowd.there.Load()
}

// doze sleeps a little, as a goroutine. It returns how long to sleep then, which is not
// at all: sockets are heard of so often, and who rings wakes the loop at once.
func (e *epoll) doze(until Moment) Moment {
	now := Now()
	switch soon := now + Moment(gatherTime); {
	case until == 0:
		e.nap.wait(soon)
	case until > now:
		e.nap.wait(min(until, soon))
	}
	return now
}
