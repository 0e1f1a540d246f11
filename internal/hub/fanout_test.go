package hub_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/hub/hubtest"
	"github.com/caddy-comet/caddy-comet/internal/log"
)

func TestOneDeliveryIsSharedAndEncodedOnce(t *testing.T) {
	bubble(t, func(r *rig) {
		const n = 3*hub.FanoutChunk + 1
		var waiting []*reader
		for range n {
			waiting = append(waiting, r.wait(hub.Since{}, "a"))
		}
		r.publish("a:1")
		var shared *hub.Delivery
		var encodes atomic.Int32
		var wg sync.WaitGroup
		for _, s := range waiting {
			d := s.woken("1 @1")
			if shared == nil {
				shared = d
			}
			if d != shared {
				t.Fatal("a delivery of its own")
			}
			wg.Go(func() {
				d.Encoded("json", func(*hub.Delivery) []byte { encodes.Add(1); return []byte("x") })
			})
		}
		wg.Wait()
		if n := encodes.Load(); n != 1 {
			t.Errorf("encoded %d times", n)
		}
		other := shared.Encoded("other", func(*hub.Delivery) []byte { return []byte("y") })
		if string(other) != "y" {
			t.Errorf("another class got %q", other)
		}
		r.publish("a:2", "a:3")
		for i, s := range waiting { // all come back from the same place
			d := s.Next()
			if i == 0 {
				shared = d
			}
			if d != shared || show(d) != "2 3 @3" {
				t.Fatalf("got %s of its own", show(d))
			}
		}
	})
}

func TestADeliveryKeepsFewEncodings(t *testing.T) {
	d, encodes := &hub.Delivery{}, 0
	for range 2 {
		for i := range 100 {
			d.Encoded(fmt.Sprint(i), func(*hub.Delivery) []byte { encodes++; return nil })
		}
	}
	if encodes > 200-5 || encodes < 200-20 {
		t.Errorf("%d encodes", encodes)
	}
}

// What a job in the fan-out passes over waits on, and must not miss what came
// while it stood in the job and not in the channel.
func TestWhoIsPutBackMissesNothing(t *testing.T) {
	quiet := func(r *rig) { r.publish("a?2") }
	stampOnly := func(r *rig) {
		r.drafts(hub.Draft{Channel: "a", StampOnly: true, Changed: r.clock.Now()})
	}
	for name, c := range map[string]struct {
		begin    func(r *rig) // what queues first and passes over the waiter
		channels []string
		then     []string
		want     string
		next     string
	}{
		"quiet, then an event":             {quiet, []string{"a"}, []string{"a:3"}, "2 3 @3", "-"},
		"quiet and nothing else":           {quiet, []string{"a"}, nil, "-", "-"},
		"a stamp, then an event":           {stampOnly, []string{"a"}, []string{"a:2"}, "2 @2", "-"},
		"a stamp, then another channel":    {stampOnly, []string{"a"}, []string{"b:2"}, "-", "-"},
		"quiet, then both channels":        {quiet, []string{"a", "b"}, []string{"a:3", "b:4"}, "2 3 4 @4", "-"},
		"quiet, then the other channel":    {quiet, []string{"a", "b"}, []string{"b:3"}, "2 3 @3", "-"},
		"a stamp, then both channels":      {stampOnly, []string{"b", "a"}, []string{"a:2", "b:3"}, "2 3 @3", "-"},
		"an event, then another":           {func(r *rig) { r.publish("a:2") }, []string{"a", "b"}, []string{"b:3"}, "2 @2", "3 @3"},
		"a batch, then another":            {func(r *rig) { r.batch("a:2", "c:3") }, []string{"a", "b"}, []string{"b:4"}, "2 4 @4", "-"},
		"quiet and an event in one batch":  {func(r *rig) { r.batch("a?2", "a:3", "a?4") }, []string{"a"}, nil, "2 3 4 @4", "-"},
		"quiet long ago, then the channel": {func(r *rig) { r.publish("a?2", "c:3") }, []string{"a"}, []string{"a:4"}, "2 4 @4", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				release := r.jam() // sequence 1
				s := r.wait(hub.Since{}, c.channels...)
				c.begin(r)
				r.publish(c.then...)
				release()
				s.woken(c.want)
				if c.want == "-" {
					r.publish("a:wakes")
					if s.take() == nil {
						t.Error("it does not wait any more")
					}
					return
				}
				s.next(c.next)
			})
		})
	}
}

func TestAStampThatRoseWhileItsWaiterWasPassedOverIsTold(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		release := r.jam()
		s := r.wait(r.after(now), "a")
		r.observe("a", -10)
		r.touch("a")
		release()
		r.told(s, -10) // any answer will do: it comes back with it …
		r.stamp("Next", s.Next(), 0)
	})
}

func TestWhoDisarmsOrClosesInAFanOutIsNotWoken(t *testing.T) {
	bubble(t, func(r *rig) {
		release := r.jam()
		stays, closes, moves := r.wait(hub.Since{}, "a"), r.wait(hub.Since{}, "a"), r.wait(hub.Since{}, "a")
		r.publish("a:2")
		closes.Close()
		closes.Close()
		closes.next("-")
		moves.rest("2 @2")
		moves.next("-") // armed again, while its old self stands in the job
		release()
		stays.woken("2 @2")
		closes.woken("-")
		moves.woken("-")
		r.publish("a:3")
		moves.woken("3 @3")
		closes.woken("-")
	})
}

func TestLeavingTheMiddleOfTheWaitersLeavesTheOthers(t *testing.T) {
	bubble(t, func(r *rig) {
		var all []*reader
		for i := range 300 {
			all = append(all, r.wait(hub.Since{}, []string{"a", "b", "c"}[:1+i%3]...))
		}
		for i, s := range all {
			switch i % 5 {
			case 0:
				s.Close()
			case 1:
				s.rest("- @0")
			}
		}
		r.publish("a:1")
		for i, s := range all {
			want := "1 @1"
			if i%5 < 2 {
				want = "-"
			}
			s.woken(want)
		}
	})
}

func TestResetWakesWithAGap(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("a:1", "a:2")
		waits, idle, stamps := r.wait(hub.Since{}, "a"), r.subscribe(r.at(1), "a"), r.wait(hub.AfterStamps([]int64{0}), "a")
		closed := r.wait(hub.Since{}, "a")
		closed.Close()
		r.hub.Reset(77, 1)
		waits.woken("@1 gap")
		waits.next("-")
		idle.next("@1 gap")
		idle.next("-")
		stamps.woken("-")
		closed.woken("-")
		if c := r.hub.Cursor(); c != (hub.Cursor{Epoch: 77, Seq: 1}) {
			t.Errorf("the hub is at %v", c)
		}
		apply := func(seq uint64) {
			r.hub.Apply([]hub.Entry{{Draft: event(fmt.Sprint("a:", seq)), Seq: seq, Time: r.clock.Now()}})
		}
		apply(2)
		waits.woken("2 @2")
		idle.woken("2 @2")
		apply(3)
		r.subscribe(r.at(1), "a").next("2 3 @3")
		r.subscribe(r.at(0), "a").next("2 3 @3 gap")
		r.subscribe(hub.All(), "a").next("2 3 @3")
		r.clock.Advance(r.limits.HistoryAge + time.Minute)
		if got := r.hub.Stats(); got.Events != 0 || got.HistoryBytes != 0 {
			t.Errorf("history is left: %+v", got)
		}
	})
}

func TestAResetInAFanOutIsAGapToo(t *testing.T) {
	bubble(t, func(r *rig) {
		release := r.jam()
		s := r.wait(hub.Since{}, "a")
		r.publish("a:2")
		r.hub.Reset(77, 0)
		s.woken("@0 gap")
		s.next("-")
		release()
		s.woken("-")
	})
}

func TestOnFanoutIsCalledOncePerPublishAfterAllDone(t *testing.T) {
	bubble(t, func(r *rig) {
		var took []time.Duration
		r.hub = open(t, hub.Config{Log: r.log, Clock: r.clock, Limits: r.limits, OnFanout: func(d time.Duration) { took = append(took, d) }})
		all := []*reader{
			r.wait(hub.Since{}, "a"), r.wait(hub.Since{}, "a"), r.wait(hub.Since{}, "a", "b"), r.wait(hub.Since{}, "b"),
			r.wait(hub.AfterStamps([]int64{0}), "a"),
		}
		leaves := r.wait(hub.Since{}, "a")
		r.batch("a:1", "b:2")
		synctest.Wait()
		leaves.Close()
		(<-leaves.told).Done()
		for i, s := range all {
			if len(took) != 0 {
				t.Fatalf("told after %d of %d", i, len(all))
			}
			r.clock.Advance(time.Millisecond)
			s.take().Done()
		}
		if len(took) != 1 || took[0] != 5*time.Millisecond {
			t.Errorf("told %v", took)
		}
		all[0].next("-")
		all[0].Close()
		all[1].next("-")
		r.publish("b:nobody", "a?quiet")
		synctest.Wait()
		if len(took) != 1 {
			t.Errorf("told of a publish that woke nobody: %v", took)
		}
		all[1].rest("quiet @4")
	})
}

// slowLog takes a while until what it took has happened, as a disk does.
type slowLog struct {
	hub.Log
	hub.Follower
	clock *hubtest.Clock
	takes time.Duration
}

func (l *slowLog) Open(f hub.Follower) (hub.Epoch, uint64, error) {
	l.Follower = f
	return l.Log.Open(l)
}

func (l *slowLog) Apply(entries []hub.Entry) {
	l.clock.Set(l.clock.Now().Add(l.takes))
	l.Follower.Apply(entries)
}

func TestOnFanoutCountsFromWhenTheLogTookTheEvent(t *testing.T) {
	bubble(t, func(r *rig) {
		var took []time.Duration
		slow := &slowLog{Log: log.NewMemory(r.clock), clock: r.clock, takes: time.Second}
		r.hub = open(t, hub.Config{Log: slow, Clock: r.clock, Limits: r.limits, OnFanout: func(d time.Duration) { took = append(took, d) }})
		s := r.wait(hub.Since{}, "a")
		r.publish("a:1")
		s.take().Done()
		synctest.Wait()
		if len(took) != 1 || took[0] != time.Second {
			t.Errorf("told %v", took)
		}
		s.next("-")
		slow.takes = -time.Hour // another machine's clock
		r.publish("a:2")
		s.take().Done()
		synctest.Wait()
		if len(took) != 2 || took[1] != 0 {
			t.Errorf("told %v", took)
		}
	})
}

func TestAPublisherLearnsPlaceAndReceivers(t *testing.T) {
	bubble(t, func(r *rig) {
		r.wait(hub.Since{}, "a")
		r.subscribe(hub.Since{}, "a", "b")
		drafts := []hub.Draft{{Channel: "a", ID: "1"}, {Channel: "b"}, {Channel: "c"}, {Channel: "a", ID: "1"}}
		got := r.drafts(drafts...)
		at := func(seq uint64) hub.Cursor { return hub.Cursor{Epoch: r.hub.Cursor().Epoch, Seq: seq} }
		want := []hub.Result{
			{Channel: "a", Cursor: at(1), Receivers: 2}, {Channel: "b", Cursor: at(2), Receivers: 1},
			{Channel: "c", Cursor: at(3)}, {Channel: "a", Cursor: at(1), Receivers: 2, Repeated: true},
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("draft %d: got %+v, want %+v", i, got[i], want[i])
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := r.hub.Publish(ctx, drafts[1:2]); err != nil {
			t.Errorf("what has happened is told: %v", err)
		}
	})
}
