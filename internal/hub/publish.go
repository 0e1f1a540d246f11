package hub

import (
	"context"
	"fmt"
	"slices"
)

// Result is what a publisher learns of one draft.
type Result struct {
	Channel string
	Cursor  Cursor
	// Receivers is how many subscriptions on this machine followed the channel
	// when the draft came.
	Receivers int
	// Repeated says that the draft had been published before, by its ID.
	Repeated bool
}

// Publish appends drafts as one batch and waits until the log has them. An
// error means that none of them happened, except for an error of ctx, after
// which they may still happen. The errors are [ErrName], [ErrTooLarge],
// [ErrTooManyChannels], [ErrClosed] and the log's own.
func (h *Hub) Publish(ctx context.Context, drafts []Draft) ([]Result, error) {
	h.await()
	drafts, results, err := h.admit(drafts)
	if err != nil {
		return nil, err
	}
	type outcome struct {
		places []Place
		err    error
	}
	done := make(chan outcome, 1)
	h.log.Append(ctx, drafts, func(p []Place, err error) { done <- outcome{p, err} })
	var o outcome
	select {
	case o = <-done: // what has happened is told, even if ctx has ended since
	default:
		select {
		case o = <-done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if o.err != nil {
		return nil, o.err
	}
	epoch := h.Cursor().Epoch
	for i, p := range o.places {
		results[i].Cursor = Cursor{epoch, p.Seq}
		results[i].Repeated = p.Repeated
	}
	return results, nil
}

// admit checks the drafts and returns a copy that is the log's to keep, and the
// results as far as they are known.
func (h *Hub) admit(drafts []Draft) ([]Draft, []Result, error) {
	for i := range drafts {
		if err := CheckChannel(drafts[i].Channel); err != nil {
			return nil, nil, err
		}
	}
	drafts = slices.Clone(drafts)
	results := make([]Result, len(drafts))
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, nil, ErrClosed
	}
	// All are opened before the first is settled: else each would make room for
	// the next, and a batch of any size would find room.
	opened := make([]*channel, 0, len(drafts))
	defer func() {
		for _, ch := range opened {
			h.settleLocked(ch)
		}
	}()
	for i := range drafts {
		d := &drafts[i]
		if size := len(d.Data) + len(d.Forms); size > h.limits.EventBytes {
			return nil, nil, fmt.Errorf("%w: %d bytes, and %d are allowed (max_event)", ErrTooLarge, size, h.limits.EventBytes)
		}
		ch, err := h.openLocked(d.Channel)
		if err != nil {
			return nil, nil, err
		}
		opened = append(opened, ch)
		h.knownLocked(ch, d)
		d.Channel, d.StampTaken = ch.name, ch.stampTaken
		d.StampOnly = d.StampOnly || d.Quiet && ch.says(d)
		results[i] = Result{Channel: ch.name, Receivers: ch.subs}
	}
	return drafts, results, nil
}

// Apply implements [Follower]: it makes the log's entries happen here.
func (h *Hub) Apply(entries []Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := new(batch)
	if len(entries) > 0 {
		b.began = entries[0].Time // a disk may have taken its time since
	}
	for i := range entries {
		h.applyLocked(b, &entries[i])
	}
	h.startLocked(b)
}

func (h *Hub) applyLocked(b *batch, e *Entry) {
	before := e.Seq
	if !e.StampOnly {
		before--
	}
	if before > h.head { // a log that kept its newest entries only begins so
		h.lostLocked(before)
	}
	h.head = max(h.head, e.Seq)
	ch, err := h.openLocked(e.Channel)
	if err != nil {
		ch = h.addLocked(e.Channel) // the log has it, so it has happened
	}
	defer h.settleLocked(ch)
	ch.kept = ch.kept || e.Kept
	h.raiseStampLocked(ch, e)
	if e.Lost {
		ch.floor, ch.news = e.Seq, e.Seq
		h.noteLocked(ch)
		b.add(ch, nil, false)
		return
	}
	if e.StampOnly {
		if !e.Quiet {
			ch.restamp()
		}
		b.add(ch, nil, e.Quiet)
		return
	}
	event := e.event(ch)
	if e.Quiet {
		h.quiet = e.Seq
	} else {
		ch.news = e.Seq
	}
	ch.state, ch.source = e.State, e.Source
	h.published[e.Source]++
	ch.told++
	b.add(ch, event, e.Quiet)
	h.keepLocked(ch, event)
}

// Reset implements [Follower]: every cursor and all history are of the past.
func (h *Hub) Reset(epoch Epoch, head uint64) {
	h.mu.Lock()
	for _, ch := range h.channels {
		h.clearLocked(ch)
		ch.floor, ch.news = head, 0
		h.settleLocked(ch)
	}
	h.order, h.orderGone = nil, 0
	h.epoch, h.head, h.floor, h.quiet = epoch, head, head, 0
	gap := &Delivery{Cursor: Cursor{epoch, head}, Gap: true}
	var woken []*Sub
	for s := range h.subs {
		for i := range s.members {
			s.members[i].pos = head
		}
		if s.stamps {
			continue
		}
		if s.gap = s.state != subArmed; !s.gap {
			s.disarmLocked()
			s.comes(gap)
			h.delivered++
			woken = append(woken, s)
		}
	}
	h.mu.Unlock()
	for _, s := range woken {
		s.wake()
	}
}
