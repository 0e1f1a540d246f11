package park

import (
	"runtime/debug"
	"sync/atomic"
	"time"
)

// thrift gives memory back after many connections have come at once. What reading
// their requests took is garbage as soon as they are parked, and is several times
// what they need from then on; by itself the runtime keeps it for minutes, for
// requests that do not come.
type thrift struct {
	// came counts connections since memory was given back last.
	came    atomic.Int64
	looking atomic.Bool
}

// A surge is so many connections that a collection, which takes about a
// microsecond for each that is parked, is worth its while; and it is over when for
// as long as calm hardly any came.
const (
	surge = 1000
	calm  = time.Second
)

func (t *thrift) note() {
	if t.came.Add(1) >= surge && !t.looking.Swap(true) {
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
		debug.FreeOSMemory()
		t.came.Store(0)
		t.looking.Store(false)
	})
}
