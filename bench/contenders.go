//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
)

// contender is one way to hold requests that takes part.
type contender struct {
	name string
	program
	// not has the cases that it takes no part in, and why.
	not map[string]string
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
	{name: rival, program: nchan{workers: 1}},
	{name: "Nchan, 2 workers", program: nchan{workers: 2}, not: map[string]string{
		manyChannels: "after some events it no longer delivers to some of these channels, and would void the run",
		pollsHTTP2:   ofNothing, sharedHTTP2: ofNothing,
	}},
	// Parking is the default of a binary that knows the option.
	{name: parked, program: comet{knows: "park off"}},
	// Longer than the run, so that what is measured is what a lease does.
	{name: leased, program: comet{options: "lease 10m"}, not: map[string]string{
		streamsPlain: ofPolls, streamsTLS: ofPolls, socketsPlain: ofPolls, pollsHTTP2: notParked, sharedHTTP2: notParked,
	}},
	{name: goroutines, program: comet{options: "park off"}, not: map[string]string{socketsPlain: alwaysParked, pollsHTTP2: notParked, sharedHTTP2: notParked}},
	// Before there was parking, every request had its goroutines.
	{name: goroutines, program: comet{lacks: "park off"}},
}

const (
	ofPolls      = "a lease is of polls"
	notParked    = "on HTTP/2 each request has a goroutine, whatever else is set"
	alwaysParked = "a WebSocket has no goroutine, whatever else is set"
	ofNothing    = "memory is of interest here, which is the same"
)

// within returns who takes part in a case, their names, and a sentence for each
// who could but does not.
func within(name string, list []contender) (in []contender, names []string, notes string) {
	for _, c := range list {
		if why := c.not[name]; why != "" {
			notes += fmt.Sprintf(" Without %s: %s.", c.name, why)
			continue
		}
		in, names = append(in, c), append(names, c.name)
	}
	return in, names, notes
}
