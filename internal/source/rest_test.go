package source

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestWhoWorksWithoutAPauseRests as long as he worked, within bounds.
func TestWhoWorksWithoutAPauseRests(t *testing.T) {
	for _, c := range []struct {
		worked, rests time.Duration
		first         bool
	}{
		{worked: shift - 1},
		{worked: shift, rests: shift},
		{worked: 3 * shift, rests: 3 * shift},
		{worked: time.Second, rests: longestRest},
		{worked: time.Second, first: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := &dir{files: &Files{}, ctx: context.Background(), rested: time.Now(), first: c.first}
			time.Sleep(c.worked)
			began := time.Now()
			d.rest()
			if got := time.Since(began); got != c.rests {
				t.Errorf("after %s it rests %s, not %s", c.worked, got, c.rests)
			}
			if d.rest(); time.Since(began) != c.rests {
				t.Error("it rests twice")
			}
		})
	}
}

// TestARestEndsWithItsDirectory, which somebody waits for.
func TestARestEndsWithItsDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dir{files: &Files{}, rested: time.Now()}
		d.ctx, d.cancel = context.WithCancel(context.Background())
		time.Sleep(time.Second)
		d.cancel()
		began := time.Now()
		if d.rest(); time.Since(began) != 0 {
			t.Errorf("it rests %s", time.Since(began))
		}
	})
}
