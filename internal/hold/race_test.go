package hold_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/dialect/ssetest"
	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// follow asks again and again until it has read the event that says so, and
// wants that it read 0, 1, 2 … once each. ask gives what one answer had and the
// cursor that came with it.
func follow(t *testing.T, events int, from string, ask func(string) ([]string, string)) {
	t.Helper()
	cursor := from
	for next := 0; next < events; {
		var got []string
		got, cursor = ask(cursor)
		for _, data := range got {
			if data != strconv.Itoa(next) {
				t.Errorf("got %s, want %d", data, next)
				return
			}
			next++
		}
	}
}

// poller asks in the native dialect, for less than wait.
func (r *rig) poller(wait time.Duration) func(string) ([]string, string) {
	return func(cursor string) (got []string, _ string) {
		req := get("/comet/a?since=" + cursor)
		h := r.hold(req)
		h.Wait = rand.N(wait)
		ctx, hang := context.WithCancel(req.Context())
		defer hang()
		if rand.IntN(8) == 0 {
			defer time.AfterFunc(rand.N(wait), hang).Stop()
		}
		c := newClient()
		if rand.IntN(8) == 0 {
			c.takes = 0 // the answer is lost on the way
		}
		if _, err := h.Serve(c, req.WithContext(ctx)); err != nil {
			r.Error(err)
		}
		if len(c.body) == 0 {
			return nil, cursor
		}
		a := r.answer(c)
		if a.Gap {
			r.Error("a gap")
		}
		for _, e := range a.Events {
			got = append(got, e.Data)
		}
		return got, a.Cursor
	}
}

// streamer reads streams that break after some writes.
func (r *rig) streamer(wait time.Duration) func(string) ([]string, string) {
	return func(cursor string) (got []string, _ string) {
		req := get("/comet/a?as=sse&since=now")
		req.Header.Set("Last-Event-ID", cursor)
		h := r.hold(req)
		h.Heartbeat = time.Duration(1 + rand.Int64N(int64(wait)))
		ctx, hang := context.WithCancel(req.Context())
		defer hang()
		c := newClient()
		c.takes = rand.IntN(4)
		if rand.IntN(4) == 0 {
			defer time.AfterFunc(rand.N(wait), hang).Stop()
		}
		if _, err := h.Serve(c, req.WithContext(ctx)); err != nil {
			r.Error(err)
		}
		s := ssetest.Parse(c.read())
		for _, m := range s.Messages {
			if m.Type != "message" {
				r.Errorf("a %s", m.Type)
			}
			got = append(got, m.Data)
		}
		if s.ID == "" {
			s.ID = cursor
		}
		return got, s.ID
	}
}

// race has clients of both kinds follow while events come at most every wait.
func (r *rig) race(events int, wait time.Duration) {
	from := r.hub.Cursor().String()
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() { follow(r.T, events, from, r.poller(wait)) })
		clients.Go(func() { follow(r.T, events, from, r.streamer(wait)) })
	}
	for i := range events {
		r.publish("a", strconv.Itoa(i))
		if rand.IntN(4) > 0 {
			pause := time.NewTimer(rand.N(wait))
			<-pause.C
		}
	}
	clients.Wait()
	r.wantHolds(0)
}

// In fake time of which there are few instants: the event, the end of the wait, the
// heartbeat and the client's end meet in the same instant all the time.
func TestWhoFollowsCursorsSeesEachEventOnceWhateverMeets(t *testing.T) {
	bubble(t, func(r *rig) { r.race(3000, 4) })
}

func TestWhoFollowsCursorsSeesEachEventOnce(t *testing.T) {
	newRig(t).race(3000, 200*time.Microsecond)
}

// watched is an answer of which a test sees how it is asked.
type watched struct {
	hold.Answer
	t    *testing.T
	open hub.Cursor
	// events is how many deliveries there were.
	events int
}

func (w *watched) Class() string { return fmt.Sprintf("watched %p", w) } // shares no encoding

func (w *watched) Open(at hub.Cursor) []byte {
	w.open = at
	return w.Answer.Open(at)
}

func (w *watched) Events(d *hub.Delivery) []byte {
	if w.events++; w.events == 1 && w.open.Seq >= d.Events[0].Seq {
		w.t.Errorf("the stream began at %v and then gave event %d: who is lost between loses it", w.open, d.Events[0].Seq)
	}
	return w.Answer.Events(d)
}

// An event may come while a stream opens, too late for the first look and too
// early to be waited for.
func TestAStreamNeverBeginsBehindAnEventThatItStillOwes(t *testing.T) {
	r := newRig(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 5000 {
			req := get("/comet/a?as=sse")
			h := r.hold(req)
			h.Answer = &watched{Answer: h.Answer, t: t}
			c := newClient()
			c.takes = 1
			if _, err := h.Serve(c, req); err != nil {
				t.Error(err)
			}
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
			r.publish("a", "x")
		}
	}
}

// In the seed's dialect every touch is followed by a call, though not each by
// its own.
func TestWhoFollowsStampsHearsOfTheLastTouch(t *testing.T) {
	bubble(t, func(r *rig) {
		ask := func(since int64) int64 {
			req := get(fmt.Sprintf("/comet.php?&subscribed[a]=%d&17", since))
			h := r.hold(req)
			h.Wait = rand.N(2 * time.Second)
			c := newClient()
			if _, err := h.Serve(c, req); err != nil || c.status != http.StatusOK {
				t.Error(err, c.status)
			}
			var got struct {
				S int
				K map[string]int64
			}
			if err := json.Unmarshal(c.body, &got); err != nil {
				t.Fatal(err)
			}
			if got.S == 1 && got.K["a"] <= since {
				t.Errorf("asked since %d, got %s", since, c.body)
			}
			return max(since, got.K["a"])
		}
		done := make(chan struct{})
		var mu sync.Mutex
		var seen []int64
		r.publish("a", "")
		first, _ := r.hub.Info("a")
		go func() {
			defer close(done)
			for since := first.Stamp; ; {
				since = ask(since)
				mu.Lock()
				seen = append(seen, since)
				mu.Unlock()
				select {
				case <-r.stop:
					return
				default:
				}
			}
		}()
		for range 500 {
			time.Sleep(rand.N(3 * time.Second))
			r.publish("a", "")
			before, _ := r.hub.Info("a")
			time.Sleep(12 * time.Second) // stamps are at most 5 s ahead
			synctest.Wait()
			mu.Lock()
			if after, _ := r.hub.Info("a"); !slices.Contains(seen, after.Stamp) || after.Stamp < before.Stamp {
				t.Errorf("the stamp is %d, and the client read %d", after.Stamp, seen)
			}
			seen = seen[:0]
			mu.Unlock()
		}
		close(r.stop)
		<-done
	})
}
