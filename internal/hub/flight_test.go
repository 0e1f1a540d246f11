package hub_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// aloft is an answer on its way, that notes when it is cut.
type aloft struct {
	*hub.Flight
	cut bool
}

func (r *rig) fly(b []byte) *aloft {
	a := new(aloft)
	a.Flight = r.hub.Fly(b, false, func() { a.cut = true })
	synctest.Wait()
	return a
}

func (r *rig) wantInFlight(want int64) {
	r.Helper()
	if got := r.hub.Stats().InFlight; got != want {
		r.Errorf("%d bytes are in flight; want %d", got, want)
	}
}

func TestWhatIsLongestOnItsWayIsCutForAllItsReaders(t *testing.T) {
	bubble(t, func(r *rig) {
		r.limit(func(l *hub.Limits) { l.InFlightBytes = 2 * 100 })
		one, two := make([]byte, 60), make([]byte, 40)
		a, b, again := r.fly(one), r.fly(two), r.fly(one)
		r.wantInFlight(100) // the same bytes count once
		c := r.fly(make([]byte, 1))
		if !a.cut || b.cut || !again.cut || c.cut {
			t.Errorf("cut: %v %v %v %v", a.cut, b.cut, again.cut, c.cut)
		}
		r.wantInFlight(41)
		if !a.Land() || !again.Land() || b.Land() || c.Land() {
			t.Error("Land must say whether it was cut")
		}
		r.wantInFlight(0)
		d := r.fly(make([]byte, 1000)) // one may always be
		r.wantInFlight(1000)
		e := r.fly(make([]byte, 1))
		if !d.cut || e.cut {
			t.Errorf("cut: %v %v", d.cut, e.cut)
		}
		d.Land()
		e.Land()
		r.wantInFlight(0)
		late := r.fly(one)
		late.Land()
		r.fly(make([]byte, 200))
		if late.cut {
			t.Error("cut after it had landed")
		}
	})
}

func TestFlightsFromManySidesComeToNothing(t *testing.T) {
	bubble(t, func(r *rig) {
		r.limit(func(l *hub.Limits) { l.InFlightBytes = 2 * 1000 })
		var shared [8][]byte
		for i := range shared {
			shared[i] = make([]byte, 300)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 1000 {
					cut := make(chan struct{})
					f := r.hub.Fly(shared[rand.IntN(len(shared))], true, func() { close(cut) })
					if rand.IntN(2) == 0 {
						runtime.Gosched()
					}
					if got := r.hub.Stats().InFlight; got > 1000 {
						t.Errorf("%d bytes", got)
					}
					select {
					case <-cut:
						if !f.Land() {
							t.Error("Land must say that it was cut")
						}
					default:
						f.Land()
					}
				}
			})
		}
		all.Wait()
		r.wantInFlight(0)
		r.limit(func(l *hub.Limits) { l.Holds = 1 })
		r.wait(hub.Since{}, "a") // nobody counts as a hold any more
	})
}

func TestWhoHasNotTakenHisAnswerCountsAsAHold(t *testing.T) {
	bubble(t, func(r *rig) {
		r.limit(func(l *hub.Limits) { l.Holds = 2 })
		one := r.hub.Fly(make([]byte, 1), true, func() {})
		r.hub.Fly(make([]byte, 1), false, func() {}) // one that has its subscription yet
		r.wait(hub.Since{}, "a")
		_, err := r.hub.Subscribe(hub.SubConfig{Channels: []string{"a"}})
		wantError(t, err, hub.ErrTooManyHolds)
		one.Land()
		r.wait(hub.Since{}, "a")
	})
}

func TestWhatPublishersSendAtOnceIsBounded(t *testing.T) {
	bubble(t, func(r *rig) {
		r.limit(func(l *hub.Limits) { l.InFlightBytes = 4 * 100 })
		a, b := r.hub.Arriving(), r.hub.Arriving()
		for _, n := range []int{30, 30} {
			if err := a.Add(n); err != nil {
				t.Error(err)
			}
		}
		wantError(t, b.Add(41), hub.ErrTooMuch)
		if err := b.Add(40); err != nil {
			t.Error(err)
		}
		r.wantInFlight(100)
		a.Close()
		a.Close()
		r.wantInFlight(40)
		b.Close()
		r.wantInFlight(0)
	})
}

// Whoever comes back from a place of his own gets an answer of his own. What is
// kept of these for others is bounded, and comes back.
func TestEncodingsThatAreKeptForOthersAreBounded(t *testing.T) {
	bubble(t, func(r *rig) {
		const channels, events, size, inFlight = 12, 12, 64 << 10, 4 << 20
		r.limit(func(l *hub.Limits) { l.InFlightBytes = inFlight })
		before := heap()
		for e := range events {
			for c := range channels {
				r.drafts(hub.Draft{Channel: fmt.Sprint("c", c), Data: bytes.Repeat([]byte{byte(e)}, size)})
			}
		}
		encode := func(d *hub.Delivery) (b []byte) {
			for _, e := range d.Events {
				b = append(b, e.Data...)
			}
			return b
		}
		asked := 0
		for c := range channels {
			for from := range 4 {
				for class := range 8 {
					s := r.subscribe(r.at(uint64(from*channels)), fmt.Sprint("c", c))
					if d := s.Next(); len(d.Encoded(fmt.Sprint(class), encode)) < size {
						t.Fatal("there is less")
					}
					s.Close()
					asked++
				}
			}
		}
		const history = channels * events * (size + hub.EventOverhead + 100)
		// A quarter for what is kept, the answer that made it too much, and slack.
		allowed := int64(history + inFlight/4 + 2*events*size + 2<<20)
		if took := heap() - before; took > allowed {
			t.Errorf("it takes %d bytes after %d answers; %d are allowed", took, asked, allowed)
		}

		// What many ask for is still made once.
		made := 0
		for range 100 {
			s := r.subscribe(r.at(5), "c0")
			s.Next().Encoded("once", func(d *hub.Delivery) []byte { made++; return encode(d) })
			s.Close()
		}
		if made > 2 { // what was there before made it too much once more
			t.Errorf("made %d times", made)
		}
		if _, err := r.hub.Publish(context.Background(), nil); err != nil {
			t.Error(err)
		}
		runtime.KeepAlive(r.hub)
	})
}
