package hold

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// secretive admits to what is known, asks about "ask-…", and denies the rest.
func secretive(channels []string) (Admission, func() Admission) {
	decide := func() (a Admission) {
		for _, name := range channels {
			if strings.HasPrefix(name, "secret") {
				a.Denied = append(a.Denied, name)
				a.Reason = "it is secret"
			} else {
				a.Allowed = append(a.Allowed, name)
			}
		}
		return a
	}
	if slices.ContainsFunc(channels, func(name string) bool { return strings.HasPrefix(name, "ask") }) {
		return Admission{}, decide
	}
	return decide(), nil
}

// wants compares what was said, without positions.
func (c *conversation) wants(want ...string) {
	c.Helper()
	got := c.hears()
	for i, text := range got {
		if at := strings.Index(text, `,"cursor":`); at > 0 {
			got[i] = text[:at]
		}
		if strings.HasPrefix(text, `{"channel":`) {
			got[i] = text[strings.Index(text, `"data":`):]
		}
	}
	if !slices.Equal(got, want) {
		c.Errorf("got %q, want %q", got, want)
	}
}

func TestAWishMayBeDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := converse(t)
		c.admit = secretive
		c.hears()
		c.says(ws.NewTextFrame([]byte(`{"subscribe":["b","secret-1","c","secret-2"]}`)))
		c.wants(`{"subscribed":["b","c"]`, `{"denied":["secret-1","secret-2"],"error":"it is secret"}`)
		c.says(ws.NewTextFrame([]byte(`{"unsubscribe":["a"],"subscribe":["secret-1"]}`)))
		c.wants(`{"unsubscribed":["a"]`, `{"denied":["secret-1"],"error":"it is secret"}`)
		for _, channel := range []string{"a", "b", "secret-1"} {
			c.publish(channel, channel)
		}
		c.wants(`"data":"b"}`)
	})
}

// What is asked about keeps later wishes waiting, and events not.
func TestWishesAreGrantedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := converse(t)
		c.admit = secretive
		c.hears()
		at := c.hub.Cursor().String()
		c.says(ws.NewTextFrame([]byte(`{"unsubscribe":["x"],"subscribe":["ask-1","secret"],"since":"`+at+`"}`)),
			ws.NewTextFrame([]byte(`{"subscribe":["b"]}`)), ws.NewPingFrame([]byte("1")))
		c.wants(`{"unsubscribed":["x"]`, "pong 1")
		c.says(ws.NewTextFrame([]byte(`{"unsubscribe":["ask-1"],"subscribe":["ask-2"]}`)), ws.NewTextFrame([]byte(`{"unsubscribe":["b"]}`)))
		c.wants()
		c.publish("ask-1", "1")
		c.publish("b", "2")
		c.publish("a", "3")
		c.wants(`"data":"3"}`)
		c.answered()
		c.wants(`{"subscribed":["ask-1"]`, `{"denied":["secret"],"error":"it is secret"}`,
			`{"subscribed":["b"]`, `{"unsubscribed":["ask-1"]`)
		c.publish("b", "4")
		c.wants(`"data":"4"}`)
		c.answered()
		c.wants(`{"subscribed":["ask-2"]`, `{"unsubscribed":["b"]`)
		if c.wishes != nil {
			t.Errorf("%d wishes are left", len(c.wishes))
		}
	})
}

// The first wish asks before anything else is said: events still come.
func TestEventsGoOnWhileAWishIsAskedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := converse(t)
		c.admit = secretive
		c.hears()
		c.says(ws.NewTextFrame([]byte(`{"subscribe":["ask"]}`)))
		c.publish("a", "1")
		c.wants(`"data":"1"}`)
		c.answered()
		c.wants(`{"subscribed":["ask"]`)
	})
}

func TestTheEarliestEndOfAllRightsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := converse(t)
		c.hears()
		expires := time.Now().Add(time.Hour)
		c.limit(&hub.Who{Expires: expires})
		c.admit = func(channels []string) (Admission, func() Admission) {
			expires = expires.Add(-time.Minute)
			return Admission{Allowed: channels, Expires: expires}, nil
		}
		c.says(ws.NewTextFrame([]byte(`{"subscribe":["b"]}`)))
		c.admit = func(channels []string) (Admission, func() Admission) { return Admission{Allowed: channels}, nil }
		c.says(ws.NewTextFrame([]byte(`{"subscribe":["c"]}`)))
		if left := c.expiry.Left().Round(time.Second); left != 59*time.Minute {
			t.Errorf("it ends in %v", left)
		}
		c.hears()
		time.Sleep(59 * time.Minute)
		c.due()
		if got := c.hears(); len(got) != 2 || !strings.Contains(got[0], `"retry":`) || got[1] != "close 1001 come back" {
			t.Errorf("%q", got)
		}
		c.flushed()
		if r := c.to.reports; len(r) != 1 || r[0].Outcome != Expired {
			t.Errorf("%+v", r)
		}
	})
}

func TestAWishForWhatWasTakenBackEndsTheTalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := converse(t)
		c.leave()
		who := &hub.Who{User: "42", Granted: time.Now()}
		var err error
		if c.sub, err = c.hub.Subscribe(hub.SubConfig{Channels: []string{"a"}, Waker: &c.base, Who: who}); err != nil {
			t.Fatal(err)
		}
		c.news()
		if _, err := c.hub.Kick(hub.Kick{User: "42", Channel: "b"}); err != nil {
			t.Fatal(err)
		}
		c.hears()
		c.says(ws.NewTextFrame([]byte(`{"subscribe":["b"]}`)))
		if due := c.when(); due == 0 || due > park.Now() {
			t.Fatal("it is not over at once")
		}
		c.due()
		c.flushed()
		if r := c.to.reports; len(r) != 1 || r[0].Outcome != Kicked {
			t.Errorf("%+v", r)
		}
	})
}
