package hub_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/hub/hubtest"
	"github.com/caddy-comet/caddy-comet/internal/log"
)

// Whoever comes before the log has its past waits, and is not told of a gap that
// is none; and who waits is let go when the hub ends.
func TestAHubThatHasAPastWaitsForIt(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(h *hub.Hub)
		want string
	}{
		"begins": {func(h *hub.Hub) {
			now := hubtest.NewClock().Now()
			head := h.Restore(hub.Kept{Epoch: 7, Head: 2, Entries: []hub.Entry{
				{Draft: hub.Draft{Channel: "a", Data: []byte("one")}, Seq: 1, Time: now},
				{Draft: hub.Draft{Channel: "a", Data: []byte("two")}, Seq: 2, Time: now},
			}})
			if head != 2 {
				t.Errorf("the head is %d", head)
			}
			h.Begin()
			h.Begin()
		}, "two @2"},
		"ends": {func(h *hub.Hub) { _ = h.Close() }, hub.ErrClosed.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := hubtest.NewClock()
				h := open(t, hub.Config{Log: log.NewMemory(clock), Clock: clock, Limits: hub.DefaultLimits(), Waits: true})
				answers := make(map[string]chan string)
				for _, what := range []string{"subscribe", "publish", "news", "cursor", "delete"} {
					answers[what] = make(chan string, 1)
				}
				go func() {
					s, err := h.Subscribe(hub.SubConfig{Channels: []string{"a"}, Since: hub.After(hub.Cursor{Epoch: 7, Seq: 1})})
					if err != nil {
						answers["subscribe"] <- err.Error()
						return
					}
					answers["subscribe"] <- show(s.Next())
				}()
				go func() {
					_, err := h.Publish(context.Background(), nil)
					if err != nil {
						answers["publish"] <- err.Error()
						return
					}
					answers["publish"] <- c.want
				}()
				go func() { h.News([]string{"a"}, hub.Cursor{}); answers["news"] <- c.want }()
				go func() { h.Cursor(); answers["cursor"] <- c.want }()
				go func() { h.Delete("b"); answers["delete"] <- c.want }()
				synctest.Wait()
				for what, answer := range answers {
					if len(answer) > 0 {
						t.Errorf("%s does not wait: %s", what, <-answer)
					}
				}
				c.end(h)
				synctest.Wait()
				for what, answer := range answers {
					if len(answer) == 0 {
						t.Errorf("%s waits for ever", what)
					} else if got := <-answer; got != c.want {
						t.Errorf("%s: %q, want %q", what, got, c.want)
					}
				}
			})
		})
	}
}

// A log that keeps the history is told of all that leaves it, and of nothing where
// there is none.
func TestWhatLeavesTheHistoryIsTold(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("a:1", "b:2")
		if d := r.hub.Dropped(); d.Any() {
			t.Errorf("nobody asked, and there is %+v", d)
		}
		k := r.hub.Kept()
		if len(k.Entries) != 2 || k.Entries[0].Seq != 1 || k.Entries[1].Channel != "b" || k.Head != 2 || len(k.Floors) != 2 {
			t.Errorf("kept is %+v", k)
		}
		r.publish("c:3")
		if d := r.hub.Dropped(); len(d.Floors) != 1 || len(d.Seqs) != 0 || d.Floors["c"] != 0 {
			t.Errorf("a new channel: %+v", d)
		}
		r.hub.Delete("a")
		if d := r.hub.Dropped(); len(d.Seqs) != 1 || d.Seqs[0] != 1 || d.Floors["a"] != 1 {
			t.Errorf("a deletion: %+v", d)
		}
		r.clock.Advance(2 * hub.IdleKeep)
		if d := r.hub.Dropped(); len(d.Gone) != 1 || d.Floor != 1 {
			t.Errorf("a channel that is forgotten: %+v", d)
		}
		r.hub.Unkept()
		r.hub.Delete("b")
		if d := r.hub.Dropped(); d.Any() {
			t.Errorf("it is told no more, and there is %+v", d)
		}
	})
}
