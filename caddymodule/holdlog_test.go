package caddymodule

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// TestTheLifeOfAHoldIsThreeLines at level debug, which have its number in common, and
// one more where a lease goes on with it.
func TestTheLifeOfAHoldIsThreeLines(t *testing.T) {
	kept := observed(t, zapcore.DebugLevel)
	b := pageOf(unique("told"), nativeDialect, "poll").open(3, netip.Addr{})
	b.wait()
	b.park()
	next := b.Again(nil).(*book)
	b.Ended(hold.Report{Outcome: hold.Event, Events: 2}, 200, 10, nil)
	next.Ended(hold.Report{Outcome: hold.Timeout}, 200, 10, nil)
	var got []string
	for _, e := range kept.All() {
		m := e.ContextMap()
		if m["hub"] != b.page.hub {
			t.Errorf("the hub is %v", m["hub"])
		}
		got = append(got, fmt.Sprint(e.Message, m["hold"], m["transport"], m["channels"], m["leased"], m["outcome"], m["events"]))
	}
	for i, w := range []string{
		fmt.Sprint("held request begins", b.number, "poll", int32(3), false, nil, nil),
		fmt.Sprint("held request is parked", b.number, nil, nil, nil, nil, nil),
		fmt.Sprint("held request begins", next.number, "poll", int32(3), true, nil, nil),
		fmt.Sprint("held request is parked", next.number, nil, nil, nil, nil, nil),
		fmt.Sprint("held request ended", b.number, "poll", int32(3), nil, "event", int64(2)),
		fmt.Sprint("held request ended", next.number, "poll", int32(3), nil, "timeout", int64(0)),
	} {
		if i >= len(got) || got[i] != w {
			t.Errorf("line %d is not %q\n%s", i, w, strings.Join(got, "\n"))
		}
	}
	if b.number == 0 || next.number == b.number || len(got) != 6 {
		t.Errorf("%d lines of %d and %d", len(got), b.number, next.number)
	}
}

// TestAHoldThatNobodyLogsCostsItsBookAlone: one allocation, whatever happens to it.
func TestAHoldThatNobodyLogsCostsItsBookAlone(t *testing.T) {
	observed(t, zapcore.InfoLevel)
	p := pageOf(unique("untold"), nativeDialect, "poll")
	life := func() {
		b := p.open(3, netip.Addr{})
		b.wait()
		b.park()
		b.Ended(hold.Report{Outcome: hold.Event, Events: 2}, 200, 10, nil)
	}
	life()
	if n := testing.AllocsPerRun(1000, life); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkAHoldThatNobodyLogs is what the figures and the log take of each hold.
func BenchmarkAHoldThatNobodyLogs(b *testing.B) {
	p := pageOf(unique("untold"), nativeDialect, "poll")
	b.ReportAllocs()
	for b.Loop() {
		h := p.open(3, netip.Addr{})
		h.wait()
		h.park()
		h.Ended(hold.Report{Outcome: hold.Event, Events: 2}, 200, 10, nil)
	}
}
