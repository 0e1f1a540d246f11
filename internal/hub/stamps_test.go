package hub_test

import (
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// stampRig is a rig whose tests speak of stamps as seconds since the clock
// began.
type stampRig struct {
	*rig
	zero int64
}

func stampBubble(t *testing.T, f func(r stampRig)) {
	t.Helper()
	bubble(t, func(r *rig) { f(stampRig{r, r.clock.Now().Unix()}) })
}

func (r stampRig) touch(channels ...string) {
	r.Helper()
	for _, c := range channels {
		r.drafts(hub.Draft{Channel: c, Source: "file"})
	}
}

// observe is what a source tells of a file that was there before it looked.
func (r stampRig) observe(channel string, changed int64) {
	r.Helper()
	r.drafts(hub.Draft{
		Channel: channel, Changed: time.Unix(r.zero+changed, 0),
		Quiet: true, StampOnly: true, Kept: true, Source: "file",
	})
}

const now = -1 << 40 // a client that names no stamp

func (r stampRig) after(seconds ...int64) hub.Since {
	stamps := make([]int64, len(seconds))
	for i, s := range seconds {
		stamps[i] = max(0, r.zero+s)
	}
	return hub.AfterStamps(stamps)
}

// stamp wants one event with the stamp, or nothing for -1.
func (r stampRig) stamp(what string, d *hub.Delivery, want int64) {
	r.Helper()
	got := int64(-1)
	if d != nil {
		got = d.Events[0].Stamp - r.zero
	}
	if got != want {
		r.Errorf("%s: got stamp %d, want %d", what, got, want)
	}
}

func (r stampRig) told(f *reader, want int64) {
	r.Helper()
	r.stamp("woken", f.take(), want)
}

func TestAStampUpToTheNewestIsExactAndBeyondMeansNow(t *testing.T) {
	for name, c := range map[string]struct{ asked, want int64 }{
		"older": {-1, 0}, "the newest": {0, -1}, "from a clock ahead": {100, -1}, "none": {now, -1},
	} {
		t.Run(name, func(t *testing.T) {
			stampBubble(t, func(r stampRig) {
				r.touch("a")
				r.clock.Advance(2 * time.Second)
				s := r.subscribe(r.after(c.asked), "a")
				r.stamp("Next", s.Next(), c.want)
				if c.want < 0 {
					r.touch("a")
					r.told(s, 2)
				}
			})
		})
	}
}

func TestTwoTouchesInOneSecondAreBothSeen(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		r.touch("a")
		for want := int64(1); want <= 5; want++ { // each of them is read before the next
			s := r.wait(r.after(want-1), "a")
			r.touch("a")
			r.told(s, want)
			s.Close()
		}
	})
}

func TestTouchesThatNobodyReadBetweenAreOne(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		r.touch("a", "a", "a")
		s := r.subscribe(r.after(-1), "a")
		r.stamp("Next", s.Next(), 0)
		r.stamp("Next", s.Next(), -1)
	})
}

func TestEveryTouchIsFollowedByACall(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		r.touch("a")
		last, calls := int64(0), 0
		for i := range 60 { // ten in a second, six seconds long
			s := r.wait(r.after(last), "a")
			r.touch("a")
			if d := s.take(); d != nil {
				last, calls = d.Events[0].Stamp-r.zero, calls+1
			} else if last < 5 {
				t.Fatalf("touch %d: no call although the stamp is %d", i, last)
			}
			s.Close()
			r.clock.Advance(100 * time.Millisecond)
		}
		s := r.subscribe(r.after(last), "a")
		d := s.Next()
		if d == nil {
			r.clock.Advance(hub.StampPause)
			d = s.take()
		}
		if d == nil {
			t.Error("the last touches are followed by no call")
		}
		if calls < 8 || calls > 15 {
			t.Errorf("%d calls for 60 touches", calls)
		}
		r.clock.Advance(time.Minute)
		if timers := r.clock.Timers(); timers > 1 { // the sweep's
			t.Errorf("%d timers are left", timers)
		}
	})
}

// exhaust has the stamp of a run as far ahead as it may, taken by the client
// that it returns waiting.
func (r stampRig) exhaust() *reader {
	r.Helper()
	r.touch("a")
	for i := range int64(5) {
		s := r.wait(r.after(i), "a")
		r.touch("a")
		r.told(s, i+1)
		s.Close()
	}
	return r.wait(r.after(5), "a")
}

func TestAnOwedStampIsPaidAfterThePause(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		s := r.exhaust()
		r.touch("a", "a")
		r.told(s, -1)
		r.clock.Advance(hub.StampPause - 1)
		r.told(s, -1)
		r.clock.Advance(1)
		r.told(s, 6)
		if head := r.hub.Cursor().Seq; head != 8 {
			t.Errorf("the payment took a sequence: the head is %d", head)
		}
	})
}

func TestAnOwedStampIsPaidByTheNextTouchToo(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		s := r.exhaust()
		r.touch("a")
		r.told(s, -1)
		r.clock.Advance(hub.StampPause - 1)
		r.clock.Set(r.clock.Now().Add(time.Minute))
		r.touch("a")
		r.told(s, 60)
		s.next("-")
		r.clock.Advance(time.Minute)
		r.told(s, -1) // nothing is owed any more
	})
}

func TestAClientThatReadsWhileATouchIsUnderWayIsCalledOnceMore(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		late := &lateLog{Log: r.log}
		r.hub = open(t, hub.Config{Log: late, Clock: r.clock, Limits: r.limits})
		r.touch("a")
		late.between = func() { // after the hub asked who has the stamp
			r.stamp("Next", r.subscribe(r.after(-1), "a").Next(), 0)
		}
		r.touch("a")
		s := r.wait(r.after(0), "a")
		r.clock.Advance(hub.StampPause)
		r.told(s, 1)
	})
}

func TestAClientWaitsOnAStampThatItOnlyNamed(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		r.touch("a")
		s := r.wait(r.after(now), "a") // now is 0, and so is the next touch
		r.touch("a")
		r.told(s, 1)
	})
}

func TestQuietIsNoNewsButAnswersWhoNamedAnOlderStamp(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		follower := r.wait(hub.Since{}, "a")
		older := r.wait(r.after(-50), "a")
		newer := r.wait(r.after(-1), "a")
		nothing := r.wait(r.after(now), "a")
		between := r.subscribe(r.after(now), "a")
		r.observe("a", -10)
		r.told(older, -10)
		between.next("-")
		follower.woken("-")
		r.told(newer, -1)
		r.told(nothing, -1)
		r.stamp("later", r.subscribe(r.after(-50), "a").Next(), -10)
		r.touch("a")
		for _, s := range []*reader{newer, nothing, between} {
			r.told(s, 0)
		}
		follower.woken(" @1") // the touch alone: what was observed took no sequence
	})
}

func TestAWatchedChannelIsKeptUntilItsFileIsGone(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		r.observe("a", -10)
		r.clock.Advance(24 * time.Hour)
		if _, ok := r.hub.Info("a"); !ok {
			t.Fatal("forgotten")
		}
		r.limit(func(l *hub.Limits) { l.Channels = 1 })
		_, err := r.hub.Subscribe(hub.SubConfig{Channels: []string{"b"}})
		wantError(t, err, hub.ErrTooManyChannels)
		r.stamp("Next", r.subscribe(r.after(-20), "a").Next(), -10)

		r.hub.Gone("a")
		r.hub.Gone("unknown")
		if _, ok := r.hub.Info("a"); !ok {
			t.Error("somebody follows it still")
		}
	})
}

func TestAStampThatAClientHasIsNotGivenAgainToAForgottenChannel(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		r.limit(func(l *hub.Limits) { l.Channels = 1 })
		r.touch("a")
		s := r.subscribe(r.after(-1), "a")
		r.stamp("Next", s.Next(), 0)
		s.Close()
		r.publish("b:takes its place")
		r.touch("a")
		r.stamp("Next", r.subscribe(r.after(0), "a").Next(), 1)
	})
}

func TestStampsOfSeveralChannelsAreOneAnswer(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		r.touch("a", "b", "c")
		s := r.subscribe(r.after(-1, 0, -1), "a", "b", "c")
		d := s.Next()
		if d == nil || len(d.Events) != 2 || d.Events[0].Channel != "a" || d.Events[1].Channel != "c" {
			t.Errorf("got %s", show(d))
		}
		s.next("-")
		r.touch("b")
		r.told(s, 1)
		defer func() {
			if recover() == nil {
				t.Error("one stamp for two channels must panic")
			}
		}()
		r.subscribe(r.after(0), "a", "b")
	})
}
