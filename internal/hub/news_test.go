package hub_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// news asks and writes the answer as "a b @2 gap".
func (r *rig) news(since hub.Cursor, channels ...string) string {
	n := r.hub.News(channels, since)
	words := append(n.Channels, fmt.Sprintf("@%d", n.At.Seq))
	if n.Gap {
		words = append(words, "gap")
	}
	if n.At.Epoch != r.hub.Cursor().Epoch {
		words = append(words, "of another epoch")
	}
	return strings.Join(words, " ")
}

func TestNewsNamesTheChannelsWhereSomethingHappenedSince(t *testing.T) {
	for name, c := range map[string]struct {
		publish  []string
		keep     int // of each channel; 0: all
		since    uint64
		epoch    hub.Epoch // added to the hub's
		channels string
		want     string
	}{
		"nothing happened":                         {nil, 0, 0, 0, "a b", "@0"},
		"one of two":                               {[]string{"a:1", "b:2"}, 0, 1, 0, "a b", "b @2"},
		"in the order asked":                       {[]string{"a:1", "b:2", "c:3"}, 0, 0, 0, "c x a", "c a @3"},
		"behind the last":                          {[]string{"a:1", "a:2"}, 0, 2, 0, "a", "@2"},
		"others moved the cursor":                  {[]string{"a:1", "b:2", "b:3"}, 0, 1, 0, "a", "@3"},
		"a channel that nobody knows":              {[]string{"a:1"}, 0, 0, 0, "x", "@1"},
		"no channel":                               {[]string{"a:1"}, 0, 0, 0, "", "@1"},
		"twice as asked":                           {[]string{"a:1"}, 0, 0, 0, "a a", "a a @1"},
		"what woke nobody is in the history, too":  {[]string{"a?1"}, 0, 0, 0, "a", "a @1"},
		"ahead of the hub":                         {[]string{"a:1"}, 0, 9, 0, "a", "@9"},
		"another epoch":                            {[]string{"a:1"}, 0, 9, 1, "a x", "a x @1 gap"},
		"another epoch, no channel":                {[]string{"a:1"}, 0, 9, 1, "", "@1"},
		"older than the history":                   {[]string{"a:1", "a:2", "a:3"}, 1, 1, 0, "a", "a @3 gap"},
		"as old as the history":                    {[]string{"a:1", "a:2", "a:3"}, 1, 2, 0, "a", "a @3"},
		"only the channel that lost some is named": {[]string{"a:1", "a:2", "b:3"}, 1, 0, 0, "x a b", "a b @3 gap"},
		"nothing is kept":                          {[]string{"a:1"}, -1, 0, 0, "a", "a @1 gap"},
		"nothing is kept, and nothing missed":      {[]string{"a:1"}, -1, 1, 0, "a", "@1"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				r.longAgo(c.keep, c.publish...)
				before := r.hub.Inside()
				since := hub.Cursor{Epoch: r.hub.Cursor().Epoch + c.epoch, Seq: c.since}
				if got := r.news(since, strings.Fields(c.channels)...); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				if after := r.hub.Inside(); after != before {
					t.Errorf("the hub was %+v and became %+v", before, after)
				}
			})
		})
	}
}

func TestNewsOfAForgottenChannelIsAGap(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("a:1", "b:2", "a:3")
		epoch := r.hub.Cursor().Epoch
		r.clock.Advance(r.limits.HistoryAge + hub.IdleKeep + 3*hub.SweepEvery)
		if got := r.hub.Inside(); got.Channels != 0 || got.Floor != 3 {
			t.Fatalf("the channels must be forgotten: %+v", got)
		}
		for seq, want := range []string{"a x @3 gap", "a x @3 gap", "a x @3 gap", "@3"} {
			if got := r.news(hub.Cursor{Epoch: epoch, Seq: uint64(seq)}, "a", "x"); got != want {
				t.Errorf("since %d: got %q, want %q", seq, got, want)
			}
		}
	})
}

func TestNewsOfADeletedHistoryIsAGap(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("a:1", "b:2")
		r.hub.Delete("a")
		if got := r.news(hub.Cursor{Epoch: r.hub.Cursor().Epoch}, "a", "b"); got != "a b @2 gap" {
			t.Errorf("got %q", got)
		}
	})
}

func TestNewsAfterAResetIsAGap(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("a:1")
		before := r.hub.Cursor()
		r.hub.Reset(before.Epoch+1, 40)
		if got := r.news(before, "a"); got != "a @40 gap" {
			t.Errorf("got %q", got)
		}
	})
}

// TestNewsSaysWhatASubscriptionWouldBeGiven compares the two on random hubs.
func TestNewsSaysWhatASubscriptionWouldBeGiven(t *testing.T) {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("go test -run %s -seed %d", t.Name(), s)
	random := rand.New(rand.NewPCG(s, 0))
	for range 300 {
		bubble(t, func(r *rig) {
			r.limits = randomLimits(random)
			r.hub.SetLimits(r.limits)
			for range random.IntN(30) {
				r.publish(fmt.Sprintf("%s%c%d", name(random.IntN(modelChannels)), ":?"[random.IntN(2)], random.IntN(9)))
				switch random.IntN(6) {
				case 0:
					r.clock.Advance(time.Duration(random.IntN(200)) * time.Second)
				case 1:
					r.hub.Delete(name(random.IntN(modelChannels)))
				}
			}
			at := hub.Cursor{Epoch: r.hub.Cursor().Epoch, Seq: uint64(random.IntN(32))}
			for i := range modelChannels {
				n := r.hub.News([]string{name(i)}, at)
				s := r.subscribe(hub.After(at), name(i))
				d := s.Next()
				if told := len(n.Channels) > 0; told != (d != nil) || d != nil && n.Gap != d.Gap {
					r.Errorf("since %d in %s: news %v, gap %v; a subscription gets %s", at.Seq, name(i), n.Channels, n.Gap, show(d))
				}
				s.Close()
			}
		})
	}
}

// TestAnEventIsFoundByItsID, the newest of those that have it. Whether something has
// happened since one that is not kept, only another ID tells.
func TestAnEventIsFoundByItsID(t *testing.T) {
	bubble(t, func(r *rig) {
		r.drafts(hub.Draft{Channel: "a", ID: "x"}, hub.Draft{Channel: "a", ID: "y"}, hub.Draft{Channel: "b", ID: "x"}, hub.Draft{Channel: "b"})
		for _, c := range []struct {
			channel, id  string
			want         uint64
			found, known bool
		}{
			{"a", "x", 1, true, true}, {"a", "y", 2, true, true}, {"b", "x", 3, true, true},
			{"a", "z", 0, false, true}, {"b", "z", 0, false, false}, {"none", "x", 0, false, false},
		} {
			if at, found, known := r.hub.Behind(c.channel, c.id); at.Seq != c.want || found != c.found || known != c.known {
				t.Errorf("%s %s: got %v %v %v, want %+v", c.channel, c.id, at, found, known, c)
			}
		}
	})
}
