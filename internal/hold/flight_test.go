package hold_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// unread asks by a connection of its own, which nobody reads.
func unread(t *testing.T, p pipes, protocols *http.Protocols, target string) {
	t.Helper()
	transport := &http.Transport{
		Protocols: protocols, DialContext: p.dial,
		// On HTTP/2 the client's own room is small, too.
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10},
	}
	t.Cleanup(transport.CloseIdleConnections)
	go func() {
		resp, err := (&http.Client{Transport: transport}).Get("http://x" + target)
		if err == nil {
			t.Cleanup(func() { _ = resp.Body.Close() })
		}
	}()
	synctest.Wait()
}

// What readers do not take is cut when there is too much of it, the oldest first
// and at once, not when their time is over.
func TestReadersWhoDoNotReadAreCutWhenTheyTakeTooMuch(t *testing.T) {
	const size, room, many = 1 << 20, 4, 12
	one, two := new(http.Protocols), new(http.Protocols)
	one.SetHTTP1(true)
	two.SetUnencryptedHTTP2(true)
	for name, protocols := range map[string]*http.Protocols{"HTTP/1.1": one, "HTTP/2": two} {
		for _, as := range []string{"poll", "sse", "stream", "multipart"} {
			t.Run(name+" "+as, func(t *testing.T) {
				bubble(t, func(r *rig) {
					limits := r.hub.Limits()
					limits.InFlightBytes, limits.HistoryBytes, limits.TotalBytes = 2*(room*size+size/2), 4*size, 64*size
					r.hub.SetLimits(limits)
					p, reports, over := r.servePipes(protocols)
					defer over()
					began := time.Now()
					for i := range many {
						channel := fmt.Sprint("c", i)
						r.publish(channel, strings.Repeat("x", size))
						unread(r.T, p, protocols, "/comet/"+channel+"?since=all&as="+as)
						if got := r.hub.Stats().InFlight; got > limits.InFlightBytes/2 || got < size*int64(min(i, room-1)) {
							t.Errorf("%d bytes are on their way to %d", got, i+1)
						}
					}
					for range many - room {
						if report := <-reports; report.Outcome != hold.Slow || report.Events != 0 || !report.Abort {
							t.Errorf("got %+v", report)
						}
					}
					if took := time.Since(began); took != 0 {
						t.Errorf("took %v", took)
					}
					if len(reports) != 0 {
						t.Errorf("%d more ended", len(reports))
					}
					// Nothing was lost: who comes back and reads has it.
					s := r.serve("/comet/c0?since=all&wait=0")
					r.ended(s, hold.Event, 1)
				})
			})
		}
	}
}

// The same to all is in memory once, however many do not read it.
func TestReadersOfTheSameTakeItsRoomOnce(t *testing.T) {
	for name, limit := range map[string]int{"on and on": 0, "recycled": 1000} {
		t.Run(name, func(t *testing.T) { readersOfTheSame(t, limit) })
	}
}

func readersOfTheSame(t *testing.T, limit int) {
	bubble(t, func(r *rig) {
		r.change = func(h *hold.Hold) { h.Answer = short{h.Answer, limit} }
		limits := r.hub.Limits()
		limits.InFlightBytes = 4 << 20
		r.hub.SetLimits(limits)
		p, reports, over := r.servePipes(nil)
		defer over()
		const many = 50
		for range many {
			unread(r.T, p, nil, "/comet/a?as=sse")
		}
		r.wantHolds(many)
		r.publish("a", strings.Repeat("x", 1<<20))
		synctest.Wait()
		if got := r.hub.Stats().InFlight; got < 1<<20 || got > 3<<19 {
			t.Errorf("%d bytes are on their way", got)
		}
		for range many {
			if report := <-reports; report.Outcome != hold.Slow || report.Abort { // by their own time
				t.Errorf("got %+v", report)
			}
		}
		if got := r.hub.Stats().InFlight; got != 0 {
			t.Errorf("%d bytes are left", got)
		}
	})
}

// A part that is repeated as a sign of life is in memory as long as the stream. It
// goes when there is no room, and the stream stays.
func TestARepeatedPartGoesWhenItsRoomIsNeeded(t *testing.T) {
	bubble(t, func(r *rig) {
		limits := r.hub.Limits()
		limits.InFlightBytes = 2 * (300 << 10)
		r.hub.SetLimits(limits)
		part := func(channel string) *held {
			r.publish(channel, strings.Repeat(channel, 200<<10))
			h := r.serve("/comet/" + channel + "?since=all&as=multipart&send=data")
			if n := strings.Count(string(h.read()), strings.Repeat(channel, 200<<10)); n != 1 {
				t.Fatalf("%d times", n)
			}
			return h
		}
		a := part("a")
		if got := r.hub.Stats().InFlight; got < 200<<10 || got > 300<<10 {
			t.Errorf("%d bytes are kept", got)
		}
		b := part("b")
		if got := r.hub.Stats().InFlight; got < 200<<10 || got > 300<<10 {
			t.Errorf("%d bytes are kept", got)
		}
		time.Sleep(heartbeat + time.Second)
		synctest.Wait()
		if n := strings.Count(string(a.read()), strings.Repeat("a", 200<<10)); n != 1 {
			t.Errorf("the first is there %d times", n)
		}
		if n := strings.Count(string(b.read()), strings.Repeat("b", 200<<10)); n != 2 {
			t.Errorf("the second is there %d times", n)
		}
		r.publish("a", "more")
		synctest.Wait()
		if !strings.Contains(string(a.read()), "more") {
			t.Error("the stream is not there any more")
		}
		a.hang()
		b.hang()
		r.ended(a, hold.ClientGone, 2)
		r.ended(b, hold.ClientGone, 1)
		if got := r.hub.Stats().InFlight; got != 0 {
			t.Errorf("%d bytes are left", got)
		}
	})
}

// Whoever does not take his answer is not held any more, but counts as if.
func TestWhoDoesNotReadHisAnswerHasNoMore(t *testing.T) {
	bubble(t, func(r *rig) {
		limits := r.hub.Limits()
		limits.Holds = 3
		r.hub.SetLimits(limits)
		r.publish("a", strings.Repeat("x", 1<<20))
		p, reports, over := r.servePipes(nil)
		defer over()
		for range 3 {
			unread(r.T, p, nil, "/comet/a?since=all")
		}
		r.wantHolds(0)
		h := r.serve("/comet/a")
		r.ended(h, hold.Denied, 0)
		if body := string(h.body); h.status != http.StatusServiceUnavailable || !strings.Contains(body, hub.ErrTooManyHolds.Error()) || h.header.Get("Retry-After") == "" {
			t.Errorf("got %d %q", h.status, body)
		}
		over()
		for range 3 {
			<-reports
		}
		r.ended(r.serve("/comet/a?since=all"), hold.Event, 1)
	})
}
