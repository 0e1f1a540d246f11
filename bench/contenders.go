//go:build linux

package main

import (
	"context"
	"os/exec"
)

// contender is one way to hold requests that takes part.
type contender struct {
	name string
	program
}

// program is a server that can be configured and started.
type program interface {
	// dialect is how package load asks it.
	dialect() string
	// configure writes its configuration for the site and returns the command
	// that runs it in the foreground.
	configure(s site) (*exec.Cmd, error)
	// there says why this machine cannot run it, or nil.
	there(ctx context.Context, s site) error
	// held is how many requests the server says that it holds.
	held(ctx context.Context, s site) (int, error)
}

// rival is what all others are compared with.
const rival = "Nchan, 1 worker"

// The contenders that are ours, as tables and judgements name them.
const (
	parked     = "comet, parked"
	leased     = "comet, with lease"
	goroutines = "comet, goroutines"
)

// contenders are all that take part. Those that this machine or this binary
// cannot run are left out, and the page says so.
var contenders = []contender{
	{rival, nchan{workers: 1}},
	{"Nchan, 2 workers", nchan{workers: 2}},
	// Parking is the default of a binary that knows the option.
	{parked, comet{knows: "park off"}},
	// Longer than the run, so that what is measured is what a lease does.
	{leased, comet{options: "lease 10m"}},
	{goroutines, comet{options: "park off"}},
	// Before there was parking, every request had its goroutines.
	{goroutines, comet{lacks: "park off"}},
}
