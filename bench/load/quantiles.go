//go:build linux

package load

import (
	"slices"
	"time"
)

// quantiles sorts the times and returns the median, the 99th percentile and the
// last one; zeros where there are none.
func quantiles(times []time.Duration) (median, p99, last time.Duration) {
	if len(times) == 0 {
		return 0, 0, 0
	}
	slices.Sort(times)
	at := func(percent int) time.Duration { return times[(len(times)-1)*percent/100] }
	return at(50), at(99), at(100)
}
