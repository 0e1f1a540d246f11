package hub_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// right is one that was given a second ago.
func (r *rig) right(user string, sessions ...string) *hub.Who {
	return &hub.Who{User: user, Sessions: sessions, Granted: r.clock.Now().Add(-time.Second)}
}

func (r *rig) kick(k hub.Kick, want int) {
	r.Helper()
	if ended, err := r.hub.Kick(k); ended != want || err != nil {
		r.Errorf("%+v ended %d %v, want %d", k, ended, err, want)
	}
}

func TestAKickEndsWhoItNames(t *testing.T) {
	readers := map[string]struct {
		user     string
		sessions []string
		channels []string
	}{
		"42 in a":    {"42", []string{"s1"}, []string{"a"}},
		"42 in b":    {"42", []string{"s2", "t"}, []string{"b"}},
		"43 in a, b": {"43", []string{"s3"}, []string{"a", "b"}},
		"nobody's":   {"", []string{"s4"}, []string{"a"}},
	}
	for kick, want := range map[hub.Kick][]string{
		{User: "42"}:                              {"42 in a", "42 in b"},
		{Session: "t"}:                            {"42 in b"},
		{Channel: "b"}:                            {"42 in b", "43 in a, b"},
		{User: "42", Channel: "a"}:                {"42 in a"},
		{User: "42", Session: "s3"}:               nil,
		{User: "43", Session: "s3"}:               {"43 in a, b"},
		{Session: "s4", Channel: "a"}:             {"nobody's"},
		{User: "43", Session: "s3", Channel: "b"}: {"43 in a, b"},
		{User: "44"}:                              nil,
	} {
		bubble(t, func(r *rig) {
			waiting := make(map[string]*reader)
			for name, c := range readers {
				waiting[name] = r.subscribeAs(r.right(c.user, c.sessions...), hub.Since{}, c.channels...)
				waiting[name].next("-")
			}
			public := r.wait(hub.Since{}, "c")
			r.kick(kick, len(want))
			hit := make(map[string]bool)
			for _, name := range want {
				hit[name] = true
			}
			r.publish("a:1", "b:2", "c:3")
			synctest.Wait()
			public.woken("3 @3")
			for name, f := range waiting {
				c := readers[name]
				_, err := r.hub.Subscribe(hub.SubConfig{Channels: c.channels, Who: r.right(c.user, c.sessions...)})
				if (f.kicked == 1) != hit[name] || (err == hub.ErrKicked) != hit[name] {
					t.Errorf("%+v: %s was told %d times; with its old right: %v", kick, name, f.kicked, err)
				}
				if hit[name] {
					f.woken("-")
					f.rest("- @0")
					f.next("-")
				} else if f.take() == nil {
					t.Errorf("%+v: %s waits in vain", kick, name)
				}
			}
			r.clock.Advance(2 * time.Second)
			for _, c := range readers {
				r.subscribeAs(r.right(c.user, c.sessions...), hub.Since{}, c.channels...)
			}
		})
	}
}

func TestAKickOfAChannelEndsThoseWithoutARightToo(t *testing.T) {
	bubble(t, func(r *rig) {
		f := r.wait(hub.Since{}, "a")
		r.kick(hub.Kick{Channel: "a"}, 1)
		if f.kicked != 1 {
			t.Error("it was not told")
		}
		r.wait(hub.Since{}, "a") // there is nothing that could be void
	})
}

func TestARightThatWasTakenBackJoinsNothing(t *testing.T) {
	bubble(t, func(r *rig) {
		f := r.subscribeAs(r.right("42"), hub.Since{}, "a")
		r.kick(hub.Kick{User: "42", Channel: "b"}, 0)
		_, err := f.Join([]string{"b"}, hub.Since{})
		wantError(t, err, hub.ErrKicked)
		f.join(hub.Since{}, "c")
	})
}

func TestKicksAreRememberedForADay(t *testing.T) {
	bubble(t, func(r *rig) {
		who := r.right("42")
		r.kick(hub.Kick{User: "42"}, 0)
		r.clock.Advance(hub.KickKeep)
		if !r.hub.Kicked(who, nil) {
			t.Error("it is forgotten too early")
		}
		r.clock.Advance(time.Second)
		if r.hub.Kicked(who, nil) {
			t.Error("it is remembered too long")
		}
	})
}

func TestThereIsALimitOfKicks(t *testing.T) {
	bubble(t, func(r *rig) {
		const most = 100_000
		for i := range most {
			r.kick(hub.Kick{User: fmt.Sprint(i)}, 0)
		}
		r.kick(hub.Kick{User: "1"}, 0) // again
		if _, err := r.hub.Kick(hub.Kick{User: "one more"}); err == nil {
			t.Error("there is room for one more")
		}
		r.clock.Advance(hub.KickKeep + time.Second)
		r.kick(hub.Kick{User: "one more"}, 0)
	})
}

// TestNothingIsLostByAKick kicks a reader again and again, who comes back each time
// with the position at which it was.
func TestNothingIsLostByAKick(t *testing.T) {
	bubble(t, func(r *rig) {
		const n = 2000
		published := make(chan struct{})
		go func() {
			defer close(published)
			for i := range n {
				_, _ = r.hub.Publish(context.Background(), []hub.Draft{event(fmt.Sprintf("a:%d", i)), event("b:x")})
			}
		}()
		kicking := make(chan struct{})
		go func() {
			defer close(kicking)
			for {
				select {
				case <-published:
					return
				default:
					_, _ = r.hub.Kick(hub.Kick{Channel: "a"})
				}
			}
		}()
		next, kicks, since := 0, 0, hub.All()
		for next < n {
			f := &returning{told: make(chan *hub.Delivery, 1), kicked: make(chan struct{}, 1)}
			s, err := r.hub.Subscribe(hub.SubConfig{Channels: []string{"a", "c"}, Since: since, Waker: f})
			if err != nil {
				t.Fatal(err)
			}
			for next < n {
				d := s.Next()
				if d == nil && s.Kicked() {
					f.Kicked()
				}
				if d == nil {
					select {
					case d = <-f.told:
					case <-f.kicked:
						kicks++
						rest, at := s.Rest()
						if d = rest; d == nil {
							select {
							case d = <-f.told:
							default:
							}
						}
						if d == nil {
							since = hub.After(at)
						}
					}
				}
				if d == nil {
					break
				}
				since = hub.After(d.Cursor)
				for _, e := range d.Events {
					if string(e.Data) != fmt.Sprint(next) || d.Gap {
						t.Fatalf("event %s instead of %d, gap %v", e.Data, next, d.Gap)
					}
					next++
				}
			}
			s.Close()
		}
		<-kicking
		if kicks == 0 {
			t.Error("nobody was kicked")
		}
	})
}

type returning struct {
	told   chan *hub.Delivery
	kicked chan struct{}
}

func (f *returning) Wake(d *hub.Delivery) { f.told <- d }
func (f *returning) Kicked() {
	select {
	case f.kicked <- struct{}{}:
	default:
	}
}
