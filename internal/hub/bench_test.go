package hub_test

import (
	"context"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/log"
)

func openBench(t testing.TB) *hub.Hub {
	l := hub.DefaultLimits()
	l.Holds = 1 << 20
	return open(t, hub.Config{Log: log.NewMemory(nil), Limits: l})
}

// armed returns n subscriptions that wait on channel and count their wakes.
func armed(t testing.TB, h *hub.Hub, n int, channel string, woken *atomic.Int64) []*hub.Sub {
	w := waker(func(d *hub.Delivery) { woken.Add(1); d.Done() })
	subs := make([]*hub.Sub, n)
	for i := range subs {
		s, err := h.Subscribe(hub.SubConfig{Channels: []string{channel}, Waker: w})
		if err != nil {
			t.Fatal(err)
		}
		if s.Next() != nil {
			t.Fatal("nothing was to come")
		}
		subs[i] = s
	}
	return subs
}

func publish(t testing.TB, h *hub.Hub, channel string) {
	if _, err := h.Publish(context.Background(), []hub.Draft{{Channel: channel, Data: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
}

func await(h *hub.Hub) {
	for h.Working() {
		runtime.Gosched()
	}
}

// What a publish allocates, its fan-out included, is the same for one waiter and
// for many: the wake-ups allocate nothing.
func TestAPublishCostsTheSameForOneWaiterAndForMany(t *testing.T) {
	allocs := func(waiters int) float64 {
		const runs = 20
		h := openBench(t)
		var woken atomic.Int64
		for i := range runs + 1 { // AllocsPerRun runs once more, to warm up
			armed(t, h, waiters, strconv.Itoa(i), &woken)
		}
		run := 0
		got := testing.AllocsPerRun(runs, func() {
			publish(t, h, strconv.Itoa(run))
			run++
			await(h)
		})
		if n := woken.Load(); n != int64((runs+1)*waiters) {
			t.Errorf("%d were woken", n)
		}
		return got
	}
	one, many := allocs(1), allocs(5000)
	t.Logf("%v and %v allocations", one, many)
	if many > one+3 {
		t.Errorf("%v allocations for 5000 waiters, %v for one", many, one)
	}
}

// BenchmarkPublish is what the publisher waits: the fan-out is beside it.
func BenchmarkPublish(b *testing.B) {
	for _, waiters := range []int{0, 1, 15_000} {
		b.Run(strconv.Itoa(waiters), func(b *testing.B) {
			h := openBench(b)
			var woken atomic.Int64
			subs := armed(b, h, waiters, "a", &woken)
			b.ReportAllocs()
			for b.Loop() {
				publish(b, h, "a")
				b.StopTimer()
				await(h)
				for _, s := range subs {
					for s.Next() != nil {
					}
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkFanout is from the publish to the last wake-up.
func BenchmarkFanout(b *testing.B) {
	const waiters = 15_000
	h := openBench(b)
	var woken atomic.Int64
	subs := armed(b, h, waiters, "a", &woken)
	for b.Loop() {
		publish(b, h, "a")
		await(h)
		b.StopTimer()
		for _, s := range subs {
			for s.Next() != nil {
			}
		}
		b.StartTimer()
	}
	if n := woken.Load(); n != int64(b.N)*waiters {
		b.Errorf("%d were woken in %d publishes", n, b.N)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/waiters, "ns/waiter")
}

// BenchmarkPoll is a poll that waits and goes, among 15,000 that stay.
func BenchmarkPoll(b *testing.B) {
	h := openBench(b)
	var woken atomic.Int64
	armed(b, h, 15_000, "a", &woken)
	b.ReportAllocs()
	c := hub.SubConfig{Channels: []string{"a"}, Waker: waker(func(*hub.Delivery) {})}
	for b.Loop() {
		s, err := h.Subscribe(c)
		if err != nil {
			b.Fatal(err)
		}
		s.Next()
		s.Close()
	}
}

// BenchmarkMemory is what an armed subscription holds.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		const n = 15_000
		h := openBench(b)
		var woken atomic.Int64
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		subs := armed(b, h, n, "a", &woken)
		after := heap()
		runtime.KeepAlive(subs)
		b.ReportMetric(float64(after-before)/n-8, "bytes/sub") // 8: the slice that holds them here
	}
}
