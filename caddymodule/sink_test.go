package caddymodule

import (
	"testing"
	"time"
)

// TestLostEventsAreToldOnceAMinute, all of them.
func TestLostEventsAreToldOnceAMinute(t *testing.T) {
	var l losses
	now := time.Now()
	for _, c := range []struct {
		after     time.Duration
		lost, say int
	}{
		{0, 0, 0}, {0, 3, 3}, {0, 4096, 0}, {time.Second, 1, 0}, {lossesEvery - 2*time.Second, 1, 0},
		{time.Second, 2, 4100}, {0, 1, 0}, {lossesEvery, 0, 1}, {time.Hour, 0, 0}, {0, 5, 5},
	} {
		now = now.Add(c.after)
		if say := l.add(now, c.lost); say != c.say {
			t.Errorf("%+v: says %d", c, say)
		}
	}
}
