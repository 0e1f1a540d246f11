package hub_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// noted subscribes with a note.
func (r *rig) noted(note string, who *hub.Who, channels ...string) *hub.Sub {
	r.Helper()
	s, err := r.hub.Subscribe(hub.SubConfig{Channels: channels, Waker: waker(func(*hub.Delivery) {}), Who: who, Note: note})
	if err != nil {
		r.Fatal(err)
	}
	return s
}

// holds are the notes of the holds that are found, in order.
func (r *rig) holds(of hub.Kick) string {
	var found []string
	r.hub.Holds(of, func(h hub.Held) bool {
		found = append(found, h.Note.(string))
		return true
	})
	slices.Sort(found)
	return strings.Join(found, " ")
}

func TestHoldsAreFoundByWhoAndWhere(t *testing.T) {
	bubble(t, func(r *rig) {
		r.noted("a", r.right("42"), "a")
		r.noted("b", r.right("42"), "b")
		r.noted("both", r.right("43"), "a", "b")
		r.noted("nobody", nil, "a").Next()
		r.noted("gone", nil, "a").Close()
		for of, want := range map[hub.Kick]string{
			{}:                         "a b both nobody",
			{User: "42"}:               "a b",
			{Channel: "a"}:             "a both nobody",
			{User: "43", Channel: "b"}: "both",
			{User: "44"}:               "",
			{Channel: "c"}:             "",
		} {
			if got := r.holds(of); got != want {
				t.Errorf("%+v: got %q, want %q", of, got, want)
			}
		}
		r.hub.Holds(hub.Kick{User: "43"}, func(h hub.Held) bool {
			if h.User != "43" || h.Follows != 2 || !slices.Equal(h.Channels, []string{"a", "b"}) {
				t.Errorf("got %+v", h)
			}
			return true
		})
		var many []string
		for i := range 100 {
			many = append(many, fmt.Sprint("m", i))
		}
		r.noted("many", nil, many...)
		r.hub.Holds(hub.Kick{Channel: "m99"}, func(h hub.Held) bool {
			if h.Follows != 100 || !slices.Equal(h.Channels, many[:20]) {
				t.Errorf("got %+v", h)
			}
			return true
		})
	})
}

// TestTheHubGoesOnWhileHoldsAreLookedAt: others subscribe, publish and leave, and who is
// there all the time is found once.
func TestTheHubGoesOnWhileHoldsAreLookedAt(t *testing.T) {
	const n = 3000
	bubble(t, func(r *rig) {
		var leaving []*hub.Sub
		for i := range n {
			r.noted(fmt.Sprint(i), nil, "a")
			leaving = append(leaving, r.noted("leaves", nil, "a"))
		}
		found := make(map[string]int)
		r.hub.Holds(hub.Kick{}, func(h hub.Held) bool {
			found[h.Note.(string)]++
			r.noted("comes", nil, "a")
			r.publish("b:1")
			if last := len(leaving) - 1; last >= 0 {
				leaving[last].Close()
				leaving = leaving[:last]
			}
			return len(found) < n+2 // the new ones would never end
		})
		for i := range n {
			if got := found[fmt.Sprint(i)]; got > 1 {
				t.Fatalf("%d is found %d times", i, got)
			}
		}
		if len(found) < n {
			t.Errorf("%d are found of %d", len(found), n)
		}
		calls := 0
		r.hub.Holds(hub.Kick{}, func(hub.Held) bool { calls++; return false })
		if calls != 1 {
			t.Errorf("called %d times after it was enough", calls)
		}
	})
}

func TestTheFirstChannels(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("few:1", "many:1", "many:2", "many:3", "late:1")
		r.noted("1", nil, "held")
		r.noted("2", nil, "held")
		r.noted("3", nil, "many")
		r.noted("4", nil, "idle").Close()
		for i := range 2000 {
			r.publish(fmt.Sprintf("x%04d:1", i))
		}
		r.publish("late:2")
		for by, want := range map[hub.By]string{
			hub.ByHeld:   "held many few",
			hub.ByEvents: "many late few",
			hub.ByLatest: "late x1999 x1998",
		} {
			var got []string
			for _, i := range r.hub.First(3, by) {
				got = append(got, i.Channel)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%d: got %q, want %q", by, got, want)
			}
		}
		if got := r.hub.First(1, hub.ByEvents); got[0].Events != 3 {
			t.Errorf("got %+v", got)
		}
		if n := len(r.hub.First(5000, hub.ByHeld)); n != 2004 {
			t.Errorf("%d channels", n)
		}
	})
}
