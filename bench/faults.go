//go:build linux

package main

import (
	"cmp"
	"fmt"

	"github.com/caddy-comet/caddy-comet/bench/load"
)

// faults counts what visitors got instead of their events.
type faults struct {
	answers, missed, closed, failed int
	trouble                         string // of the first
}

func (f *faults) add(where string, r load.Report) {
	f.answers += r.Answers
	f.missed += r.Missed
	f.closed += r.Closed
	f.failed += r.Failed
	if r.Bad() {
		f.trouble = cmp.Or(f.trouble, where+": "+cmp.Or(r.Trouble, "no answer"))
	}
}

func (f faults) bad() bool { return f.missed+f.closed+f.failed > 0 }

func (f faults) String() string {
	text := fmt.Sprintf("%d answers, %d missed, %d closed, %d failed", f.answers, f.missed, f.closed, f.failed)
	if f.trouble != "" {
		text += " (first: " + f.trouble + ")"
	}
	return text
}
