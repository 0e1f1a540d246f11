//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/caddy-comet/caddy-comet/bench/load"
)

// steady is the case of events at a steady pace, in many channels with one
// waiting poll each: events that are posted and, where the server watches files,
// touches.
type steady struct {
	*bench
	*caseResult
	name string
}

func (s *steady) measure(ctx context.Context) error {
	list, names, notes := within(s.name, s.present)
	caption := fmt.Sprintf("%s events a second in %s channels, one poll waiting in each, which asks again at once. "+
		"Median of %d rounds of %s.", thousands(s.perSecond), thousands(s.touched), s.blocks, s.paced)
	s.caseResult = s.results.begin(s.name, caption+notes, rival, names)
	// In memory, as files that are touched should be, and where inotify works.
	shm, err := os.MkdirTemp("/dev/shm", "comet-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(shm)
	all, err := s.launch(ctx, list, load.Target{Channels: s.touched}, func(to *site) error { return s.files(to, shm) })
	defer stopAll(all)
	if err != nil {
		return err
	}
	for _, r := range all {
		if _, err := r.openAll(ctx, s.touched); err != nil {
			return err
		}
	}
	for round := range s.blocks + 1 { // the first one is to get warm
		for _, r := range turns(all, round) {
			if err := s.round(ctx, r, round > 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// files makes the files that will be touched, in a directory for each server.
func (s *steady) files(to *site, shm string) error {
	to.touches = filepath.Join(shm, filepath.Base(to.dir))
	if err := os.Mkdir(to.touches, 0o755); err != nil {
		return err
	}
	return touchable(to.touches, s.touched)
}

// touchable makes a file for each channel.
func touchable(dir string, channels int) error {
	for channel := range channels {
		if err := os.WriteFile(load.TouchFile(dir, channel), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (s *steady) round(ctx context.Context, r *running, counts bool) error {
	if err := s.pace(r, "", counts, halfPost, tailPost, cpuPost); err != nil {
		return err
	}
	if _, watches := r.program.(comet); watches {
		if err := s.pace(r, r.touches, counts, halfTouch, tailTouch, cpuTouch); err != nil {
			return err
		}
	}
	return pause(ctx, linger)
}

func (s *steady) pace(r *running, touch string, counts bool, half, tail, perEvent metric) error {
	before, err := r.cpu()
	if err != nil {
		return err
	}
	report, err := r.visitors.Paced(load.Pace{PerSecond: s.perSecond, For: s.paced, Touch: touch})
	if err != nil {
		return err
	}
	s.faults.add(s.name+", "+r.name, report)
	after, err := r.cpu()
	if err != nil || !counts {
		return err
	}
	s.add(half, r.name, report.Median.Seconds()*1e3)
	s.add(tail, r.name, report.P99.Seconds()*1e3)
	s.add(perEvent, r.name, (after-before).Seconds()*1e6/float64(max(report.Answers, 1)))
	return nil
}
