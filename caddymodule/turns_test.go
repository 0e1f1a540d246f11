package caddymodule

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestFewAskAtOnce, one after the other, and who leaves takes nobody's turn away.
func TestFewAskAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &turns{most: 2}
		var mu sync.Mutex
		var order []int
		all := make([]*turn, 6)
		for k := range all {
			all[k] = &turn{of: q}
			all[k].Wait(func() {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, k)
			})
		}
		want := func(n ...int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(order) != len(n) {
				t.Fatalf("turns of %v, want %v", order, n)
			}
			for k := range n {
				if order[k] != n[k] {
					t.Fatalf("turns of %v, want %v", order, n)
				}
			}
		}
		want(0, 1)
		all[3].Leave() // its client is gone
		want(0, 1)
		all[0].Leave()
		all[0].Leave() // once more is nothing
		want(0, 1, 2)
		all[1].Leave()
		want(0, 1, 2, 4)
		time.Sleep(turnTime) // a site that does not answer
		want(0, 1, 2, 4, 5)
		all[2].Leave()
		all[4].Leave()
		all[5].Leave()
		if q.busy != 0 || len(q.queue) != 0 {
			t.Errorf("left: %+v", q)
		}
	})
}

// TestOneDoesNotAskAllTheTime however much happens.
func TestOneDoesNotAskAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := &turn{of: &turns{most: 1}}
		began := time.Now()
		for range 11 {
			done := make(chan struct{})
			one.Wait(func() { close(done) })
			<-done
			one.Leave()
		}
		if took := time.Since(began); took < 5*time.Second || took > 15*time.Second {
			t.Errorf("11 turns took %v", took)
		}
		one.Wait(func() { t.Error("a turn for one who left") })
		one.Leave()
		time.Sleep(time.Minute)
	})
}
