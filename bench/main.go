//go:build linux

// Command bench compares caddy-comet with nginx and its module Nchan on one
// machine, in one run, and writes what comes out to docs/benchmarks.md. That
// file says what is measured and how; `make bench` installs what is needed and
// runs it.
//
// It starts every server itself, on loopback, in a directory of its own, and
// ends them all, also when it is interrupted. What was measured by then it prints.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/caddy-comet/caddy-comet/bench/load"
)

func main() {
	if load.Main() {
		return
	}
	o, bound := parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, bound)
	defer cancel()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parse reads the flags.
func parse() (o options, bound time.Duration) {
	o = whole
	quick := flag.Bool("quick", false, "a first impression: 2 rounds with 2,000 connections, in about a minute")
	only := flag.String("only", "", "measure only the cases whose names match this regular expression")
	page := flag.String("out", "", "the page to write the tables to; default docs/benchmarks.md for a whole run, none for -quick and -only")
	flag.BoolVar(&o.long, "long", false, "look for growth of memory over 100 rounds as well")
	flag.StringVar(&o.binary, "caddy", o.binary, "the server to measure")
	flag.DurationVar(&bound, "timeout", 40*time.Minute, "end after so long, whatever is left to do, and print what was measured")
	flag.Parse()
	if *quick {
		o = o.quick()
	}
	if *quick || *only != "" || *page != "" {
		o.page = *page
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintln(os.Stderr, "bench: -only:", err)
		os.Exit(2)
	}
	return o, bound
}

// options say how much is measured.
type options struct {
	binary string
	page   string
	only   *regexp.Regexp
	long   bool

	// connections are held at once by each contender, secure ones where TLS is
	// in play: the visitors' share of TLS takes CPU, too.
	connections, secure int
	// http2 connections hold one poll each, shared ones a hundred.
	http2, shared int
	// lives are how often all servers are started anew, for the memory.
	lives int
	// blocks of cycles are what a figure of CPU is of. A cycle is one event to
	// everybody and the next poll of everybody.
	blocks, cycles int
	// settle is the wait after the last connection, and how long idle CPU is
	// measured.
	settle time.Duration
	// touched channels get perSecond events for paced in each of the blocks.
	touched, perSecond int
	paced              time.Duration
	// stormed files are touched by a hostile neighbour, crowded visitors sent by him.
	stormed, crowded int
	// passes are how often each server passes pages through for passing.
	passes  int
	passing time.Duration
	// lines are appended to files in an upheaval.
	lines int
}

// whole is the run whose figures count.
var whole = options{
	binary: "bin/caddy", page: "docs/benchmarks.md", only: regexp.MustCompile(""),
	connections: 15000, secure: 5000, http2: 2000, shared: 50,
	lives: 5, blocks: 5, cycles: 4, settle: 3 * time.Second,
	touched: 1000, perSecond: 1000, paced: 2 * time.Second,
	stormed: 100_000, crowded: 600,
	passes: 40, passing: 400 * time.Millisecond,
	lines: 100_000,
}

func (o options) quick() options {
	o.connections, o.secure, o.lives, o.blocks, o.cycles, o.settle = 2000, 1000, 2, 2, 2, time.Second
	o.http2, o.shared = 500, 10
	o.paced, o.passes, o.lines = time.Second, 5, 20_000
	return o
}

// run is a whole run.
func run(ctx context.Context, o options) error {
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.clean()
	return b.run(ctx, b.cases(), os.Stdout)
}

// run measures, prints the tables and writes the page. It fails where a server
// did not give every visitor every event; figures are no reason to fail. A run
// that ends early prints what it has, and leaves the page as it is: its tables
// would no longer be of one run.
func (b *bench) run(ctx context.Context, cases []benchCase, out io.Writer) error {
	err := b.measureAll(ctx, cases)
	text := b.report()
	fmt.Fprintln(out, text)
	switch {
	case b.page == "":
	case err != nil:
		err = fmt.Errorf("%w; %s is left as it was", err, b.page)
	default:
		err = writePage(b.page, text)
	}
	if b.faults.bad() {
		err = errors.Join(err, errors.New("not every visitor got every event: "+b.faults.String()))
	}
	return err
}

// measureAll measures the cases that are wanted. Where one fails, or time is over
// in it, its result is taken back (its caption promises more rounds than there
// are), and all that are left count as unmeasured.
func (b *bench) measureAll(ctx context.Context, cases []benchCase) error {
	cases = slices.DeleteFunc(cases, func(c benchCase) bool { return !b.only.MatchString(c.name) })
	for i, c := range cases {
		began, complete := time.Now(), len(b.results.cases)
		if err := c.measure(ctx); err != nil {
			b.results.cases = b.results.cases[:complete]
			for _, left := range cases[i:] {
				b.unmeasured = append(b.unmeasured, left.name)
			}
			if over := context.Cause(ctx); over != nil {
				err = over // what came of it says nothing
			}
			return fmt.Errorf("%s: %w", c.name, err)
		}
		b.say("%s: done in %s", c.name, time.Since(began).Round(time.Second))
	}
	return nil
}
