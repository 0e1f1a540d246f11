package park

import (
	"runtime"
	"sync/atomic"
	"testing"
)

// crowded is a watch that always dozes.
type crowded struct{ *epoll }

func newCrowdedWatch(l *loop) (watch, error) {
	w, err := newWatch(l)
	if err != nil {
		return nil, err
	}
	return crowded{w.(*epoll)}, nil
}

func (c crowded) yield() { c.dozing = true }

// TestLoopLetsOthersGoFirst, those whom it has just woken among them, before its thread
// sleeps; and where they take long it dozes, for as long as they do.
func TestLoopLetsOthersGoFirst(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	e := &epoll{}
	var ran atomic.Bool
	go ran.Store(true)
	for i := 0; !ran.Load() && i < 5; i++ { // Go has an exception for one turn in 61
		e.yield()
	}
	if !ran.Load() {
		t.Error("who is ready has not run")
	}
	busy := make(chan struct{})
	go func() {
		for began := Now(); Now()-began < 2*crowdTime; {
		}
		close(busy)
	}()
	for i := 0; !e.dozing && i < 5; i++ {
		e.yield()
	}
	<-busy
	if !e.dozing {
		t.Fatal("a thread sleeps while others wait for their turn")
	}
	for e.dozing { // or this test does not end
		e.yield()
		runtime.Gosched()
	}
}
