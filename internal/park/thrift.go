package park

import (
	"runtime/debug"
	"sync/atomic"
	"time"
)

// thrift gives memory back after many requests have come at once. What reading
// them took is garbage as soon as they wait, and is several times what they need
// from then on if they are parked, and a third if each has its goroutine; by itself
// the runtime keeps it for minutes, for requests that do not come.
type thrift struct {
	// came counts requests since memory was given back last.
	came    atomic.Int64
	looking atomic.Bool
	free    func()
}

// process is for the process, whose memory it is.
var process = thrift{free: debug.FreeOSMemory}

// Came is to be called for each request that is about to wait otherwise than
// parked: each leaves as much behind that is no longer needed.
func Came() { process.note() }

// A surge is so many requests that a collection, which takes about a microsecond
// for each that is parked and some ten for each with a goroutine, is worth its
// while; and it is over when for as long as calm hardly any came. Rest is how many
// times as long as it took it is not done again, so that where everybody is
// answered and asks again every few seconds hardly any time goes into it.
const (
	surge = 1000
	calm  = time.Second
	rest  = 50
)

func (t *thrift) note() {
	if t.came.Add(1) >= surge {
		t.begin()
	}
}

func (t *thrift) begin() {
	if !t.looking.Swap(true) {
		t.look(0)
	}
}

// look waits for the end of a surge.
func (t *thrift) look(before int64) {
	time.AfterFunc(calm, func() {
		came := t.came.Load()
		if came-before > surge/10 {
			t.look(came)
			return
		}
		t.came.Store(0)
		began := time.Now()
		t.free()
		time.AfterFunc(rest*time.Since(began), func() {
			if t.looking.Store(false); t.came.Load() >= surge {
				t.begin()
			}
		})
	})
}
