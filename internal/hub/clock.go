package hub

import "time"

// Clock is where the hub gets its time from, so that tests own it.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own after d, like
	// [time.AfterFunc]. The returned function prevents the call if it is not
	// too late.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// SystemClock is the clock of the machine.
type SystemClock struct{}

// Now returns [time.Now].
func (SystemClock) Now() time.Time { return time.Now() }

// AfterFunc is [time.AfterFunc].
func (SystemClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(d, f).Stop
}
