//go:build linux

package main

import (
	"fmt"
	"slices"
)

// figure is something that caddy-comet wants to be true of itself. Whether it
// is decides nothing: the page says so.
type figure struct {
	what   string
	in     string // the case's name
	of     metric
	bound  float64
	bounds bound
	who    []string
}

// bound is how a figure's bound is meant.
type bound int

const (
	ratioAtMost  bound = iota // of the ratio to the case's base
	ratioAtLeast              // the same
	valueAtMost               // of the value itself
)

var (
	anyOfOurs = []string{parked, leased, goroutines}
	noLease   = []string{parked, goroutines}
	withLease = []string{leased}
)

// figures are all of them. The resolution of idle CPU is what /proc counts in:
// one tick in all rounds together is still none.
var figures = []figure{
	{"memory of a poll, TLS", pollsTLS, memoryHeld, 0.70, ratioAtMost, anyOfOurs},
	{"memory of a stream, TLS", streamsTLS, memoryHeld, 0.70, ratioAtMost, anyOfOurs},
	{"memory of a stream, plain", streamsPlain, memoryHeld, 0.20, ratioAtMost, anyOfOurs},
	{"memory of an idle WebSocket, plain", socketsPlain, memoryHeld, 0.40, ratioAtMost, anyOfOurs},
	{"CPU per delivery, polls", pollsPlain, cpuDelivery, 0.85, ratioAtMost, anyOfOurs},
	{"CPU per delivery, streams", streamsPlain, cpuDelivery, 0.85, ratioAtMost, anyOfOurs},
	{"event to last answer, polls", pollsPlain, lastAnswer, 0.85, ratioAtMost, anyOfOurs},
	{"idle CPU, % of a core, polls", pollsPlain, cpuIdle, 0.1, valueAtMost, anyOfOurs},
	{"idle CPU, % of a core, streams", streamsPlain, cpuIdle, 0.1, valueAtMost, anyOfOurs},
	{"a hostile neighbour: POST to answer, 99th percentile, of that alone", besideAFoe, tailPost, 2, ratioAtMost, []string{besideAll}},
	{"a hostile neighbour: touch to answer, 99th percentile, of that alone", besideAFoe, tailTouch, 2, ratioAtMost, []string{besideAll}},
	{"pages passed through", passThrough, pageRate, 0.98, ratioAtLeast, []string{passers[1].name}},
	{"growth over 100 events, polls", pollsPlain, growth, 1.05, valueAtMost, anyOfOurs},
	{"growth over 100 events, streams", streamsPlain, growth, 1.05, valueAtMost, anyOfOurs},
	{"without a lease: memory of a poll, plain", pollsPlain, memoryHeld, 0.30, ratioAtMost, noLease},
	{"without a lease: CPU per delivery and next poll", pollsPlain, cpuCycle, 2.3, ratioAtMost, noLease},
	{"with a lease: memory of a poll, plain", pollsPlain, memoryHeld, 0.20, ratioAtMost, withLease},
	{"with a lease: CPU per delivery and next poll", pollsPlain, cpuCycle, 0.85, ratioAtMost, withLease},
}

// judge compares a contender's result with the figure. It is empty where there
// is no result.
func (f figure) judge(r *results, name string) string {
	c := r.find(f.in)
	if c == nil || !slices.Contains(f.who, name) {
		return ""
	}
	got, there := c.value(f.of, name)
	if f.bounds != valueAtMost {
		var s spread
		s, there = c.ratio(f.of, name)
		got = s.median
	}
	if !there {
		return ""
	}
	met := got <= f.bound
	if f.bounds == ratioAtLeast {
		met = got >= f.bound
	}
	verdict := "missed"
	if met {
		verdict = "met"
	}
	return fmt.Sprintf("%.2f %s", got, verdict)
}

// wanted is how the bound is written.
func (f figure) wanted() string {
	sign := "≤"
	if f.bounds == ratioAtLeast {
		sign = "≥"
	}
	return fmt.Sprintf("%s %.2f", sign, f.bound)
}
