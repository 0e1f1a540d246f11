package hub_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func TestAnEventWakesWhoWaitsForItOnce(t *testing.T) {
	bubble(t, func(r *rig) {
		a := r.wait(hub.Since{}, "a")
		b := r.wait(hub.Since{}, "b")
		both := r.wait(hub.Since{}, "a", "b")
		r.publish("a:1")
		a.woken("1 @1")
		b.woken("-")
		both.woken("1 @1")
		r.publish("a:2", "b:3")
		a.woken("-") // not armed
		b.woken("3 @3")
		both.woken("-")
		a.next("2 @2")
		a.next("-")
		both.next("2 3 @3")
		both.next("-")
	})
}

func TestWaitersOnTwoChannelsAreWokenOnceByABatch(t *testing.T) {
	bubble(t, func(r *rig) {
		both := r.wait(hub.Since{}, "a", "b")
		r.batch("a:1", "x:2", "b:3", "a:4")
		both.woken("1 3 4 @4") // an inbox that is told twice panics
		both.next("-")
		r.batch("b:5", "x:6")
		both.woken("5 @6")
	})
}

func TestAPollThatRestsGetsWhatRacedWithIt(t *testing.T) {
	t.Run("before the fan-out looked at it", func(t *testing.T) {
		bubble(t, func(r *rig) {
			poll := r.wait(hub.Since{}, "a")
			release := r.jam()
			r.publish("a:2")
			poll.rest("2 @2")
			release()
			poll.woken("-")
		})
	})
	t.Run("after it was taken and before it was told", func(t *testing.T) {
		bubble(t, func(r *rig) {
			gate, polls := make(chan struct{}), []*reader{}
			first, err := r.hub.Subscribe(hub.SubConfig{Channels: []string{"a"}, Waker: waker(func(*hub.Delivery) { <-gate })})
			if err != nil {
				t.Fatal(err)
			}
			first.Next()
			for range 3 {
				polls = append(polls, r.wait(hub.Since{}, "a"))
			}
			r.publish("a:1")
			synctest.Wait() // all are taken, the first is being told
			polls[0].rest("1 @1")
			polls[0].rest("- @1")
			polls[1].next("1 @1")
			polls[1].next("-")
			polls[2].Close()
			close(gate)
			for _, p := range polls {
				p.woken("-")
			}
			r.publish("a:2")
			polls[0].woken("-")
			polls[1].woken("2 @2")
		})
	})
}

func TestWhoRestsIsNotToldAnyMore(t *testing.T) {
	bubble(t, func(r *rig) {
		gate, told := make(chan struct{}), false
		s, err := r.hub.Subscribe(hub.SubConfig{Channels: []string{"a"}, Waker: waker(func(*hub.Delivery) { <-gate; told = true })})
		if err != nil {
			t.Fatal(err)
		}
		s.Next()
		r.publish("a:1")
		synctest.Wait() // it is being told
		rested := make(chan struct{})
		go func() {
			if d, c := s.Rest(); d != nil || c.Seq != 1 || !told {
				t.Errorf("Rest: %s, %v, told: %v", show(d), c, told)
			}
			close(rested)
		}()
		for range 100 {
			runtime.Gosched() // let it come to the lock, which is nothing to wait for in a bubble
		}
		close(gate)
		<-rested
	})
}

func TestTheCursorOfARestLosesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(r *rig, s *reader)
		want string
	}{
		"nothing happened":             {func(r *rig, s *reader) { s.next("-") }, "- @1"},
		"something happened elsewhere": {func(r *rig, s *reader) { s.next("-"); r.publish("x:2") }, "- @2"},
		"it never waited":              {func(r *rig, s *reader) { r.publish("a:2") }, "- @1"},
		"it was told and is busy": {func(r *rig, s *reader) {
			s.next("-")
			r.publish("a:2")
			s.woken("2 @2")
			r.publish("a:3")
		}, "- @2"},
		"it was given a piece": {func(r *rig, s *reader) {
			r.publish("a:2")
			s.next("2 @2")
			r.publish("a:3")
		}, "- @2"},
		"a quiet event is behind it": {func(r *rig, s *reader) { s.next("-"); r.publish("a?2") }, "2 @2"},
		"a reset while it was busy":  {func(r *rig, s *reader) { r.hub.Reset(1, 5) }, "- @0"},
		"a reset while it waited":    {func(r *rig, s *reader) { s.next("-"); r.hub.Reset(1, 5); s.woken("@5 gap") }, "- @5"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.publish("a:1")
				s := r.subscribe(hub.Since{}, "a")
				c.do(r, s)
				s.rest(c.want)
			})
		})
	}
}

func TestEventsBetweenTwoPollsAreThere(t *testing.T) {
	bubble(t, func(r *rig) {
		cursor := r.hub.Cursor()
		for i := range 20 {
			poll := r.wait(hub.After(cursor), "a", "b")
			if i%2 == 0 {
				r.publish(fmt.Sprint("a:", 3*i))
				cursor = poll.woken(fmt.Sprintf("%d @%d", 3*i, cursor.Seq+1)).Cursor
			} else {
				_, cursor = poll.Rest()
			}
			poll.Close()
			r.publish("b:x", "x:", "a:y")
			again := r.subscribe(hub.After(cursor), "a", "b")
			d := again.Next()
			r.want("between", d, fmt.Sprintf("x y @%d", cursor.Seq+3))
			cursor = d.Cursor
			again.Close()
		}
	})
}

func TestABusyStreamGetsAllOrAGap(t *testing.T) {
	for name, c := range map[string]struct {
		bytes int64
		later time.Duration
		gap   bool
	}{
		"within the grace":      {1 << 30, 0, false},
		"past the grace":        {1 << 30, hub.Grace + hub.SweepEvery, true},
		"more than bytes allow": {100_000, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.limit(func(l *hub.Limits) { l.HistoryCount, l.HistoryBytes, l.TotalBytes = 1, c.bytes, 1<<30 })
				const n = 10_000
				stream := r.wait(hub.Since{}, "a")
				r.publish("a:1")
				stream.woken("1 @1")
				for i := range n {
					r.publish(fmt.Sprint("a:", i+2))
				}
				r.clock.Advance(c.later)
				next, gap := uint64(2), false
				for d := stream.Next(); d != nil; d = stream.Next() {
					gap = gap || d.Gap
					for _, e := range d.Events {
						if e.Seq != next && !d.Gap {
							t.Fatalf("event %d follows %d without a gap", e.Seq, next-1)
						}
						next = e.Seq + 1
					}
				}
				if next != n+2 || gap != c.gap {
					t.Errorf("ends before %d, gap: %v", next, gap)
				}
			})
		})
	}
}

func TestAHistoryOfOneLetsAWokenStreamReadABurst(t *testing.T) {
	bubble(t, func(r *rig) {
		r.limit(func(l *hub.Limits) { l.HistoryCount = 1 })
		stream := r.wait(hub.Since{}, "a")
		for i := range 51 {
			r.publish(fmt.Sprint("a:", i+1))
		}
		stream.woken("1 @1")
		d := stream.Next()
		if d == nil || d.Gap || len(d.Events) != 50 {
			t.Errorf("got %s", show(d))
		}
		r.subscribe(hub.All(), "a").next("51 @51")
	})
}
