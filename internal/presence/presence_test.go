package presence_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/log"
	"github.com/caddy-comet/caddy-comet/internal/presence"
)

// room is a hub in which somebody listens to room-1 whom nobody knows.
type room struct {
	*testing.T
	hub     *hub.Hub
	members *presence.Members
	ear     *hub.Sub
}

func inRoom(t *testing.T, f func(r *room)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h, err := hub.New(hub.Config{Log: log.NewMemory(nil), Limits: hub.DefaultLimits()})
		if err != nil {
			t.Fatal(err)
		}
		r := &room{T: t, hub: h}
		r.members = presence.New(h, nil, func(err error) { t.Error(err) })
		r.set("room-")
		r.ear = r.follows(nil, "room-1", "hall")
		f(r)
	})
}

// set has the channels with that prefix have members.
func (r *room) set(prefix string) {
	r.members.Set(presence.Config{Grace: 10 * time.Second, Match: func(channel string) bool { return strings.HasPrefix(channel, prefix) }})
}

type silent struct{}

func (silent) Wake(*hub.Delivery) {}

func (r *room) follows(who *hub.Who, channels ...string) *hub.Sub {
	r.Helper()
	s, err := r.hub.Subscribe(hub.SubConfig{Channels: channels, Waker: silent{}, Who: who})
	if err != nil {
		r.Fatal(err)
	}
	return s
}

// hears wants the events since the last time, and who is there.
func (r *room) hears(want, there string) {
	r.Helper()
	synctest.Wait()
	var got []string
	for d := r.ear.Next(); d != nil; d = r.ear.Next() {
		for _, e := range d.Events {
			got = append(got, fmt.Sprintf("%s %s %s", e.Channel, e.Type, e.Data))
		}
	}
	_, _ = r.ear.Rest()
	if text := strings.Join(got, ", "); text != want {
		r.Errorf("heard %q, want %q", text, want)
	}
	if users, ok := r.members.Of("room-1"); !ok || !slices.Equal(users, strings.Fields(there)) {
		r.Errorf("%q are there, want %q", users, there)
	}
}

func user(name string) *hub.Who { return &hub.Who{User: name} }

func TestManyTabsAreOneMember(t *testing.T) {
	inRoom(t, func(r *room) {
		r.hears("", "")
		one := r.follows(user("42"), "room-1", "hall")
		r.hears(`room-1 join {"user":"42"}`, "42")
		two := r.follows(user("42"), "room-1")
		other := r.follows(user("4\"3"), "room-1")
		r.hears(`room-1 join {"user":"4\"3"}`, `4"3 42`)
		one.Close()
		time.Sleep(time.Minute)
		r.hears("", `4"3 42`)
		two.Close()
		time.Sleep(9 * time.Second)
		r.hears("", `4"3 42`)
		time.Sleep(time.Second)
		r.hears(`room-1 leave {"user":"42"}`, `4"3`)
		if _, err := r.hub.Kick(hub.Kick{User: "4\"3"}); err != nil {
			t.Fatal(err)
		}
		other.Close()
		time.Sleep(10 * time.Second)
		r.hears(`room-1 leave {"user":"4\"3"}`, "")
	})
}

func TestWhoComesBackInTimeHasNotBeenAway(t *testing.T) {
	inRoom(t, func(r *room) {
		for i := range 100 { // polls
			s := r.follows(user("42"), "room-1")
			time.Sleep(25 * time.Second)
			s.Close()
			time.Sleep(9 * time.Second)
			if i == 0 {
				r.hears(`room-1 join {"user":"42"}`, "42")
			}
		}
		r.hears("", "42")
	})
}

func TestALiveSubscriptionJoinsAndLeaves(t *testing.T) {
	inRoom(t, func(r *room) {
		s := r.follows(user("42"), "hall")
		r.hears("", "")
		if _, err := s.Join([]string{"room-1"}, hub.Since{}); err != nil {
			t.Fatal(err)
		}
		r.hears(`room-1 join {"user":"42"}`, "42")
		if err := s.Leave([]string{"room-1"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		r.hears(`room-1 leave {"user":"42"}`, "")
	})
}

func TestWhoIsThereWhenTheConfigurationChanges(t *testing.T) {
	inRoom(t, func(r *room) {
		stays := r.follows(user("stays"), "room-1")
		goes := r.follows(user("goes"), "room-1")
		hall := r.follows(user("hall"), "hall")
		r.hears(`room-1 join {"user":"stays"}, room-1 join {"user":"goes"}`, "goes stays")
		r.set("room-1")
		goes.Close()
		time.Sleep(10 * time.Second)
		r.hears(`room-1 leave {"user":"goes"}`, "stays")
		r.set("")
		r.hears(`hall join {"user":"hall"}`, "stays")
		r.members.Set(presence.Config{})
		if _, ok := r.members.Of("room-1"); ok {
			t.Error("it still has members")
		}
		stays.Close()
		time.Sleep(time.Minute)
		r.set("")
		r.hears(`hall join {"user":"hall"}`, "")
		hall.Close()
		time.Sleep(time.Minute)
		r.hears(`hall leave {"user":"hall"}`, "")
	})
}

func TestOfManyNothingIsLost(t *testing.T) {
	inRoom(t, func(r *room) {
		const n = 2500
		var all []*hub.Sub
		for i := range n {
			all = append(all, r.follows(user(fmt.Sprint(i)), "room-2"))
		}
		synctest.Wait()
		if users, _ := r.members.Of("room-2"); len(users) != n {
			t.Errorf("%d are there", len(users))
		}
		for _, s := range all {
			s.Close()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if users, _ := r.members.Of("room-2"); len(users) != 0 {
			t.Errorf("%d are there", len(users))
		}
		if got := r.hub.Stats().Published[presence.Source]; got != 2*n {
			t.Errorf("%d events", got)
		}
	})
}
