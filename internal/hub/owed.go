package hub

import (
	"context"
	"errors"
)

// raiseStampLocked takes over an entry's stamp. Where the entry shares one that
// a client has already, the stamp must rise once more as soon as it may.
func (h *Hub) raiseStampLocked(ch *channel, e *Entry) {
	switch {
	case e.Stamp > ch.stamp:
		ch.stamp = e.Stamp
		ch.stampTaken = e.Quiet // an earlier life may have given it to someone
		if !e.Quiet {           // else nobody has been told, and it is owed as before
			ch.stampOwed, ch.unpaid = false, false
		}
	case ch.stampTaken && !e.Quiet:
		h.oweStampLocked(ch)
	}
	if !e.Quiet {
		ch.newsStamp = ch.stamp
	}
}

func (h *Hub) oweStampLocked(ch *channel) {
	if ch.stampOwed {
		return
	}
	ch.stampOwed = true
	if !ch.unpaid {
		ch.unpaid, ch.paid = true, ch.newest()
	}
	h.clock.AfterFunc(stampPause, func() { h.payStamp(ch) })
}

// payStamp asks the log for a new stamp, unless one came meanwhile.
func (h *Hub) payStamp(ch *channel) {
	h.mu.Lock()
	pay := ch.stampOwed && !h.closed && h.channels[ch.name] == ch
	ch.stampOwed = false
	if !pay {
		h.settleLocked(ch) // else the stamp's entry will
	}
	h.mu.Unlock()
	if !pay {
		return
	}
	drafts := []Draft{{Channel: ch.name, StampOnly: true, StampTaken: true}}
	h.log.Append(context.Background(), drafts, func(_ []Place, err error) {
		if err == nil || errors.Is(err, ErrClosed) {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.oweStampLocked(ch)
	})
}
