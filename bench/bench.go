//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-comet/caddy-comet/bench/load"
)

// bench is one run.
type bench struct {
	options
	dir     string
	present []contender
	absent  []absence
	results results
	faults  faults
	machine machineUse
	suites  []string
	facts   []string // versions
	sites   int      // so many were made
	// unmeasured are the cases that were wanted, in a run that ended early.
	unmeasured []string
}

// benchCase is one thing that is measured, for all contenders.
type benchCase struct {
	name    string
	measure func(context.Context) error
}

// newBench makes the run's directory, and finds out who takes part.
func newBench(ctx context.Context, o options) (*bench, error) {
	dir, err := os.MkdirTemp("", "comet-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, dir: dir}
	b.machine.begin()
	if err := b.prepare(ctx); err != nil {
		b.clean()
		return nil, err
	}
	return b, nil
}

func (b *bench) prepare(ctx context.Context) error {
	if err := os.Chmod(b.dir, 0o755); err != nil { // nginx and PHP drop root's rights
		return err
	}
	if err := certify(b.path("certificate.pem"), b.path("key.pem")); err != nil {
		return err
	}
	if err := b.meet(ctx); err != nil {
		return err
	}
	if !b.has(rival) {
		return fmt.Errorf("%s is not there, and all others are compared with it: %q", rival, b.absent)
	}
	return b.versions(ctx)
}

// meet finds out who takes part.
func (b *bench) meet(ctx context.Context) error {
	for i, c := range contenders {
		s, err := b.site(c, fmt.Sprintf("contender%d", i))
		if err != nil {
			return err
		}
		if err := c.there(ctx, s); err == nil {
			b.present = append(b.present, c)
		} else {
			b.absent = append(b.absent, absence{c.name, err})
		}
	}
	// Another entry of that name may be there.
	b.absent = slices.DeleteFunc(b.absent, func(a absence) bool { return b.has(a.name) })
	return ctx.Err()
}

func (b *bench) has(name string) bool {
	return slices.ContainsFunc(b.present, func(c contender) bool { return c.name == name })
}

// absence is why a contender is left out.
type absence struct {
	name string
	why  error
}

func (a absence) String() string { return fmt.Sprintf("%s: %v", a.name, a.why) }

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) clean() { _ = os.RemoveAll(b.dir) }

// say tells of progress.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// site makes a directory and addresses for a contender. Its binary is a copy
// that serves the whole run.
func (b *bench) site(c contender, name string) (site, error) {
	s := site{dir: b.path(name), certificate: b.path("certificate.pem"), key: b.path("key.pem")}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return s, err
	}
	switch c.program.(type) {
	case comet, tenants:
		s.binary = b.path(strings.NewReplacer(",", "", " ", "-").Replace("caddy " + c.name))
		if _, err := os.Stat(s.binary); err != nil {
			if err := copyBinary(b.binary, s.binary); err != nil {
				return s, err
			}
		}
	}
	return s, s.listen()
}

// running is a contender's server and its visitors.
type running struct {
	contender
	site
	server   *process
	visitors *load.Process
	// open is how many connections the visitors hold, empty the server's
	// memory in KiB before.
	open  int
	empty float64
}

// launch starts a server and its visitors for each contender. Whatever it
// returns, stopAll ends it.
func (b *bench) launch(ctx context.Context, list []contender, target load.Target, adapt func(*site) error) ([]*running, error) {
	var all []*running
	for i, c := range list {
		b.sites++
		s, err := b.site(c, fmt.Sprintf("site%d", b.sites))
		if err == nil && adapt != nil {
			err = adapt(&s)
		}
		if err != nil {
			return all, err
		}
		r := &running{contender: c, site: s}
		target.Network = byte(10 + i)
		all = append(all, r)
		if err := r.start(ctx, target); err != nil {
			return all, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return all, nil
}

func (r *running) start(ctx context.Context, target load.Target) error {
	cmd, err := r.configure(r.site)
	if err != nil {
		return err
	}
	if r.server, err = start(cmd, r.path("output.log")); err != nil {
		return err
	}
	err = r.server.until(ctx, r.name, func() error { return r.ready(ctx) })
	if err != nil {
		return err
	}
	target.Dialect, target.Publish, target.Site = cmp.Or(target.Dialect, r.dialect()), r.publish, r.plain
	if target.Secure {
		target.Site = r.secure
	}
	r.visitors, err = load.Start(ctx, target)
	return err
}

// ready fails until the server tells how it is and lets visitors in: Caddy's admin
// endpoint is there before its sites are.
func (r *running) ready(ctx context.Context) error {
	if _, err := r.held(ctx, r.site); err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", r.plain)
	if err != nil {
		return err
	}
	return conn.Close()
}

// stopAll ends servers and visitors. The visitors go first: whoever ends a
// connection keeps the kernel's memory of it.
func stopAll(all []*running) {
	for _, r := range all {
		if r.visitors != nil {
			r.visitors.Stop()
		}
	}
	var ending sync.WaitGroup
	for _, r := range all {
		if r.server != nil {
			ending.Go(r.server.stop)
		}
	}
	ending.Wait()
	for _, r := range all {
		_ = os.RemoveAll(r.dir)
	}
}

func (r *running) cpu() (time.Duration, error) { return cpu(r.server.pid()) }

func (r *running) spent() (spent, error) { return spentBy(r.server.pid()) }

// batch is how many connections are opened at once, so that no queue of
// connections to accept runs over.
const batch = 1500

// openAll opens n connections and waits until the server holds them.
func (r *running) openAll(ctx context.Context, n int) (load.Report, error) {
	var sum load.Report
	for r.open < n {
		more := min(batch, n-r.open)
		report, err := r.visitors.Open(more)
		if err != nil {
			return sum, err
		}
		r.open += more
		sum.Missed, sum.Closed, sum.Failed = sum.Missed+report.Missed, sum.Closed+report.Closed, sum.Failed+report.Failed
		sum.Suite, sum.Trouble = report.Suite, cmp.Or(sum.Trouble, report.Trouble)
		if err := r.holds(ctx, r.open); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// holds waits until the server says that it holds n requests.
func (r *running) holds(ctx context.Context, n int) error {
	return r.server.until(ctx, fmt.Sprintf("%s to hold %d", r.name, n), func() error {
		held, err := r.held(ctx, r.site)
		if err == nil && held != n {
			err = fmt.Errorf("it holds %d", held)
		}
		return err
	})
}

// turns returns the contenders in an order that changes from round to round, so
// that no one always comes after the same other one.
func turns(all []*running, round int) []*running {
	order := slices.Concat(all[round%len(all):], all[:round%len(all)])
	if round/len(all)%2 == 1 {
		slices.Reverse(order)
	}
	return order
}
