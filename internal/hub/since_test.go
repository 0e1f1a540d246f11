package hub_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func TestWhereASubscriptionBegins(t *testing.T) {
	for name, c := range map[string]struct {
		publish  []string
		keep     int // of each channel; 0: all
		since    func(r *rig) hub.Since
		channels []string
		want     []string // what Next returns, one after the other
	}{
		"now is behind everything": {
			publish: []string{"a:1", "a:2"}, channels: []string{"a"},
			since: func(*rig) hub.Since { return hub.Since{} }, want: []string{"-"},
		},
		"all is everything that is kept": {
			publish: []string{"a:1", "a:2", "b:3"}, channels: []string{"a"},
			since: func(*rig) hub.Since { return hub.All() }, want: []string{"1 2 @2", "-"},
		},
		"all has no gap where older events are gone": {
			publish: []string{"a:1", "a:2", "a:3"}, keep: 2, channels: []string{"a", "b"},
			since: func(*rig) hub.Since { return hub.All() }, want: []string{"2 3 @3", "-"},
		},
		"all of a channel that nobody knows is nothing": {
			channels: []string{"a"}, since: func(*rig) hub.Since { return hub.All() }, want: []string{"-"},
		},
		"after a cursor is what came since": {
			publish: []string{"a:1", "a:2", "a:3"}, channels: []string{"a"},
			since: func(r *rig) hub.Since { return r.at(1) }, want: []string{"2 3 @3", "-"},
		},
		"after the last is nothing": {
			publish: []string{"a:1", "a:2"}, channels: []string{"a"},
			since: func(r *rig) hub.Since { return r.at(2) }, want: []string{"-"},
		},
		"several channels are merged in order": {
			publish: []string{"a:1", "b:2", "x:3", "c:4", "a:5", "b:6"}, channels: []string{"b", "a", "c", "a", "none"},
			since: func(r *rig) hub.Since { return r.at(1) }, want: []string{"2 4 5 6 @6", "-"},
		},
		"a channel that is named twice counts once": {
			publish: []string{"a:1"}, channels: []string{"a", "a"},
			since: func(*rig) hub.Since { return hub.All() }, want: []string{"1 @1", "-"},
		},
		"another epoch is a gap, once": {
			publish: []string{"a:1"}, channels: []string{"a"},
			since: func(r *rig) hub.Since {
				return hub.After(hub.Cursor{Epoch: r.hub.Cursor().Epoch + 1, Seq: 1})
			}, want: []string{"@1 gap", "-"},
		},
		"no epoch is a gap": {
			channels: []string{"a"},
			since:    func(*rig) hub.Since { return hub.After(hub.Cursor{}) }, want: []string{"@0 gap", "-"},
		},
		"older than the history is a gap, once, with what is left": {
			publish: []string{"a:1", "a:2", "a:3"}, keep: 1, channels: []string{"a"},
			since: func(r *rig) hub.Since { return r.at(1) }, want: []string{"3 @3 gap", "-"},
		},
		"as old as the history is none": {
			publish: []string{"a:1", "a:2", "a:3"}, keep: 1, channels: []string{"a"},
			since: func(r *rig) hub.Since { return r.at(2) }, want: []string{"3 @3", "-"},
		},
		"a gap in one channel of two": {
			publish: []string{"a:1", "a:2", "b:3"}, keep: 1, channels: []string{"b", "a"},
			since: func(r *rig) hub.Since { return r.at(0) }, want: []string{"2 3 @3 gap", "-"},
		},
		"each channel from a place of its own": {
			publish: []string{"a:1", "b:2", "a:3", "b:4", "c:5"}, channels: []string{"b", "a", "c"},
			since: func(r *rig) hub.Since { return r.each(2, 0, 5) }, want: []string{"1 3 4 @5", "-"},
		},
		"each channel from a place of its own, of which one is gone": {
			publish: []string{"a:1", "a:2", "b:3"}, keep: 1, channels: []string{"a", "b"},
			since: func(r *rig) hub.Since { return r.each(0, 3) }, want: []string{"2 @3 gap", "-"},
		},
		"an empty history says how far the gap goes": {
			publish: []string{"a:1"}, keep: -1, channels: []string{"a"},
			since: func(r *rig) hub.Since { return r.at(0) }, want: []string{"@1 gap", "-"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.longAgo(c.keep, c.publish...)
				s := r.subscribe(c.since(r), c.channels...)
				for _, want := range c.want {
					s.next(want)
				}
			})
		})
	}
}

func TestACursorAheadOfTheHubWaitsUntilTheHubIsThere(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("a:1")
		one := r.wait(r.at(3), "a")
		two := r.wait(r.at(3), "a", "b")
		r.publish("a:2")
		one.woken("-")
		two.woken("-")
		r.batch("a:3", "a:4") // a batch that begins before the cursor
		one.woken("4 @4")
		two.woken("4 @4")
		ahead := r.wait(r.at(9), "a")
		ahead.rest("- @9")
	})
}

func TestALongCatchUpComesInPiecesWithoutAHole(t *testing.T) {
	for _, since := range []string{"all", "cursor"} {
		t.Run(since, func(t *testing.T) {
			bubble(t, func(r *rig) {
				const n = 3 * hub.MaxDeliveryEvents
				r.limit(func(l *hub.Limits) { l.HistoryCount = n - 100 })
				for i := range n {
					r.publish(fmt.Sprintf("%c:%d", "ab"[min(1, i*2/n)], i+1)) // first a's, then b's
				}
				s := r.subscribe(hub.All(), "a", "b")
				if since == "cursor" {
					s = r.subscribe(r.at(0), "a", "b")
				}
				next := 1
				for d := s.Next(); d != nil; d = s.Next() {
					if d.Gap || len(d.Events) > hub.MaxDeliveryEvents {
						t.Fatalf("a delivery of %d events, gap %v", len(d.Events), d.Gap)
					}
					for _, e := range d.Events {
						if string(e.Data) != fmt.Sprint(next) {
							t.Fatalf("got %s, want %d", e.Data, next)
						}
						next++
					}
				}
				if next != n+1 {
					t.Errorf("the last was %d", next-1)
				}
			})
		})
	}
}

func TestAllInPiecesHasNoGap(t *testing.T) {
	bubble(t, func(r *rig) {
		r.limit(func(l *hub.Limits) { l.HistoryCount = 1500 })
		for i := range 1500 {
			r.publish(fmt.Sprint("a:", i))
		}
		for i := range 1600 {
			r.publish(fmt.Sprint("b:", i))
		}
		r.clock.Advance(hub.Grace + hub.SweepEvery) // b has dropped its first 100
		r.publish("c:last")
		s := r.subscribe(hub.All(), "a", "b", "c")
		total := 0
		for d := s.Next(); d != nil; d = s.Next() {
			if d.Gap {
				t.Error("a gap")
			}
			total += len(d.Events)
		}
		if total != 3001 {
			t.Errorf("%d events, want 3001", total)
		}
	})
}

func TestAForgottenChannelIsAGapAndARecentOneIsNot(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("a:1", "b:2")
		r.clock.Advance(r.limits.HistoryAge + 2*hub.SweepEvery)
		if got := r.hub.Inside(); got.Channels != 2 || got.Idle != 2 {
			t.Fatalf("the channels must be idle: %+v", got)
		}
		s := r.subscribe(r.at(2), "a")
		s.next("-") // nothing is lost after 2, and the channel is remembered
		s.Close()
		r.clock.Advance(hub.IdleKeep + hub.SweepEvery)
		if got := r.hub.Inside(); got.Channels != 0 || got.Floor != 2 {
			t.Fatalf("the channels must be forgotten: %+v", got)
		}
		r.subscribe(r.at(1), "a").next("@2 gap")
		r.subscribe(r.at(2), "a").next("-")
	})
}

func TestAPollThatComesBackToAnIdleChannelHasNoGap(t *testing.T) {
	bubble(t, func(r *rig) {
		quiet := r.wait(r.at(0), "quiet")
		r.publish("busy:1")
		_, cursor := quiet.Rest()
		quiet.Close()
		r.hub.Delete("busy")
		r.clock.Advance(hub.IdleKeep / 2)
		r.publish("busy:2")
		r.subscribe(hub.After(cursor), "quiet").next("-")
	})
}

func TestALogThatKeptItsNewestEntriesOnlyBeginsWithAGap(t *testing.T) {
	draft := hub.Draft{Channel: "a", Data: []byte("x")}
	for name, c := range map[string]struct {
		entries []hub.Entry
		head    uint64
		lost    uint64 // the last that is a gap; one more is none
		want    string
	}{
		"the newest":     {[]hub.Entry{{Draft: draft, Seq: 7}, {Draft: draft, Seq: 8}}, 8, 5, "x x @8 gap"},
		"none":           {nil, 8, 7, "@8 gap"},
		"a stamp's only": {[]hub.Entry{{Draft: hub.Draft{Channel: "a", StampOnly: true}, Seq: 8, Stamp: 1}}, 8, 7, "@8 gap"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				now := r.clock.Now()
				for i := range c.entries {
					c.entries[i].Time = now
				}
				r.hub = open(t, hub.Config{Log: oldLog{c.entries, c.head}, Clock: r.clock, Limits: r.limits})
				r.subscribe(r.at(c.lost), "a").next(c.want)
				r.subscribe(r.at(c.lost), "new").next("@8 gap")
				if d := r.subscribe(r.at(c.lost+1), "a").Next(); d != nil && d.Gap {
					t.Error("a gap that is none")
				}
			})
		})
	}
}

// oldLog is a log that had an earlier life.
type oldLog struct {
	entries []hub.Entry
	head    uint64
}

func (l oldLog) Open(f hub.Follower) (hub.Epoch, uint64, error) {
	if len(l.entries) > 0 {
		f.Apply(l.entries)
	}
	return 7, l.head, nil
}

func TestASubscriptionSaysWhyItCannotBe(t *testing.T) {
	bubble(t, func(r *rig) {
		r.limit(func(l *hub.Limits) { l.ChannelsPerSub = 2 })
		for _, c := range []struct {
			channels []string
			want     error
		}{
			{nil, hub.ErrNoChannel},
			{[]string{"a", "b\n"}, hub.ErrName},
			{[]string{"a", "b", "c"}, hub.ErrTooManyNames},
		} {
			_, err := r.hub.Subscribe(hub.SubConfig{Channels: c.channels})
			wantError(t, err, c.want)
		}
		if got := r.hub.Inside(); got.Channels != 0 {
			t.Errorf("channels are left: %+v", got)
		}
	})
}

func (oldLog) Append(_ context.Context, drafts []hub.Draft, done func([]hub.Place, error)) {
	done(make([]hub.Place, len(drafts)), nil)
}

func (oldLog) Close() error { return nil }

// each is a place in each of several channels.
func (r *rig) each(seqs ...uint64) hub.Since {
	var cursors []hub.Cursor
	for _, seq := range seqs {
		cursors = append(cursors, hub.Cursor{Epoch: r.hub.Cursor().Epoch, Seq: seq})
	}
	return hub.AfterEach(cursors)
}
