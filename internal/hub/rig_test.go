package hub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/hub/hubtest"
	"github.com/caddy-comet/caddy-comet/internal/log"
)

var _ hub.Clock = (*hubtest.Clock)(nil)

// rig is a hub with a clock that stands still, inside a bubble in which
// [synctest.Wait] returns when every fan-out is over or stuck.
type rig struct {
	*testing.T
	hub    *hub.Hub
	clock  *hubtest.Clock
	log    hub.Log
	limits hub.Limits
}

func bubble(t *testing.T, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, clock: hubtest.NewClock(), limits: hub.DefaultLimits()}
		r.log = log.NewMemory(r.clock)
		r.hub = open(t, hub.Config{Log: r.log, Clock: r.clock, Limits: r.limits})
		f(r)
	})
}

func open(t testing.TB, c hub.Config) *hub.Hub {
	t.Helper()
	h, err := hub.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// limit changes the limits by f.
func (r *rig) limit(f func(l *hub.Limits)) {
	f(&r.limits)
	r.hub.SetLimits(r.limits)
}

// longAgo has events published long ago, of which each channel keeps so many: 0 is
// all, less is none.
func (r *rig) longAgo(keep int, events ...string) {
	r.Helper()
	if keep != 0 {
		r.limit(func(l *hub.Limits) { l.HistoryCount = max(0, keep) })
	}
	r.publish(events...)
	r.past()
}

// event writes a draft as "channel:data", and "channel?data" for a quiet one.
func event(s string) hub.Draft {
	i := strings.IndexAny(s, ":?")
	return hub.Draft{Channel: s[:i], Data: []byte(s[i+1:]), Quiet: s[i] == '?', Source: "test"}
}

// publish publishes each as a batch of its own.
func (r *rig) publish(events ...string) {
	r.Helper()
	for _, e := range events {
		r.batch(e)
	}
}

// batch publishes all as one batch.
func (r *rig) batch(events ...string) []hub.Result {
	r.Helper()
	var drafts []hub.Draft
	for _, e := range events {
		drafts = append(drafts, event(e))
	}
	return r.drafts(drafts...)
}

func (r *rig) drafts(drafts ...hub.Draft) []hub.Result {
	r.Helper()
	results, err := r.hub.Publish(context.Background(), drafts)
	if err != nil {
		r.Fatal(err)
	}
	return results
}

func (r *rig) at(seq uint64) hub.Since {
	return hub.After(hub.Cursor{Epoch: r.hub.Cursor().Epoch, Seq: seq})
}

// reader is a subscription with the deliveries that its waker was told.
type reader struct {
	*hub.Sub
	r    *rig
	told chan *hub.Delivery
	// kicked counts the kicks that it was told of.
	kicked int
}

// Kicked implements [hub.Kicker].
func (f *reader) Kicked() { f.kicked++ }

// Wake implements [hub.Waker].
func (f *reader) Wake(d *hub.Delivery) {
	select {
	case f.told <- d:
	default:
		panic("told twice")
	}
}

func (r *rig) subscribe(since hub.Since, channels ...string) *reader {
	r.Helper()
	return r.subscribeAs(nil, since, channels...)
}

func (r *rig) subscribeAs(who *hub.Who, since hub.Since, channels ...string) *reader {
	r.Helper()
	f := &reader{r: r, told: make(chan *hub.Delivery, 1)}
	s, err := r.hub.Subscribe(hub.SubConfig{Channels: channels, Since: since, Waker: f, Who: who})
	if err != nil {
		r.Fatal(err)
	}
	f.Sub = s
	return f
}

// wait subscribes and arms.
func (r *rig) wait(since hub.Since, channels ...string) *reader {
	r.Helper()
	f := r.subscribe(since, channels...)
	f.next("-")
	return f
}

// next wants what Next returns.
func (f *reader) next(want string) {
	f.r.Helper()
	f.r.want("Next", f.Next(), want)
}

// woken wants what the waker was told.
func (f *reader) woken(want string) *hub.Delivery {
	f.r.Helper()
	d := f.take()
	f.r.want("woken", d, want)
	return d
}

// take returns what the waker was told, nil for nothing.
func (f *reader) take() *hub.Delivery {
	synctest.Wait()
	select {
	case d := <-f.told:
		return d
	default:
		return nil
	}
}

// rest wants what Rest returns, and the cursor where that is nothing.
func (f *reader) rest(want string) {
	f.r.Helper()
	d, cursor := f.Rest()
	got := show(d)
	if d == nil {
		got += fmt.Sprintf(" @%d", cursor.Seq)
	}
	if got != want {
		f.r.Errorf("Rest: got %q, want %q", got, want)
	}
}

func (r *rig) want(what string, d *hub.Delivery, want string) {
	r.Helper()
	if got := show(d); got != want {
		r.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// show writes a delivery as its events' data, the sequence of its cursor and
// whether there is a gap: "x y @2 gap". Nothing is "-".
func show(d *hub.Delivery) string {
	if d == nil {
		return "-"
	}
	var b strings.Builder
	for _, e := range d.Events {
		fmt.Fprintf(&b, "%s ", e.Data)
	}
	fmt.Fprintf(&b, "@%d", d.Cursor.Seq)
	if d.Gap {
		b.WriteString(" gap")
	}
	return b.String()
}

// jam stops the hub's fan-out until the returned function is called: what is
// published meanwhile queues up behind it.
func (r *rig) jam() (release func()) {
	r.Helper()
	gate := make(chan struct{})
	s, err := r.hub.Subscribe(hub.SubConfig{Channels: []string{"jam"}, Waker: waker(func(*hub.Delivery) { <-gate })})
	if err != nil {
		r.Fatal(err)
	}
	s.Next()
	r.publish("jam:")
	synctest.Wait()
	return func() {
		close(gate)
		synctest.Wait()
		s.Close()
	}
}

type waker func(*hub.Delivery)

func (w waker) Wake(d *hub.Delivery) { w(d) }

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// lateLog lets something happen between the hub's question who has the stamp
// and the entry.
type lateLog struct {
	hub.Log
	between func()
}

func (l *lateLog) Append(ctx context.Context, drafts []hub.Draft, done func([]hub.Place, error)) {
	if f := l.between; f != nil {
		l.between = nil
		f()
	}
	l.Log.Append(ctx, drafts, done)
}
