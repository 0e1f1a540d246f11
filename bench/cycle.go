//go:build linux

package main

import (
	"context"
	"time"
)

// usage is what a block of cycles took.
type usage struct {
	began, delivery spent
	last, half      []time.Duration
}

// block is a round of CPU: the contenders take turns, cycle by cycle. What a
// server does late, such as collecting garbage, counts in the whole cycle.
func (h *holding) block(ctx context.Context, all []*running, block int) error {
	uses := make(map[*running]*usage)
	for _, r := range all {
		began, err := r.spent()
		if err != nil {
			return err
		}
		uses[r] = &usage{began: began}
	}
	for cycle := range h.cycles {
		for _, r := range turns(all, block*h.cycles+cycle) {
			if err := h.cycle(ctx, r, uses[r]); err != nil {
				return err
			}
		}
	}
	for _, r := range all {
		if err := h.account(r, uses[r]); err != nil {
			return err
		}
	}
	return nil
}

// account adds a block's figures.
func (h *holding) account(r *running, u *usage) error {
	ended, err := r.spent()
	if err != nil {
		return err
	}
	each := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(h.cycles*r.open) }
	whole := ended.minus(u.began)
	if h.streams {
		u.delivery = whole
	} else {
		h.add(cpuNext, r.name, each(whole.minus(u.delivery).all()))
		h.add(cpuCycle, r.name, each(whole.all()))
	}
	h.add(cpuDelivery, r.name, each(u.delivery.all()))
	h.add(cpuKernel, r.name, each(u.delivery.kernel))
	for i := range u.last {
		h.add(halfAnswer, r.name, u.half[i].Seconds()*1e3)
		h.add(lastAnswer, r.name, u.last[i].Seconds()*1e3)
	}
	return nil
}

// linger is how long a server has for what it does after the last answer.
const linger = 100 * time.Millisecond

// cycle publishes one event in each channel, waits until everybody has it, and
// only then has everybody ask for the next one.
func (h *holding) cycle(ctx context.Context, r *running, u *usage) error {
	before, err := r.spent()
	if err != nil {
		return err
	}
	report, err := r.visitors.Publish()
	if err != nil {
		return err
	}
	h.faults.add(h.name+", "+r.name, report)
	if err := pause(ctx, linger); err != nil {
		return err
	}
	after, err := r.spent()
	if err != nil {
		return err
	}
	if u != nil {
		u.delivery = u.delivery.plus(after.minus(before))
		u.half, u.last = append(u.half, report.Median), append(u.last, report.Last)
	}
	if h.streams {
		return nil
	}
	if report, err = r.visitors.Again(); err != nil {
		return err
	}
	h.faults.add(h.name+", "+r.name, report)
	return r.holds(ctx, r.open)
}
