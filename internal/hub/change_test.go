package hub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func (f *reader) join(since hub.Since, channels ...string) {
	f.r.Helper()
	if _, err := f.Join(channels, since); err != nil {
		f.r.Fatal(err)
	}
}

func (f *reader) leave(channels ...string) {
	f.r.Helper()
	if err := f.Leave(channels); err != nil {
		f.r.Fatal(err)
	}
}

func TestALiveSubscriptionChangesItsChannels(t *testing.T) {
	bubble(t, func(r *rig) {
		f := r.wait(hub.Since{}, "a")
		r.publish("b:1")
		f.join(hub.Since{}, "b", "a")
		f.woken("-") // what was before the joining is not meant
		r.publish("b:2")
		f.woken("2 @2")
		f.next("-")
		f.leave("a", "never joined")
		r.publish("a:3")
		f.woken("-")
		r.publish("b:4")
		f.woken("4 @4")
		f.leave("b")
		f.next("-")
		r.publish("b:5")
		f.woken("-")
		f.join(hub.Since{}, "c")
		r.publish("c:6")
		f.woken("6 @6")
	})
}

func TestJoiningWithAPositionTellsWhatIsBehindIt(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("b:1", "b:2", "c:3")
		f := r.wait(hub.Since{}, "a")
		f.join(r.at(1), "b")
		f.woken("2 @3")
		f.next("-")
		f.join(hub.All(), "c")
		f.woken("3 @3")
		f.next("-")
		r.publish("a:4")
		f.woken("4 @4")
		f.next("-")
		f.join(hub.After(hub.Cursor{Epoch: 1, Seq: 1}), "d")
		f.woken("-") // the gap is of d alone
	})
}

func TestAJoinSaysWhereItBegins(t *testing.T) {
	for name, c := range map[string]struct {
		keep  int
		since func(r *rig) hub.Since
		names []string
		at    uint64
		gap   bool
		// had: it follows them already.
		had  bool
		want []string
	}{
		"now": {
			since: func(*rig) hub.Since { return hub.Since{} }, names: []string{"b"}, at: 4, want: []string{"-"},
		},
		"at a cursor, before what others gave": {
			since: func(r *rig) hub.Since { return r.at(1) }, names: []string{"b", "c"}, at: 1, want: []string{"2 3 4 @4", "-"},
		},
		"with all that is kept": {
			since: func(*rig) hub.Since { return hub.All() }, names: []string{"b"}, at: 1, want: []string{"2 4 @4", "-"},
		},
		"with what is kept of it": {
			keep:  1,
			since: func(*rig) hub.Since { return hub.All() }, names: []string{"b"}, at: 3, want: []string{"4 @4", "-"},
		},
		"behind a gap": {
			keep:  1,
			since: func(r *rig) hub.Since { return r.at(1) }, names: []string{"c", "b"}, at: 1, gap: true, want: []string{"3 4 @4", "-"},
		},
		"behind another epoch": {
			since: func(*rig) hub.Since { return hub.After(hub.Cursor{Epoch: 1, Seq: 1}) }, names: []string{"b"}, at: 4, gap: true, want: []string{"-"},
		},
		"with what it follows already": {
			since: func(r *rig) hub.Since { return r.at(0) }, names: []string{"a", "a"}, at: 4, had: true, want: []string{"-"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.longAgo(c.keep, "a:1", "b:2", "c:3", "b:4")
				s := r.wait(hub.Since{}, "a")
				s.rest("- @4")
				j, err := s.Join(c.names, c.since(r))
				if err != nil || j.At != (hub.Cursor{Epoch: r.hub.Cursor().Epoch, Seq: c.at}) || j.Gap != c.gap || !c.had && !slices.Equal(j.Channels, c.names) || c.had && j.Channels != nil {
					t.Errorf("joined %+v, %v", j, err)
				}
				for _, want := range c.want {
					s.next(want)
				}
				r.publish("a:5")
				s.woken("5 @5")
				s.next("-")
				r.publish(c.names[0] + ":6")
				s.woken("6 @6")
			})
		})
	}
}

func TestWhoFollowsNothingHasAPosition(t *testing.T) {
	bubble(t, func(r *rig) {
		s := r.wait(hub.Since{}, "a")
		s.leave("a")
		r.publish("a:1")
		s.rest("- @1")
		s.next("-")
	})
}

func TestAJoinThatFailsChangesNothing(t *testing.T) {
	bubble(t, func(r *rig) {
		r.limit(func(l *hub.Limits) { l.ChannelsPerSub = 3 })
		f := r.wait(hub.Since{}, "a")
		if _, err := f.Join([]string{"b", "c", "d"}, hub.Since{}); !errors.Is(err, hub.ErrTooManyNames) {
			t.Errorf("the error is %v", err)
		}
		if _, err := f.Join([]string{"b", ""}, hub.Since{}); !errors.Is(err, hub.ErrName) {
			t.Errorf("the error is %v", err)
		}
		r.publish("b:1")
		f.woken("-")
		r.publish("a:2")
		f.woken("2 @2")
		if n := r.hub.Stats().Channels; n != 2 { // b has history
			t.Errorf("%d channels", n)
		}
		f.Close()
		if _, err := f.Join([]string{"b"}, hub.Since{}); !errors.Is(err, hub.ErrClosed) {
			t.Errorf("the error is %v", err)
		}
	})
}

// TestJoinedChannelsCountInWhatAllFollowTogether as long as they are followed.
func TestJoinedChannelsCountInWhatAllFollowTogether(t *testing.T) {
	bubble(t, func(r *rig) {
		name := func(n int) (names []string) {
			for i := range n {
				names = append(names, fmt.Sprint("c", i))
			}
			return names
		}
		r.limit(func(l *hub.Limits) { l.ChannelsPerSub = 1000; l.Holds = 2 }) // 10,000
		for range 12 {                                                        // nothing is left behind
			f := r.subscribe(hub.Since{}, "a")
			f.join(hub.Since{}, name(999)...)
			f.leave(name(500)...)
			f.Close()
		}
		r.limit(func(l *hub.Limits) { l.ChannelsPerSub = 10; l.Holds = 20 }) // 200
		var readers []*reader
		for range 20 {
			f := r.subscribe(hub.Since{}, "a")
			f.join(hub.Since{}, name(9)...)
			readers = append(readers, f)
		}
		r.limit(func(l *hub.Limits) { l.ChannelsPerSub = 15 })
		_, err := readers[0].Join([]string{"more"}, hub.Since{})
		wantError(t, err, hub.ErrTooManyHolds)
		readers[1].leave("a")
		if _, err := readers[0].Join([]string{"more"}, hub.Since{}); err != nil {
			t.Error(err)
		}
	})
}

// TestWhatAJoinMeetsMayHaveChanged: limits are lower, or the hub has ended.
func TestWhatAJoinMeetsMayHaveChanged(t *testing.T) {
	bubble(t, func(r *rig) {
		f := r.subscribe(hub.Since{}, "a", "b", "c")
		r.limit(func(l *hub.Limits) { l.ChannelsPerSub = 2 })
		_, err := f.Join([]string{"d"}, hub.Since{})
		wantError(t, err, hub.ErrTooManyNames)
		f.leave("a", "b")
		f.join(hub.Since{}, "d")
		_ = r.hub.Close()
		_, err = f.Join([]string{"e"}, hub.Since{})
		wantError(t, err, hub.ErrClosed)
		wantError(t, f.Leave([]string{"d"}), hub.ErrClosed)
	})
}

// TestNothingIsLostWhileChannelsChange joins and leaves one channel again and
// again while another is published on.
func TestNothingIsLostWhileChannelsChange(t *testing.T) {
	bubble(t, func(r *rig) {
		const n = 2000
		f := r.subscribe(hub.Since{}, "a")
		stop := make(chan struct{})
		changed := make(chan struct{})
		go func() {
			defer close(changed)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				_, _ = f.Join([]string{"b", fmt.Sprint("c", i%7)}, hub.Since{})
				_ = f.Leave([]string{"b"})
			}
		}()
		go func() {
			for i := range n {
				_, _ = r.hub.Publish(context.Background(), []hub.Draft{event(fmt.Sprintf("a:%d", i)), event("b:x")})
			}
		}()
		next := 0
		for next < n {
			d := f.Next()
			if d == nil {
				d = <-f.told
			}
			for _, e := range d.Events {
				if e.Channel != "a" {
					continue
				}
				if string(e.Data) != fmt.Sprint(next) {
					t.Fatalf("event %s instead of %d", e.Data, next)
				}
				next++
			}
			if d.Gap {
				t.Fatal("a gap")
			}
			d.Done()
		}
		close(stop)
		<-changed
		f.Close()
	})
}
