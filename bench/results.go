//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
)

// metric is something that is measured of each contender, in each round.
type metric struct {
	name string
	// mean is the figure of all rounds where most of them are zero. Else it is
	// the median, of values and of the ratios of each round.
	mean bool
}

var (
	memoryHeld  = metric{name: "memory per connection, KiB"}
	memoryPoll  = metric{name: "memory per poll, KiB"}
	memoryAfter = metric{name: "… after all events, KiB"}
	memoryLong  = metric{name: "… after 100 events, KiB"}
	growth      = metric{name: "… growth over 100 events"}
	cpuIdle     = metric{name: "CPU while nothing happens, % of a core", mean: true}
	cpuDelivery = metric{name: "server CPU per delivery, µs"}
	cpuKernel   = metric{name: "… of it in the kernel, µs"}
	cpuNext     = metric{name: "server CPU per next poll, µs"}
	cpuCycle    = metric{name: "server CPU per delivery and next poll, µs"}
	halfAnswer  = metric{name: "event to median answer, ms"}
	lastAnswer  = metric{name: "event to last answer, ms"}
	halfTouch   = metric{name: "touch to answer, median, ms"}
	tailTouch   = metric{name: "touch to answer, 99th percentile, ms"}
	cpuTouch    = metric{name: "server CPU per touch, answer and next poll, µs"}
	halfPost    = metric{name: "POST to answer, median, ms"}
	tailPost    = metric{name: "POST to answer, 99th percentile, ms"}
	cpuPost     = metric{name: "server CPU per POST, answer and next poll, µs"}
	pageRate    = metric{name: "pages a second"}
	pageCPU     = metric{name: "server CPU per page, µs"}
	firstEvent  = metric{name: "start to first event, ms"}
	attacksRate = metric{name: "requests, touches and lines of the attack a second"}
	reloadTime  = metric{name: "reload, ms"}
	postTime    = metric{name: "POST to its 200, ms"}
	postRate    = metric{name: fmt.Sprintf("POSTs a second of %d publishers", publishers)}
	lineRate    = metric{name: "lines of files a second"}
	stopTime    = metric{name: "SIGTERM to the end, ms"}
	startTime   = metric{name: "start to the first answer, ms"}
	// What a server does for whoever is there.
	cpuMeanwhile = metric{name: "server CPU meanwhile, % of a core", mean: true}
)

// metrics are all of them, in the order of the tables.
var metrics = []metric{
	memoryHeld, memoryPoll, memoryAfter, memoryLong, growth, cpuIdle, cpuDelivery, cpuKernel, cpuNext, cpuCycle, halfAnswer, lastAnswer,
	halfTouch, tailTouch, cpuTouch, halfPost, tailPost, cpuPost, pageRate, pageCPU, firstEvent,
	attacksRate, cpuMeanwhile, reloadTime, postTime, postRate, lineRate, stopTime, startTime,
}

// results has the samples of all cases.
type results struct{ cases []*caseResult }

// caseResult has one case's samples: for each metric and contender one for each
// round. Samples of one round have the same index.
type caseResult struct {
	name, caption string
	base          string // the contender that others are compared with
	names         []string
	samples       map[metric]map[string][]float64
}

func (r *results) begin(name, caption, base string, names []string) *caseResult {
	c := &caseResult{name: name, caption: caption, base: base, names: names, samples: make(map[metric]map[string][]float64)}
	r.cases = append(r.cases, c)
	return c
}

// find returns the case of that name, or nil.
func (r *results) find(name string) *caseResult {
	for _, c := range r.cases {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (c *caseResult) add(m metric, name string, value float64) {
	if c.samples[m] == nil {
		c.samples[m] = make(map[string][]float64)
	}
	c.samples[m][name] = append(c.samples[m][name], value)
}

// value returns a contender's figure, and whether there is one.
func (c *caseResult) value(m metric, name string) (float64, bool) {
	samples := c.samples[m][name]
	if len(samples) == 0 {
		return 0, false
	}
	if m.mean {
		sum := 0.0
		for _, sample := range samples {
			sum += sample
		}
		return sum / float64(len(samples)), true
	}
	return median(samples), true
}

// spread is a ratio's median and its least and greatest value.
type spread struct{ median, least, most float64 }

// ratio compares a contender with the base, round by round.
func (c *caseResult) ratio(m metric, name string) (spread, bool) {
	ours, base := c.samples[m][name], c.samples[m][c.base]
	var ratios []float64
	for i := range min(len(ours), len(base)) {
		if base[i] > 0 {
			ratios = append(ratios, ours[i]/base[i])
		}
	}
	if m.mean || len(ratios) == 0 {
		return spread{}, false
	}
	return spread{median(ratios), slices.Min(ratios), slices.Max(ratios)}, true
}

// median returns the middle of the values, NaN of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
