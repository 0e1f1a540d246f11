//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-comet/caddy-comet/bench/load"
)

// holding is the case of many connections that wait.
type holding struct {
	*bench
	*caseResult
	name            string
	streams, secure bool
	// sockets: the streams are WebSockets.
	sockets bool
	// share is how many polls share a connection of HTTP/2, 0 for HTTP/1.1.
	share int
	// each connection has a channel of its own; else all share one.
	each bool
	// blocks of so many cycles each.
	blocks, cycles int
	// grows: memory over 100 events is of interest.
	grows bool
}

// warmup is how many connections come and go before a server's memory counts as
// empty, and warmCycles how many cycles before CPU counts: a lease, say, begins
// with the second poll.
const (
	warmup     = 20
	warmCycles = 2
)

func (h *holding) measure(ctx context.Context) error {
	list, names, notes := within(h.name, h.present)
	h.caseResult = h.results.begin(h.name, h.caption()+notes, rival, names)
	for life := range h.starts() {
		if err := h.live(ctx, list, life); err != nil {
			return err
		}
	}
	return nil
}

// starts is how many lives there are. Handshakes take time, and the memory of
// HTTP/2 differs little from one to the next.
func (h *holding) starts() int {
	if h.share > 0 {
		return min(h.lives, 3)
	}
	return h.lives
}

func (h *holding) connected() int {
	switch {
	case h.share > 1:
		return h.shared * h.share
	case h.share > 0:
		return h.http2
	case h.secure:
		return h.options.secure
	}
	return h.connections
}

func (h *holding) channels() int {
	if h.each {
		return h.connected()
	}
	return 1
}

func (h *holding) caption() string {
	what := "polls"
	switch {
	case h.sockets:
		what = "WebSockets"
	case h.streams:
		what = "event streams"
	}
	where := "in one channel"
	if h.each {
		where = "in a channel each"
	}
	by := ""
	switch {
	case h.share > 1:
		by = fmt.Sprintf(" by TLS 1.3 and HTTP/2, %d on each connection", h.share)
	case h.share > 0:
		by = " by TLS 1.3 and HTTP/2, one on each connection"
	case h.secure:
		by = " by TLS 1.3"
	}
	events := warmCycles + h.blocks*h.cycles
	return fmt.Sprintf("%s %s%s, %s. Memory: median of %d starts. CPU: median of %d rounds of %s deliveries; %d events in all.",
		thousands(h.connected()), what, by, where, h.starts(), h.blocks, thousands(h.cycles*h.connected()), events)
}

// live is one life of all servers, from their start: memory without and with
// connections, and CPU while nothing happens. The last life goes on with events.
func (h *holding) live(ctx context.Context, list []contender, life int) error {
	all, err := h.launch(ctx, list, load.Target{Streams: h.streams, Sockets: h.sockets, Secure: h.secure || h.share > 0, Share: h.share, Channels: h.channels()}, nil)
	defer stopAll(all)
	if err != nil {
		return err
	}
	if err := h.warm(ctx, all); err != nil {
		return err
	}
	if err := h.open(ctx, turns(all, life)); err != nil {
		return err
	}
	held := memoryHeld
	if h.share > 1 {
		held = memoryPoll
	}
	if h.share == 0 {
		if err := h.idle(ctx, all); err != nil {
			return err
		}
	}
	if err := h.remember(all, held); err != nil || life < h.starts()-1 {
		return err
	}
	return h.events(ctx, all)
}

// warm has a few connections come and go, and then reads the memory.
func (h *holding) warm(ctx context.Context, all []*running) error {
	for _, r := range all {
		if _, err := r.openAll(ctx, warmup); err != nil {
			return err
		}
		if err := h.cycle(ctx, r, nil); err != nil {
			return err
		}
		if err := r.visitors.Close(); err != nil {
			return err
		}
		r.open = 0
		if err := r.holds(ctx, 0); err != nil {
			return err
		}
	}
	if err := pause(ctx, h.settle/3); err != nil {
		return err
	}
	for _, r := range all {
		var err error
		if r.empty, err = memory(r.server.pid()); err != nil {
			return err
		}
	}
	return nil
}

func (h *holding) open(ctx context.Context, all []*running) error {
	for _, r := range all {
		report, err := r.openAll(ctx, h.connected())
		if err != nil {
			return err
		}
		h.faults.add(h.name+", "+r.name, report)
		if report.Suite != "" && !slices.Contains(h.suites, report.Suite) {
			h.suites = append(h.suites, report.Suite)
		}
	}
	return pause(ctx, h.settle)
}

// idle measures the CPU of all servers at once, while nothing happens.
func (h *holding) idle(ctx context.Context, all []*running) error {
	before := make([]time.Duration, len(all))
	for i, r := range all {
		var err error
		if before[i], err = r.cpu(); err != nil {
			return err
		}
	}
	if err := pause(ctx, h.settle); err != nil {
		return err
	}
	for i, r := range all {
		after, err := r.cpu()
		if err != nil {
			return err
		}
		h.add(cpuIdle, r.name, 100*(after-before[i]).Seconds()/h.settle.Seconds())
	}
	return nil
}

// remember adds the servers' memory for each connection, beyond the empty server's.
func (h *holding) remember(all []*running, m metric) error {
	for _, r := range all {
		each, err := perConnection(r)
		if err != nil {
			return err
		}
		h.add(m, r.name, each)
	}
	return nil
}

func perConnection(r *running) (float64, error) {
	now, err := memory(r.server.pid())
	return (now - r.empty) / float64(r.open), err
}

// events is the part of a life in which events happen.
func (h *holding) events(ctx context.Context, all []*running) error {
	for range warmCycles {
		for _, r := range all {
			if err := h.cycle(ctx, r, nil); err != nil {
				return err
			}
		}
	}
	for block := range h.blocks {
		if err := h.block(ctx, all, block); err != nil {
			return err
		}
	}
	if err := pause(ctx, h.settle); err != nil {
		return err
	}
	if err := h.remember(all, memoryAfter); err != nil || !h.long || !h.grows {
		return err
	}
	return h.grow(ctx, all)
}

// grow goes on to 100 events, and compares the memory: the median of that after each of
// the last quarter of them with that of the first. One reading is no measure where a
// server has its garbage or has just collected it.
func (h *holding) grow(ctx context.Context, all []*running) error {
	const last = 100
	begin := warmCycles + h.blocks*h.cycles
	quarter := max(1, (last-begin)/4)
	early, late := make(map[string][]float64), make(map[string][]float64)
	for event := begin; event < last; event++ {
		for _, r := range turns(all, event) {
			if err := h.cycle(ctx, r, nil); err != nil {
				return err
			}
			into := late
			if event < begin+quarter {
				into = early
			} else if event < last-quarter {
				continue
			}
			each, err := perConnection(r)
			if err != nil {
				return err
			}
			into[r.name] = append(into[r.name], each)
		}
	}
	if err := pause(ctx, h.settle); err != nil {
		return err
	}
	if err := h.remember(all, memoryLong); err != nil {
		return err
	}
	for _, r := range all {
		h.add(growth, r.name, median(late[r.name])/median(early[r.name]))
	}
	return nil
}
