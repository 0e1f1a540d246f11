//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/caddy-comet/caddy-comet/bench/load"
)

// neighbour is the case of two tenants of one server, of whom one is hostile: how
// long do the other's visitors wait for their events?
type neighbour struct {
	*bench
	*caseResult
	name string
}

// The situations that others and judgements refer to.
const (
	alone      = "alone"
	besideAll  = "beside all attacks"
	besideBurn = "beside busy processors"
)

// situations are what the visitors are beside, by the name of their column.
var situations = []struct {
	name    string
	attacks []attack
}{
	{alone, nil},
	{besideBurn, []attack{burn}},
	{"a flood of POSTs", []attack{floodOfPosts}},
	{"a storm of files", []attack{stormOfFiles}},
	{"a crowd of visitors", []attack{crowdOfVisitors}},
	{"a flood of names", []attack{floodOfNames}},
	{besideAll, []attack{floodOfPosts, stormOfFiles, crowdOfVisitors, floodOfNames}},
}

// The neighbour's visitors: one waits in each channel.
const (
	neighbourChannels = 100
	neighbourPace     = 100 // events a second, which is its rate
)

func (n *neighbour) measure(ctx context.Context) error {
	var names []string
	for _, s := range situations {
		names = append(names, s.name)
	}
	caption := fmt.Sprintf("%d events a second in %d channels of one tenant, one poll waiting in each, beside what another tenant does, or another program. "+
		"Median of %d rounds of %s, in which all columns take turns.", neighbourPace, neighbourChannels, n.blocks, n.paced)
	n.caseResult = n.results.begin(n.name, caption, alone, names)
	shm, err := os.MkdirTemp("/dev/shm", "comet-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(shm)
	all, err := n.launch(ctx, []contender{{name: parked, program: tenants{}}}, load.Target{Channels: neighbourChannels},
		func(to *site) error { return n.furnish(to, shm) })
	defer stopAll(all)
	if err != nil {
		return err
	}
	if _, err := all[0].openAll(ctx, neighbourChannels); err != nil {
		return err
	}
	for round := range n.blocks + 1 { // the first one is to get warm, and makes the files
		for i := range situations {
			if err := n.round(ctx, all[0], (i+round)%len(situations), round > 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// furnish makes the tenants' directories, and the shop's files.
func (n *neighbour) furnish(to *site, shm string) error {
	to.publish, to.touches = shop.socket(*to), filepath.Join(shm, filepath.Base(to.dir))
	for _, t := range []tenant{shop, forum} {
		if err := os.MkdirAll(t.files(*to), 0o755); err != nil {
			return err
		}
	}
	return touchable(shop.files(*to), neighbourChannels)
}

// round has the shop's events happen in one of the situations.
func (n *neighbour) round(ctx context.Context, r *running, situation int, counts bool) error {
	s := situations[situation]
	if err := n.calm(ctx, r); err != nil {
		return err
	}
	a := assail(ctx, r.site, n.options, s.attacks...)
	err := n.beside(ctx, a, r, s.name, counts)
	if wrong := a.stop(); wrong != nil {
		err = wrong
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", s.name, err)
	}
	return err
}

// attackFirst is how long an attack has before anything is measured.
const attackFirst = 300 * time.Millisecond

func (n *neighbour) beside(ctx context.Context, a *assault, r *running, situation string, counts bool) error {
	if err := pause(ctx, attackFirst); err != nil {
		return err
	}
	cpu, err := r.cpu()
	if err != nil {
		return err
	}
	began, acts := time.Now(), a.acts.Load()
	for _, kind := range []struct {
		touch      string
		half, tail metric
	}{{"", halfPost, tailPost}, {shop.files(r.site), halfTouch, tailTouch}} {
		report, err := r.visitors.Paced(load.Pace{PerSecond: neighbourPace, For: n.paced, Touch: kind.touch})
		if err != nil {
			return err
		}
		n.faults.add(n.name+", "+situation, report)
		if counts {
			n.add(kind.half, situation, report.Median.Seconds()*1e3)
			n.add(kind.tail, situation, report.P99.Seconds()*1e3)
		}
	}
	after, err := r.cpu()
	if err != nil || !counts {
		return err
	}
	seconds := time.Since(began).Seconds()
	n.add(cpuMeanwhile, situation, 100*(after-cpu).Seconds()/seconds)
	if situation != alone && situation != besideBurn {
		n.add(attacksRate, situation, float64(a.acts.Load()-acts)/seconds)
	}
	return nil
}

const (
	// calmBound is how long a server may go on with an attack that is over.
	calmBound = 30 * time.Second
	// calmFor is how long it must have had nothing to do: what one tenant leaves it does
	// a little at a time.
	calmFor = 500 * time.Millisecond
)

// calm waits until the server has nothing to do any more.
func (n *neighbour) calm(ctx context.Context, r *running) error {
	for deadline := time.Now().Add(calmBound); time.Now().Before(deadline); {
		before, err := r.cpu()
		if err != nil {
			return err
		}
		if err := pause(ctx, calmFor); err != nil {
			return err
		}
		if after, err := r.cpu(); err != nil || after-before <= tick {
			return err
		}
	}
	return fmt.Errorf("the server is still busy %s after the last attack", calmBound)
}
