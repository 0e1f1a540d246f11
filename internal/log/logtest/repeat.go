package logtest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func withID(channel, id string) hub.Draft { return hub.Draft{Channel: channel, ID: id} }

func (r *rig) place(got, want hub.Place) {
	r.Helper()
	if got != want {
		r.Errorf("got place %+v, want %+v", got, want)
	}
}

func repeated(r *rig) {
	r.place(r.must(withID("a", "1"))[0], hub.Place{Seq: 1})
	r.place(r.must(draft("a"))[0], hub.Place{Seq: 2})
	r.place(r.must(withID("a", "1"))[0], hub.Place{Seq: 1, Repeated: true})
	r.place(r.must(withID("b", "1"))[0], hub.Place{Seq: 3}) // another channel's
	r.place(r.must(withID("a", "2"))[0], hub.Place{Seq: 4})
	r.place(r.must(withID("a", "1"))[0], hub.Place{Seq: 1, Repeated: true})
	r.place(r.must(draft("a"))[0], hub.Place{Seq: 5})
	if n, _ := r.applied(); n != 5 {
		r.Errorf("%d entries", n)
	}
}

func repeatedInBatch(r *rig) {
	p := r.must(withID("a", "1"), withID("b", "1"), withID("a", "1"), draft("a"))
	r.place(p[0], hub.Place{Seq: 1})
	r.place(p[1], hub.Place{Seq: 2})
	r.place(p[2], hub.Place{Seq: 1, Repeated: true})
	r.place(p[3], hub.Place{Seq: 3})
	if n, _ := r.applied(); n != 3 {
		r.Errorf("%d entries", n)
	}
}

func repeatedAtOnce(r *rig) {
	var first atomic.Int32
	var seqs sync.Map
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			p := r.must(draft("a"), withID("a", "1"))[1]
			seqs.Store(p.Seq, true)
			if !p.Repeated {
				first.Add(1)
			}
		})
	}
	wg.Wait()
	places := 0
	seqs.Range(func(any, any) bool { places++; return true })
	if first.Load() != 1 || places != 1 {
		r.Errorf("%d were the first, at %d places", first.Load(), places)
	}
	if n, _ := r.applied(); n != 21 {
		r.Errorf("%d entries", n)
	}
}

func nothingNew(r *rig) {
	r.must(withID("a", "1"))
	r.place(r.must(withID("a", "1"), withID("a", "1"))[1], hub.Place{Seq: 1, Repeated: true})
	if n, _ := r.applied(); n != 1 || r.batches != 1 {
		r.Errorf("%d entries in %d batches", n, r.batches)
	}
}

func stampOnly(r *rig) {
	stamp := hub.Draft{Channel: "a", StampOnly: true, StampTaken: true}
	r.place(r.must(stamp)[0], hub.Place{})
	r.place(r.must(draft("b"))[0], hub.Place{Seq: 1})
	p := r.must(stamp, draft("a"), stamp)
	for i, want := range []uint64{1, 2, 2} {
		r.place(p[i], hub.Place{Seq: want})
	}
	if n, e := r.applied(); n != 5 || !e.StampOnly || e.Stamp != r.clock.Now().Unix()+2 {
		r.Errorf("%d entries, the last is %+v", n, e)
	}
}

func stamps(r *rig) {
	zero := r.clock.Now().Unix()
	want := map[string]hub.StampState{}
	for i, c := range []struct {
		channel string
		taken   bool
		changed int64 // seconds from zero, 0 for none
		later   time.Duration
		stamp   int64 // as a reader expects it, beside NextStamp
	}{
		{"a", false, 0, 0, 0},
		{"a", false, 0, 0, 0},
		{"b", false, -50, 0, -50},
		{"a", true, 0, 0, 1},
		{"b", true, -50, 0, -49},
		{"a", true, 0, 3 * time.Second, 3},
		{"a", true, 0, 0, 4}, {"a", true, 0, 0, 5}, {"a", true, 0, 0, 6}, {"a", true, 0, 0, 7}, {"a", true, 0, 0, 8},
		{"a", true, 0, 0, 8},
		{"a", true, 0, time.Second, 9},
		{"a", false, 1000, 0, 9},
		{"b", true, 0, 0, 4},
	} {
		r.clock.Advance(c.later)
		d := hub.Draft{Channel: c.channel, StampTaken: c.taken}
		if c.changed != 0 {
			d.Changed = time.Unix(zero+c.changed, 0)
		}
		want[c.channel] = hub.NextStamp(want[c.channel], c.taken, d.Changed, r.clock.Now())
		r.must(d)
		_, e := r.applied()
		if e.Stamp != want[c.channel].Last || e.Stamp != zero+c.stamp {
			r.Errorf("draft %d: got %+d, want %+d", i, e.Stamp-zero, c.stamp)
		}
	}
}
