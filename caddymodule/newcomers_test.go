package caddymodule

import (
	"os"
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

// TestWhoIsHeardGoesBeforeNewcomers: of whom the kernel has something to tell.
func TestWhoIsHeardGoesBeforeNewcomers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("newcomers wait for the network on Linux alone")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	var heard atomic.Int64
	go func() {
		for b := make([]byte, 1); ; {
			if _, err := r.Read(b); err != nil {
				return
			}
			heard.Add(1)
		}
	}()
	var y yielding
	y.yield()
	missed := 0
	for said := int64(1); said <= 200; said++ {
		if _, err := w.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // those of whom is heard at once have no order
			y.ahead.Store(0)
			y.yield()
		}
		if heard.Load() < said {
			missed++
		}
	}
	if missed > 20 { // Go's exceptions, as above
		t.Errorf("%d of 200 waited for two newcomers", missed)
	}
}
