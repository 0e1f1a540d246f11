package park

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsGivenBackAfterASurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var given atomic.Int32
		th := thrift{free: func() { given.Add(1); time.Sleep(time.Second) }}
		come := func(n int) {
			for range n {
				th.note()
			}
		}
		after := func(d time.Duration, want int32) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if n := given.Load(); n != want {
				t.Fatalf("given back %d times, not %d", n, want)
			}
		}
		come(surge - 1)
		after(time.Hour, 0)
		come(1)
		for range 10 { // they still come
			after(calm/2, 0)
			come(surge / 5)
		}
		after(3*calm, 1)
		// It took a second.
		for range rest - 4 {
			come(surge)
			after(time.Second, 1)
		}
		after(10*time.Second, 2)
		come(surge - 1)
		after(time.Hour, 2)
		come(1)
		after(3*calm, 3)
		after(time.Hour, 3)
	})
}
