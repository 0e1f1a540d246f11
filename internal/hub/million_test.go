package hub_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/hub/hubtest"
	"github.com/caddy-comet/caddy-comet/internal/log"
)

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Each of a million channels is used once, and no time goes by in which anything
// could be swept away. The hub keeps as many as it may, and nothing of the others.
func TestAMillionChannelsTakeNoMoreThanTheLimitsSay(t *testing.T) {
	const (
		million = 1_000_000
		total   = 4 << 20
	)
	publish := func(t *testing.T, h *hub.Hub, names []string) {
		drafts := make([]hub.Draft, len(names))
		for i, name := range names {
			drafts[i] = hub.Draft{Channel: name, Data: []byte("x")}
		}
		if _, err := h.Publish(context.Background(), drafts); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(t *testing.T, h *hub.Hub, names []string, since hub.Since) *hub.Delivery {
		s, err := h.Subscribe(hub.SubConfig{Channels: names, Since: since})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		return s.Next()
	}
	for what, c := range map[string]struct {
		// many is how many channels there are, limit how many there may be at once.
		many, limit, history int
		use                  func(t *testing.T, h *hub.Hub, names []string)
		head                 uint64
	}{
		"published to":                 {million, 5000, 100, publish, million},
		"published to, and no history": {million / 20, 2000, 0, publish, million / 20},
		"asked for": {million, 5000, 100, func(t *testing.T, h *hub.Hub, names []string) {
			if ask(t, h, names, hub.Since{}) != nil {
				t.Fatal("channels that nobody knew have news")
			}
		}, 0},
		"published to and read": {million / 20, 2000, 100, func(t *testing.T, h *hub.Hub, names []string) {
			publish(t, h, names)
			for i := range names {
				if d := ask(t, h, names[i:i+1], hub.All()); d == nil || len(d.Events) != 1 {
					t.Fatal("the event is not there")
				}
			}
		}, million / 20},
	} {
		t.Run(what, func(t *testing.T) {
			clock := hubtest.NewClock()
			limits := hub.DefaultLimits()
			limits.Channels, limits.TotalBytes, limits.HistoryCount = c.limit, total, c.history
			before := heap()
			h := open(t, hub.Config{Log: log.NewMemory(clock), Clock: clock, Limits: limits})
			long, names := strings.Repeat("n", 40), make([]string, 1000)
			for i := 0; i < c.many; i += len(names) {
				for j := range names {
					names[j] = fmt.Sprint(long, i+j)
				}
				c.use(t, h, names)
			}
			if head := h.Cursor().Seq; head != c.head {
				t.Errorf("the head is %d; want %d", head, c.head)
			}
			in := h.Inside()
			if in.Channels > c.limit || in.Graced > 2*c.limit+1024 || in.Sharing > 2*c.limit+1024 {
				t.Errorf("inside: %+v", in)
			}
			if s := h.Stats(); s.HistoryBytes > total {
				t.Errorf("%d bytes of history", s.HistoryBytes)
			}
			allowed := int64(c.limit*hub.ChannelBytes + total + 4<<20)
			if took := heap() - before; took > allowed {
				t.Errorf("it takes %d bytes; %d are allowed", took, allowed)
			} else {
				t.Logf("it takes %d bytes of %d", took, allowed)
			}

			clock.Advance(limits.HistoryAge + hub.SweepEvery)
			clock.Advance(hub.IdleKeep + hub.SweepEvery)
			if in := h.Inside(); in.Channels+in.Idle+in.Spare+in.Order+in.Graced+in.Sharing > 0 {
				t.Errorf("left inside: %+v", in)
			}
			// What is left are stamps, of twice as many channels.
			left := int64(100 << 10)
			if c.head > 0 {
				left += int64(c.limit * hub.ChannelBytes / 2)
			}
			if took := heap() - before; took > left {
				t.Errorf("%d bytes are left; %d are allowed", took, left)
			} else {
				t.Logf("%d bytes are left", took)
			}
			runtime.KeepAlive(h)
		})
	}
}

// A request may name a thousand channels, but not each of very many may.
func TestManyNamesInManyRequestsHaveALimitTogether(t *testing.T) {
	bubble(t, func(r *rig) {
		r.limit(func(l *hub.Limits) { l.Holds, l.ChannelsPerSub = 30, 20 })
		names := make([]string, 20)
		for i := range names {
			names[i] = fmt.Sprint("c", i)
		}
		var readers []*reader
		for range 300 / 20 {
			readers = append(readers, r.wait(hub.Since{}, names...))
		}
		_, err := r.hub.Subscribe(hub.SubConfig{Channels: names[:1]})
		wantError(t, err, hub.ErrTooManyHolds)
		readers[0].Close()
		for range 15 { // as many holds as may be, each of its own channel
			r.wait(hub.Since{}, names[0])
		}
		_, err = r.hub.Subscribe(hub.SubConfig{Channels: names[:6]})
		wantError(t, err, hub.ErrTooManyHolds)
		for _, s := range readers[1:] {
			s.Close()
		}
		r.wait(hub.Since{}, names...)
		r.clock.Advance(time.Second)
	})
}
