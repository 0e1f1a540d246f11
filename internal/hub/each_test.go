package hub_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// say publishes what a chat's file holds from now on.
func (r stampRig) say(text string) {
	r.Helper()
	r.drafts(hub.Draft{Channel: "chat", Data: []byte(text), ContentType: "text/plain", State: true, Kept: true, Source: "file"})
}

// chatter is a client that asks again with each answer's stamp.
type chatter struct {
	r     stampRig
	stamp int64
}

func (r stampRig) chatter() *chatter { return &chatter{r: r} }

// ask asks with the stamp, and returns what it gets at once, "-" for nothing.
func (c *chatter) ask() string {
	c.r.Helper()
	f := c.r.subscribe(hub.EachAfterStamp(c.stamp), "chat")
	defer f.Close()
	return c.read(f.Next())
}

func (c *chatter) read(d *hub.Delivery) string {
	c.r.Helper()
	if d == nil {
		return "-"
	}
	if len(d.Events) != 1 {
		c.r.Errorf("%d events at once", len(d.Events))
	}
	c.stamp = d.Events[0].Stamp
	return string(d.Events[0].Data)
}

func (c *chatter) wants(want string) {
	c.r.Helper()
	if got := c.ask(); got != want {
		c.r.Errorf("got %q, want %q", got, want)
	}
}

func TestEachOfSeveralEventsInOneSecondIsRead(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		c := r.chatter()
		c.wants("-") // there is no file
		r.say("a")
		c.wants("a")
		c.wants("-")
		// Both come while nobody waits.
		r.say("b")
		r.say("c")
		c.wants("b")
		c.wants("c")
		c.wants("-")
		// Who has nothing yet begins with what is now.
		fresh := r.chatter()
		fresh.wants("c")
		fresh.wants("-")
		// Who was away for longer reads on where it was.
		r.say("d")
		r.clock.Advance(time.Minute)
		r.say("e")
		fresh.wants("d")
		fresh.wants("e")
		fresh.wants("-")
	})
}

func TestWhoWaitsForEachGetsOneAndThenTheNext(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		c := r.chatter()
		for i := range 5 {
			f := r.subscribe(hub.EachAfterStamp(c.stamp), "chat")
			if d := f.Next(); d != nil {
				t.Fatalf("got %s at once", show(d))
			}
			r.say(fmt.Sprint("a", i))
			if got, want := c.read(f.take()), fmt.Sprint("a", i); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			f.Close()
		}
		if ahead := c.stamp - r.zero; ahead != 4 {
			t.Errorf("five events in one second ended at second %d", ahead)
		}
		// A batch is read one by one, too.
		f := r.subscribe(hub.EachAfterStamp(c.stamp), "chat")
		f.Next()
		say := func(s string) hub.Draft {
			return hub.Draft{Channel: "chat", Data: []byte(s), ContentType: "text/plain"}
		}
		r.clock.Advance(10 * time.Second)
		r.drafts(say("x"), say("y"))
		if got := c.read(f.take()); got != "x" {
			t.Errorf("got %q, want the first", got)
		}
		f.Close()
		c.wants("y")
	})
}

// Past what stamps may run ahead, events share one: the last stands for all.
func TestAfterABurstTheLastIsRead(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		r.say("first")
		c := r.chatter()
		c.wants("first")
		for i := range 50 {
			r.say(fmt.Sprint(i))
		}
		last := ""
		for range 50 {
			got := c.ask()
			if got == "-" {
				break
			}
			last = got
		}
		if last != "49" {
			t.Errorf("the last that is read is %q", last)
		}
		r.say("later")
		c.wants("-") // stamps are as far ahead as they may be
		r.clock.Advance(2 * time.Second)
		synctest.Wait()
		c.wants("later")
		c.wants("-")
	})
}

// Where stamps are as far ahead as they may be, an event shares one until it gets
// its own: nobody gets it by both.
func TestAnEventThatIsOwedAStampIsReadOnce(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		early := r.chatter()
		last := ""
		for i := 0; early.stamp < r.zero+5; i++ {
			last = fmt.Sprint(i)
			r.say(last)
			early.wants(last)
		}
		late := &chatter{r: r, stamp: early.stamp - 1}
		waits := r.subscribe(hub.EachAfterStamp(early.stamp), "chat")
		waits.Next()
		r.say("shared")
		late.wants(last)
		late.wants("-")
		early.wants("-")
		fresh := r.chatter()
		fresh.wants(last)
		r.clock.Advance(2 * time.Second)
		synctest.Wait()
		if got := early.read(waits.take()); got != "shared" {
			t.Errorf("who waited got %q", got)
		}
		for _, c := range []*chatter{late, fresh} {
			c.wants("shared")
			c.wants("-")
		}
		early.wants("-")
	})
}

// Who looks at the thing anew meanwhile, as behind a configuration that did not, pays
// nothing of that.
func TestALookPaysNoStampThatIsOwed(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		say := func(data string, quiet bool) {
			r.drafts(hub.Draft{
				Channel: "chat", Data: []byte(data), ContentType: "text/plain", Quiet: quiet, State: true, Kept: true, Source: "file",
			})
		}
		r.clock.Advance(500 * time.Millisecond)
		early := r.chatter()
		for i := 0; early.stamp < r.zero+5; i++ {
			say(fmt.Sprint(i), false)
			early.wants(fmt.Sprint(i))
		}
		waits := r.subscribe(hub.EachAfterStamp(early.stamp), "chat")
		waits.Next()
		say("shared", false)
		r.clock.Advance(600 * time.Millisecond)
		say("shared", true)
		r.clock.Advance(2 * time.Second)
		synctest.Wait()
		if got := early.read(waits.take()); got != "shared" {
			t.Errorf("who waited got %q", got)
		}
	})
}

func TestWhatWasThereBeforeIsReadByWhoHasLess(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		before := func(changed int64) {
			r.drafts(hub.Draft{
				Channel: "chat", Data: []byte("before"), ContentType: "text/plain", Changed: time.Unix(r.zero+changed, 0),
				Quiet: true, State: true, Kept: true, Source: "file",
			})
		}
		early := r.subscribe(hub.EachAfterStamp(0), "chat")
		known := r.subscribe(hub.EachAfterStamp(r.zero-7), "chat")
		early.Next()
		known.Next()
		before(-7)
		c := r.chatter()
		if got := c.read(early.take()); got != "before" {
			t.Errorf("who has nothing got %q", got)
		}
		if d := known.take(); d != nil {
			t.Errorf("who has it got %s", show(d))
		}
		c.wants("-")
		r.chatter().wants("before")
		r.say("news")
		if got := c.read(known.take()); got != "news" {
			t.Errorf("who has it got %q", got)
		}
	})
}

// A file is looked at anew after a configuration without its watch.
func TestAStateThatIsSeenAgainIsNoSecondEvent(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		seen := func(text string) {
			r.drafts(hub.Draft{
				Channel: "chat", Data: []byte(text), ContentType: "text/plain", Changed: r.clock.Now(),
				Quiet: true, State: true, Kept: true, Source: "file",
			})
		}
		r.say("a")
		c := r.chatter()
		c.wants("a")
		at := r.hub.Cursor()
		r.hub.Gone("chat")
		seen("a")
		c.wants("-")
		r.chatter().wants("a")
		if f := r.subscribe(hub.After(at), "chat"); f.Next() != nil {
			t.Error("who follows by a cursor got it again")
		}
		seen("b")
		c.wants("b")
		seen("a") // it is what it was, but not what it was last
		c.wants("a")
		if d := r.subscribe(hub.After(at), "chat").Next(); d == nil || len(d.Events) != 2 {
			t.Errorf("who follows by a cursor got %s", show(d))
		}
	})
}

func TestAStateOutlivesTheHistoryWhileItsThingIsThere(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		r.limit(func(l *hub.Limits) { l.HistoryCount, l.HistoryAge = 0, time.Minute })
		r.say("old")
		r.say("state")
		r.publish("other:x")
		r.clock.Advance(time.Hour)
		synctest.Wait()
		r.chatter().wants("state")
		if s := r.hub.Stats(); s.Events != 1 {
			t.Errorf("%d events are kept", s.Events)
		}
		// It bars the way of nothing that is younger.
		r.publish("other:y")
		r.clock.Advance(time.Hour)
		synctest.Wait()
		if s := r.hub.Stats(); s.Events != 1 {
			t.Errorf("%d events are kept", s.Events)
		}
		r.hub.Gone("chat")
		r.publish("other:z") // the sweep runs again
		r.clock.Advance(time.Hour)
		synctest.Wait()
		if s := r.hub.Stats(); s.Events != 0 {
			t.Errorf("%d events are kept of nothing", s.Events)
		}
		r.chatter().wants("-")
	})
}

// Publishers and a reader that comes and goes: the reader reads everything once
// and in order, as long as the clock lets stamps rise.
func TestAReaderOfEachLosesNothing(t *testing.T) {
	stampBubble(t, func(r stampRig) {
		const n = 300
		var publisher sync.WaitGroup
		defer publisher.Wait()
		publisher.Go(func() {
			for i := range n {
				_, _ = r.hub.Publish(context.Background(), []hub.Draft{{Channel: "chat", Data: fmt.Append(nil, i), ContentType: "text/plain"}})
				r.clock.Advance(time.Second / 2)
				if i%4 == 3 {
					r.clock.Advance(3 * time.Second)
				}
				time.Sleep(time.Millisecond)
			}
		})
		c := r.chatter()
		for want := 0; want < n; {
			f := r.subscribe(hub.EachAfterStamp(c.stamp), "chat")
			d := f.Next()
			if d == nil {
				d = <-f.told
			}
			f.Close()
			if got := c.read(d); got != fmt.Sprint(want) {
				t.Fatalf("got %q, want %d", got, want)
			}
			want++
			if want%7 == 0 {
				time.Sleep(3 * time.Millisecond)
			}
		}
	})
}
