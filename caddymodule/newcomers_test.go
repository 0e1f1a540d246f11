package caddymodule

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestWhoIsReadyGoesBeforeNewcomers, nearly always; and where turns take long, more come
// in each.
func TestWhoIsReadyGoesBeforeNewcomers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var y yielding
	var served atomic.Int64
	for came := range int64(200) {
		if behind := came - served.Load(); behind > 5 { // Go has an exception for one in 61
			t.Fatalf("%d wait of %d who have come", behind, came)
		}
		go served.Add(1)
		y.ahead.Store(0)
		y.yield()
	}
	const busy, each = 20, time.Millisecond
	for range busy {
		go func() {
			for end := time.Now().Add(each); time.Now().Before(end); {
			}
		}()
	}
	y.ahead.Store(0)
	for y.ahead.Load() <= 0 { // as above
		y.yield()
	}
	if ahead := y.ahead.Load(); ahead < int64(each*leastRate/time.Second) {
		t.Errorf("%d may come before the next turn", ahead)
	}
}
