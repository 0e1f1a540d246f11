package hub_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// past lets all grace and one sweep go by.
func (r *rig) past() { r.clock.Advance(hub.Grace + hub.SweepEvery) }

func TestHistoryIsBounded(t *testing.T) {
	const size = hub.EventOverhead + 1 + 1 + int64(len(hub.DefaultType)) + int64(len("text/plain; charset=utf-8"))
	for name, c := range map[string]struct {
		limit   func(l *hub.Limits)
		publish []string
		later   time.Duration
		want    string
	}{
		"by count":                         {func(l *hub.Limits) { l.HistoryCount = 2 }, []string{"a:1", "a:2", "b:x", "a:3"}, 0, "2 3"},
		"by none":                          {func(l *hub.Limits) { l.HistoryCount = 0 }, []string{"a:1"}, 0, ""},
		"by bytes":                         {func(l *hub.Limits) { l.HistoryBytes = 2*size + 1 }, []string{"a:1", "a:2", "a:3"}, 0, "2 3"},
		"by age":                           {func(l *hub.Limits) { l.HistoryAge = time.Minute }, []string{"a:1"}, time.Minute, ""},
		"by age, and is younger":           {func(l *hub.Limits) { l.HistoryAge = time.Minute }, []string{"a:1"}, time.Minute - hub.Grace - hub.SweepEvery - 1, "1"},
		"by the bytes of all channels":     {func(l *hub.Limits) { l.TotalBytes = 2*size + 1 }, []string{"a:1", "a:2", "b:x"}, 0, "2"},
		"… which take the oldest anywhere": {func(l *hub.Limits) { l.TotalBytes = 2*size + 1 }, []string{"b:x", "a:1", "a:2"}, 0, "1 2"},
		"… but never the last":             {func(l *hub.Limits) { l.TotalBytes = 0 }, []string{"b:x", "a:1"}, 0, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, when := range []string{"before", "after"} {
				bubble(t, func(r *rig) {
					if when == "before" {
						r.limit(c.limit)
					}
					r.publish(c.publish...)
					r.limit(c.limit) // shrinking later comes to the same
					r.past()
					r.clock.Advance(c.later)
					var got []string
					if d := r.subscribe(hub.All(), "a").Next(); d != nil {
						for _, e := range d.Events {
							got = append(got, string(e.Data))
						}
					}
					if got := strings.Join(got, " "); got != c.want {
						t.Errorf("limits set %s: got %q, want %q", when, got, c.want)
					}
					s := r.hub.Stats()
					if s.HistoryBytes > r.limits.TotalBytes && s.Events > 1 {
						t.Errorf("%d bytes", s.HistoryBytes)
					}
				})
			}
		})
	}
}

func TestGraceEndsThoughAnOlderEventStays(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("old:1")
		r.limit(func(l *hub.Limits) { l.HistoryCount = 1 })
		for range 500 {
			r.publish("a:x")
		}
		if i, _ := r.hub.Info("a"); i.History != 500 {
			t.Errorf("%d events within the grace", i.History)
		}
		r.past()
		if i, _ := r.hub.Info("a"); i.History != 1 {
			t.Errorf("%d events after it", i.History)
		}
	})
}

func TestEventsOfAFullChannelLeaveNothingBehind(t *testing.T) {
	bubble(t, func(r *rig) {
		r.limit(func(l *hub.Limits) { l.HistoryBytes = 1000 })
		r.publish("old:1") // the oldest of all stays, so that no sweep gets past it
		for i := range 100_000 {
			r.publish("a:x")
			if got := r.hub.Inside().Order; got > 5000 {
				t.Fatalf("%d places for %d events after %d", got, r.hub.Stats().Events, i)
			}
		}
	})
}

func TestManyChannelsTouchedOnceStayBounded(t *testing.T) {
	bubble(t, func(r *rig) {
		const limit, n = 1000, 20_000
		r.limit(func(l *hub.Limits) { l.Channels = limit; l.HistoryAge = time.Second })
		followed := r.wait(hub.Since{}, "followed")
		for i := range n {
			r.publish(fmt.Sprint("touched", i, ":x"))
			s := r.subscribe(hub.Since{}, fmt.Sprint("asked for", i))
			s.Close()
		}
		got := r.hub.Inside()
		if got.Channels > limit || got.Idle+got.Spare > limit || got.Order > 5*limit+2048 || got.Graced > limit || got.Sharing > limit {
			t.Errorf("inside: %+v", got)
		}
		r.publish("followed:1")
		followed.woken(fmt.Sprintf("1 @%d", n+1))
		followed.Close()
		r.past()
		r.clock.Advance(hub.IdleKeep + hub.SweepEvery)
		got = r.hub.Inside()
		if got != (hub.Inside{Floor: n + 1}) {
			t.Errorf("something is left: %+v", got)
		}
		if n := r.clock.Timers(); n != 0 {
			t.Errorf("%d timers are left", n)
		}
	})
}

func TestChannelsHaveALimitWithRoomMadeByWhatNobodyFollows(t *testing.T) {
	bubble(t, func(r *rig) {
		r.limit(func(l *hub.Limits) { l.Channels = 3 })
		r.publish("history:1")
		r.drafts(hub.Draft{Channel: "kept", Kept: true, Quiet: true, StampOnly: true})
		followed := r.wait(hub.Since{}, "followed")
		refused := func(channels ...string) {
			t.Helper()
			var drafts []hub.Draft
			for _, c := range channels {
				drafts = append(drafts, hub.Draft{Channel: c})
			}
			_, err := r.hub.Publish(context.Background(), drafts)
			wantError(t, err, hub.ErrTooManyChannels)
			_, err = r.hub.Subscribe(hub.SubConfig{Channels: channels})
			wantError(t, err, hub.ErrTooManyChannels)
		}
		refused("new1", "new2") // there is room for one
		r.publish("new:2")      // history goes for it
		if _, ok := r.hub.Info("history"); ok {
			t.Error("three channels and one more")
		}
		r.subscribe(r.at(0), "new").next("2 @2 gap")
		refused("newer")
		followed.Close()
		r.publish("newer:3")
		refused("more", "than", "that")
		r.hub.Gone("kept")
		r.subscribe(hub.All(), "last")
		r.limit(func(l *hub.Limits) { l.Channels = 2 })
		r.publish("new:4") // who is there may stay
		refused("x")
		if n := r.hub.Inside().Channels; n > 3 {
			t.Errorf("%d channels", n)
		}
	})
}

func TestTheLeastRecentlyUsedHistoryGoesFirst(t *testing.T) {
	bubble(t, func(r *rig) {
		r.limit(func(l *hub.Limits) { l.Channels = 3 })
		r.publish("a:1", "b:2", "c:3", "a:4", "d:5")
		infos, _ := r.hub.List(10)
		if got := fmt.Sprint(infos[0].Channel, infos[1].Channel, infos[2].Channel); got != "acd" {
			t.Errorf("left are %s", got)
		}
	})
}

func TestOtherLimits(t *testing.T) {
	bubble(t, func(r *rig) {
		r.limit(func(l *hub.Limits) { l.Holds = 2; l.EventBytes = 3 })
		one := r.subscribe(hub.Since{}, "a")
		r.subscribe(hub.Since{}, "a")
		_, err := r.hub.Subscribe(hub.SubConfig{Channels: []string{"a"}})
		wantError(t, err, hub.ErrTooManyHolds)
		if got := r.hub.Stats().Full; got != (hub.Full{Holds: 1}) {
			t.Errorf("it counts %+v", got)
		}
		r.limit(func(l *hub.Limits) { l.Channels = 10 })
		if got := r.hub.Stats().Full; got != (hub.Full{Holds: 1}) {
			t.Errorf("another limit has changed, and it counts %+v", got)
		}
		r.limit(func(l *hub.Limits) { l.Channels, l.Holds = 1, 3 })
		_, err = r.hub.Subscribe(hub.SubConfig{Channels: []string{"b"}})
		wantError(t, err, hub.ErrTooManyChannels)
		if got := r.hub.Stats().Full; got != (hub.Full{Channels: 1}) {
			t.Errorf("with a higher limit it counts %+v", got)
		}
		r.limit(func(l *hub.Limits) { l.Channels, l.Holds = 10, 2 })
		one.Close()
		one.Close()
		r.subscribe(hub.Since{}, "a")

		r.publish("a:123")
		_, err = r.hub.Publish(context.Background(), []hub.Draft{event("b:1"), event("a:1234")})
		wantError(t, err, hub.ErrTooLarge)
		_, err = r.hub.Publish(context.Background(), []hub.Draft{event("b:1"), {Channel: "\n"}})
		wantError(t, err, hub.ErrName)
		if head := r.hub.Cursor().Seq; head != 1 {
			t.Errorf("a part of a refused batch happened: the head is %d", head)
		}
		if n := r.hub.Stats().Channels; n != 1 {
			t.Errorf("%d channels", n)
		}
	})
}

func TestStatsInfoListDelete(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("b:1", "a:22", "b:333")
		r.drafts(hub.Draft{Channel: "b", StampOnly: true, Source: "file"})
		s := r.wait(hub.Since{}, "b", "c")
		epoch, stamp := r.hub.Cursor().Epoch, r.clock.Now().Unix()
		info, ok := r.hub.Info("b")
		want := hub.Info{Channel: "b", Held: 1, Events: 2, Cursor: hub.Cursor{Epoch: epoch, Seq: 3}, Stamp: stamp, History: 2, Bytes: info.Bytes}
		if !ok || info != want || info.Bytes < 4+2*hub.EventOverhead {
			t.Errorf("got %+v, want %+v", info, want)
		}
		infos, cursor := r.hub.List(2)
		if len(infos) != 2 || infos[0].Channel != "a" || infos[1] != info || cursor.Seq != 3 {
			t.Errorf("listed %+v at %v", infos, cursor)
		}
		if infos, _ := r.hub.List(0); len(infos) != 0 {
			t.Errorf("listed %+v", infos)
		}
		stats := r.hub.Stats()
		if stats.Channels != 3 || stats.Holds != 1 || stats.Events != 3 || stats.Opened != 1 || stats.Published["test"] != 3 || len(stats.Published) != 1 {
			t.Errorf("stats: %+v", stats)
		}

		busy := r.subscribe(r.at(0), "b")
		if !r.hub.Delete("b") || r.hub.Delete("unknown") {
			t.Error("Delete must say whether there was the channel")
		}
		busy.next("@3 gap")
		r.publish("b:4")
		s.woken("4 @4")
		s.next("-")
		r.subscribe(r.at(2), "b").next("4 @4 gap")
		if !r.hub.Delete("a") || r.hub.Delete("a") {
			t.Error("a channel that is nothing but history goes")
		}
		if _, ok := r.hub.Info("a"); ok {
			t.Error("it is there still")
		}
		if stats := r.hub.Stats(); stats.Events != 1 || stats.Delivered != 3 {
			t.Errorf("stats: %+v", stats)
		}
	})
}

func TestAfterClose(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("a:1")
		s := r.wait(hub.Since{}, "a")
		if err := r.hub.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := r.hub.Publish(context.Background(), []hub.Draft{{Channel: "a"}})
		wantError(t, err, hub.ErrClosed)
		_, err = r.hub.Subscribe(hub.SubConfig{Channels: []string{"a"}})
		wantError(t, err, hub.ErrClosed)
		s.woken("-")
		s.rest("- @1")
		s.Close()
		r.clock.Advance(time.Hour)
		if n := r.clock.Timers(); n != 0 {
			t.Errorf("%d timers are left", n)
		}
	})
}
