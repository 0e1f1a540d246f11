package hold_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// short is an answer that is long enough sooner.
type short struct {
	hold.Answer
	limit int
}

func (s short) Limit() int { return s.limit }

// read is what a client has of a stream.
type read struct {
	data []string
	// cursor is the last position, "" without any.
	cursor string
	gap    bool
	// retry is after how long to come back, -1 where the stream only broke.
	retry time.Duration
}

// readLines reads as=stream.
func readLines(t *testing.T, body []byte) (got read) {
	t.Helper()
	got.retry = -1
	for line := range strings.Lines(string(body)) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		var e struct {
			Channel, Cursor, Data string
			Gap                   bool
			Retry                 *int
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Cursor == "" || got.retry >= 0 {
			t.Errorf("%v in %.99q", err, line)
		}
		got.cursor, got.gap = e.Cursor, got.gap || e.Gap
		if e.Channel != "" {
			got.data = append(got.data, e.Data)
		}
		if e.Retry != nil {
			got.retry = time.Duration(*e.Retry) * time.Millisecond
		}
	}
	return got
}

var frameCalls = regexp.MustCompile(`^<script>(?:parent\.f\((.*)\);)?c\("([a-z0-9.]+)"\)(?:;again\((\d+)\))?</script>$`)

// readFrame reads as=frame with the callback parent.f.
func readFrame(t *testing.T, body []byte) (got read) {
	t.Helper()
	got.retry = -1
	_, calls, _ := strings.Cut(string(body), "<body>\n")
	for line := range strings.Lines(calls) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		found := frameCalls.FindStringSubmatch(line)
		if found == nil || got.retry >= 0 {
			t.Errorf("got %.99q", line)
			continue
		}
		if got.cursor = found[2]; found[1] != "" {
			var e struct {
				Cursor, Data string
				Gap          bool
			}
			if err := json.Unmarshal([]byte(found[1]), &e); err != nil || e.Cursor != found[2] {
				t.Errorf("%v in %.99q", err, line)
			}
			if got.gap = got.gap || e.Gap; !e.Gap {
				got.data = append(got.data, e.Data)
			}
		}
		if found[3] != "" {
			ms, _ := strconv.Atoi(found[3])
			got.retry = time.Duration(ms) * time.Millisecond
		}
	}
	return got
}

// growing are the streams that clients keep whole in memory.
var growing = map[string]func(*testing.T, []byte) read{
	"/comet/a?as=stream":                  readLines,
	"/comet/a?as=frame&callback=parent.f": readFrame,
}

// recycler reads streams that end every few events, break, hang up, or are stopped.
func (r *rig) recycler(target string, reads func(*testing.T, []byte) read, wait time.Duration, outcomes *sync.Map) func(string) ([]string, string) {
	return func(cursor string) ([]string, string) {
		req := get(target + "&since=" + cursor)
		h := r.hold(req)
		h.Answer = short{h.Answer, 1 + rand.IntN(8000)}
		h.Heartbeat = time.Duration(1 + rand.Int64N(int64(wait)))
		c := newClient()
		if rand.IntN(4) == 0 {
			c.takes = rand.IntN(4)
		}
		if rand.IntN(8) == 0 {
			stop := make(chan struct{})
			h.Ends.Stop = stop
			defer time.AfterFunc(rand.N(wait), func() { close(stop) }).Stop()
		}
		// Nothing else ends one that has read everything.
		ctx, hang := context.WithCancel(req.Context())
		defer hang()
		defer time.AfterFunc(rand.N(20*wait), hang).Stop()
		report, err := h.Serve(c, req.WithContext(ctx))
		if err != nil {
			r.Error(err)
		}
		outcomes.Store(report.Outcome, true)
		got := reads(r.T, c.read())
		if got.gap || report.Events != len(got.data) {
			r.Errorf("got %+v, reported %+v", got, report)
		}
		if report.Outcome == hold.Recycled && c.takes < 0 && ctx.Err() == nil && (got.retry != 0 || len(c.read()) < h.Answer.Limit()) {
			r.Errorf("recycled after %d bytes of %d, to come back after %v", len(c.read()), h.Answer.Limit(), got.retry)
		}
		if got.cursor == "" {
			got.cursor = cursor
		}
		return got.data, got.cursor
	}
}

func TestWhoFollowsRecycledStreamsSeesEachEventOnce(t *testing.T) {
	test := func(r *rig, events int, wait time.Duration) {
		from := r.hub.Cursor().String()
		var clients sync.WaitGroup
		var outcomes sync.Map
		for target, reads := range growing {
			for range 2 {
				clients.Go(func() { follow(r.T, events, from, r.recycler(target, reads, wait, &outcomes)) })
			}
		}
		for i := range events {
			r.publish("a", strconv.Itoa(i))
			if rand.IntN(4) == 0 {
				r.publish("b", "not for a")
			}
			if rand.IntN(4) > 0 {
				pause := time.NewTimer(rand.N(wait))
				<-pause.C
			}
		}
		clients.Wait()
		r.wantHolds(0)
		if _, ok := outcomes.Load(hold.Recycled); !ok {
			r.Error("nothing was recycled")
		}
	}
	t.Run("few instants", func(t *testing.T) {
		bubble(t, func(r *rig) { test(r, 1500, 4) })
	})
	t.Run("real time", func(t *testing.T) { test(newRig(t), 1500, 200*time.Microsecond) })
}

func TestAStreamThatIsKeptInMemoryEndsAfterAMegabyte(t *testing.T) {
	for target, reads := range growing {
		bubble(t, func(r *rig) {
			limits := r.hub.Limits()
			limits.HistoryBytes = 8 << 20
			r.hub.SetLimits(limits)
			h := r.serve(target)
			const size = 100 << 10
			big := strings.Repeat("x", size)
			sent := 0
			for !h.over() && sent < 20 {
				r.publish("a", big)
				sent++
				synctest.Wait()
			}
			r.ended(h, hold.Recycled, sent)
			got := reads(t, h.read())
			if n := len(h.body); n < 1<<20 || n > 1<<20+2*size || got.retry != 0 || got.cursor != r.hub.Cursor().String() || len(got.data) != sent {
				t.Errorf("%s: ended after %d bytes and %d events at %s, to come back after %v", target, n, len(got.data), got.cursor, got.retry)
			}
			// An event that is longer than that comes all the same, once.
			r.publish("a", strings.Repeat("y", 1<<20-1))
			next := r.serve(target + "&since=" + got.cursor)
			r.ended(next, hold.Recycled, 1)
			later := reads(t, next.read())
			if len(later.data) != 1 || later.data[0][0] != 'y' || later.retry != 0 {
				t.Errorf("%s: got %d events, to come back after %v", target, len(later.data), later.retry)
			}
			last := r.serve(target + "&since=" + later.cursor)
			if got := reads(t, last.read()); last.over() || len(got.data) != 0 || got.gap {
				t.Errorf("%s: got %d events twice", target, len(got.data))
			}
			last.hang()
			r.ended(last, hold.ClientGone, 0)
			r.wantHolds(0)
		})
	}
}

func TestOtherStreamsGoOnForEver(t *testing.T) {
	for _, target := range []string{"/comet/a?as=sse", "/comet/a?as=multipart", "/comet/a?as=multipart&send=data"} {
		bubble(t, func(r *rig) {
			h := r.serve(target)
			big := strings.Repeat("x", 1<<20)
			for range 4 {
				r.publish("a", big)
				synctest.Wait()
			}
			if h.over() || len(h.read()) < 4<<20 {
				t.Errorf("%s: got %+v after %d bytes", target, h.report, len(h.read()))
			}
			h.hang()
			r.ended(h, hold.ClientGone, 4)
		})
	}
}

func TestAStreamsEndSaysWhenToComeBack(t *testing.T) {
	for target, reads := range growing {
		for outcome, end := range map[hold.Outcome]func(*rig){
			hold.Stopped: func(r *rig) { close(r.stop) },
			hold.Retired: func(r *rig) { close(r.retire) },
		} {
			bubble(t, func(r *rig) {
				h := r.serve(target)
				r.publish("a", "x")
				synctest.Wait()
				r.publish("b", "not for a")
				end(r)
				r.ended(h, outcome, 1)
				got := reads(t, h.read())
				if got.retry < time.Second || got.retry > 5*time.Second || got.cursor != r.hub.Cursor().String() || h.report.Abort {
					t.Errorf("%s %s: got %+v, %+v", target, outcome, got, h.report)
				}
			})
		}
	}
}

func TestAStreamThatCannotGoOnSaysSoInEveryForm(t *testing.T) {
	for target, reads := range growing {
		bubble(t, func(r *rig) {
			r.publish("a", "x")
			h := r.serve(target + "&since=zz.1")
			got := reads(t, h.read())
			if !got.gap || got.cursor != r.hub.Cursor().String() {
				t.Errorf("%s: got %+v", target, got)
			}
			h.hang()
			<-h.done
		})
	}
}
