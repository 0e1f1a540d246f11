package caddymodule

import (
	"runtime"
	"sync/atomic"
	"time"
)

// newcomers has connections come in one at a time, so that those who wait already are
// not kept waiting by a crowd at the door. Go runs what is ready to run in turns, and a
// server accepts all who are there before it serves the first of them: an event would
// wait behind hundreds of requests. So each that comes lets others have their turn
// first. Where turns take long whatever is done, as many come in as to grow no queue of
// their own.
var newcomers yielding

type yielding struct {
	// ahead is how many may come before the next yields.
	ahead atomic.Int64
	porch porch
}

// leastRate is how many come in a second, for each processor, however busy it is.
const leastRate = 2000

// yield is called by who accepts connections, after each.
func (y *yielding) yield() {
	if y.ahead.Add(-1) >= 0 {
		return
	}
	began := time.Now()
	y.porch.wait()
	took := min(time.Since(began), time.Second) // the process may have been stopped
	y.ahead.Store(int64(took * time.Duration(leastRate*runtime.GOMAXPROCS(0)) / time.Second))
}
