package source

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// TestWhoWorksWithoutAPauseRests as long as he worked, within bounds.
func TestWhoWorksWithoutAPauseRests(t *testing.T) {
	for _, c := range []struct {
		worked, rests time.Duration
		first         bool
	}{
		{worked: shift - 1},
		{worked: shift, rests: shift},
		{worked: 3 * shift, rests: 3 * shift},
		{worked: time.Second, rests: longestShift},
		{worked: time.Second, first: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := &dir{files: &Files{}, ctx: context.Background(), effort: newEffort(), rested: time.Now(), first: c.first}
			time.Sleep(c.worked)
			began := time.Now()
			d.rest()
			if got := time.Since(began); got != c.rests {
				t.Errorf("after %s it rests %s, not %s", c.worked, got, c.rests)
			}
			if d.rest(); time.Since(began) != c.rests {
				t.Error("it rests twice")
			}
		})
	}
}

// TestWhoAlwaysWorksHasAFifthOfAProcessor, and half of one for a while before.
func TestWhoAlwaysWorksHasAFifthOfAProcessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dir{files: &Files{}, ctx: context.Background(), effort: newEffort(), rested: time.Now()}
		work := func(most time.Duration) (worked, took time.Duration) {
			began := time.Now()
			for ; worked < most; worked += shift {
				time.Sleep(shift)
				d.rest()
			}
			return worked, time.Since(began)
		}
		if worked, took := work(ahead); took != 2*worked {
			t.Errorf("%s of work take %s at first", worked, took)
		}
		work(ahead) // what is left of it: some comes in while it works
		if worked, took := work(10 * ahead); took < 4*worked || took > 6*worked {
			t.Errorf("%s of work take %s in the end", worked, took)
		}
		d.rested = time.Now().Add(10 * ahead)
		time.Sleep(10 * ahead)
		if worked, took := work(ahead); took != 2*worked {
			t.Errorf("%s of work take %s after a pause", worked, took)
		}
	})
}

// slowSink takes its time.
type slowSink struct {
	Sink
	each time.Duration
}

func (s slowSink) Publish([]hub.Draft) { time.Sleep(s.each) }

// TestWhoHandsMuchOverRests, also where it was read at one go; a few lines have no rest.
// And what a scan rests does not put the next one off.
func TestWhoHandsMuchOverRests(t *testing.T) {
	const batches, each = 3, 4 * shift
	for _, c := range []struct {
		name         string
		lines, works int
		rests        bool
	}{
		{"many", batches * maxBatch, batches, true},
		{"few", 2, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t)
				e.f.noInotify = true
				must(0, e.f.Add("hub", must(ParseWatch("/d/*.l", string(Lines))), slowSink{e.sink, each}))
				e.append("a.l", strings.Repeat("x\n", c.lines))
				work := time.Duration(c.works) * each
				took := work
				if c.rests {
					took *= 2
				}
				e.f.manual = false // it would not rest
				began := time.Now()
				e.f.lookAll()
				if got := time.Since(began); got != took {
					t.Errorf("%s of work take %s, not %s", work, got, took)
				}
				if next, most := e.f.dirs["/d"].nextScan.Sub(e.now), max(e.f.poll, pollShare*work); next > most {
					t.Errorf("after %s of work the next scan is %s away, more than %s", work, next, most)
				}
				e.f.manual = true
			})
		})
	}
}

// TestNobodyRestsBeforeAFirstLook: a reload waits for it.
func TestNobodyRestsBeforeAFirstLook(t *testing.T) {
	const batches, each = 10, 4 * shift
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		e.f.noInotify = true
		must(0, e.f.Add("hub", must(ParseWatch("/d/*.l", string(Lines))), slowSink{e.sink, each}))
		e.append("a.l", strings.Repeat("x\n", batches*maxBatch))
		d := e.f.dirs["/d"]
		d.inbox.post(func(m *mail) { m.scan = true })
		e.f.manual = false // it would not rest
		began := time.Now()
		over := make(chan struct{})
		go func() {
			defer close(over)
			d.look()
		}()
		time.Sleep(each + 1) // it rests
		if _, _, err := e.f.add("hub", must(ParseWatch("/d/*.m", string(Lines))), e.sink); err != nil {
			t.Fatal(err)
		}
		<-over
		if took := time.Since(began); took != (batches+1)*each {
			t.Errorf("%s of work take %s while somebody waits", batches*each, took)
		}
		e.f.manual = true
	})
}

// TestARestEndsWithItsDirectory, which somebody waits for.
func TestARestEndsWithItsDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dir{files: &Files{}, effort: newEffort(), rested: time.Now()}
		d.ctx, d.cancel = context.WithCancel(context.Background())
		time.Sleep(time.Second)
		d.cancel()
		began := time.Now()
		if d.rest(); time.Since(began) != 0 {
			t.Errorf("it rests %s", time.Since(began))
		}
	})
}
