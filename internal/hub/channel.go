package hub

import (
	"bytes"
	"container/list"
	"slices"
	"sort"
	"time"
)

// channel is one named stream of events. All of it is under the hub's lock.
type channel struct {
	name string

	// events is the history, oldest first. It begins at events[gone]: the space
	// before is given back when half of it is gone.
	events []*Event
	gone   int
	bytes  int64
	// floor is the sequence of the newest event that is no longer here. Nobody
	// whose position is before it can be given everything.
	floor uint64

	// waiters are the armed subscriptions. An event takes the whole list in one
	// step and a new one begins (takes counts how often), so that publishing
	// costs the same for one waiter and for many.
	waiters []waiter
	takes   uint32
	// told is how many events there were.
	told uint64
	// subs counts all subscriptions that name the channel, armed or not.
	subs int

	// news is the newest event that was news (not Quiet), newsStamp the stamp
	// after the newest entry that was.
	news      uint64
	newsStamp int64

	// stamp is the channel's newest stamp, 0 without one.
	stamp int64
	// stampTaken says that a client may have the last stamp.
	stampTaken bool
	// stampOwed says that an event shares a stamp that was taken before it, so
	// that the stamp must rise once more.
	stampOwed bool
	// unpaid: it has not risen since, and all events behind paid are to have
	// another stamp than they have.
	unpaid bool
	paid   uint64
	// kept says that a source stands behind the channel (a file exists), whose
	// stamp would be lost with it.
	kept bool
	// state says that the newest event is what the thing behind the channel is
	// now, and is never too old.
	state bool
	// source is where the newest event came from.
	source string
	// noted: a log that keeps the history has the channel's floor.
	noted bool

	// place is the channel's place in list: the hub's idle or spare channels,
	// both nil while somebody needs it.
	list      *list.List
	place     *list.Element
	idleSince time.Time
	// graced and sharing: the channel is in the hub's lists of these names.
	graced, sharing bool

	// batch is the batch being applied, if it has a group for this channel.
	batch *batch
	group int

	// shared are the latest catch-up deliveries: after an event many come back
	// from the same place and get the same.
	shared []sharedDelivery
	next   int
}

// maxShared is how many catch-up deliveries a channel shares at once.
const maxShared = 4

// waiter is an armed subscription as a channel sees it.
type waiter struct {
	sub *Sub
	// arm tells this arming of the subscription from earlier and later ones.
	arm uint32
	// member is the channel's place in the subscription's list.
	member int32
}

type sharedDelivery struct {
	first, last uint64
	delivery    *Delivery
}

// history returns what is kept, oldest first.
func (c *channel) history() []*Event { return c.events[c.gone:] }

// after returns what is kept beyond seq.
func (c *channel) after(seq uint64) []*Event {
	h := c.history()
	return h[sort.Search(len(h), func(i int) bool { return h[i].Seq > seq }):]
}

// newest returns the sequence of the last event, 0 without one.
func (c *channel) newest() uint64 {
	if h := c.history(); len(h) > 0 {
		return h[len(h)-1].Seq
	}
	return 0
}

// oldest returns the position before the newest events, most of them at most, of
// which nothing is missing.
func (c *channel) oldest(most int) uint64 {
	h := c.history()
	h = h[max(0, len(h)-most):]
	if len(h) == 0 {
		return c.floor
	}
	return max(h[0].Seq-1, c.floor)
}

func (c *channel) push(e *Event) {
	c.events = append(c.events, e)
	c.bytes += eventSize(e)
}

// drop forgets the oldest event.
func (c *channel) drop() *Event {
	e := c.events[c.gone]
	c.events[c.gone] = nil
	c.gone++
	c.bytes -= eventSize(e)
	c.floor = max(c.floor, e.Seq)
	if c.gone*2 >= len(c.events) {
		c.events = append([]*Event(nil), c.history()...)
		c.gone = 0
	}
	return e
}

// overfull reports whether the oldest event must go. now decides on age and
// grace.
func (c *channel) overfull(l Limits, now time.Time) bool {
	h := c.history()
	if len(h) == 0 {
		return false
	}
	age := now.Sub(h[0].Time)
	switch {
	case c.presentLocked():
		return false
	case age < Grace:
		return c.bytes > l.HistoryBytes && len(h) > 1
	case len(h) > l.HistoryCount, c.bytes > l.HistoryBytes, age > l.HistoryAge:
		return true
	}
	return false
}

// presentLocked reports whether the history is down to the present state of
// the thing behind the channel.
func (c *channel) presentLocked() bool { return c.kept && c.state && len(c.history()) == 1 }

// says reports whether a draft's content is the state that the newest event told
// already: somebody looks at the thing anew, who did not see that it stayed.
func (c *channel) says(d *Draft) bool {
	h := c.history()
	if !d.State || !c.state || len(h) == 0 {
		return false
	}
	e := h[len(h)-1]
	return e.ContentType == d.ContentType && bytes.Equal(e.Data, d.Data)
}

// needed reports whether more than history would be lost with the channel.
func (c *channel) needed() bool { return c.subs > 0 || c.kept || c.stampOwed }

// leaveList takes the channel out of those that may be forgotten.
func (c *channel) leaveList() {
	if c.list != nil {
		c.list.Remove(c.place)
		c.list, c.place = nil, nil
	}
}

// restamp gives the newest event the stamp that was owed for it, for those who
// had the stamp that it shared.
func (c *channel) restamp() {
	last := len(c.events) - 1
	if last < c.gone || c.events[last].Stamp >= c.stamp {
		return
	}
	e := *c.events[last]
	e.Stamp = c.stamp
	c.events[last] = &e
	c.shared = nil
}

// sharedDelivery returns the delivery of events, which are a piece of the
// history: the same one for all who ask for the same.
func (c *channel) sharedDelivery(events []*Event, epoch Epoch, on *shelf) *Delivery {
	first, last := events[0].Seq, events[len(events)-1].Seq
	for _, s := range c.shared {
		if s.first == first && s.last == last {
			return s.delivery
		}
	}
	d := &Delivery{Events: slices.Clone(events), Cursor: Cursor{epoch, last}, shelf: on}
	if s := (sharedDelivery{first, last, d}); len(c.shared) < maxShared {
		c.shared = append(c.shared, s)
	} else {
		c.shared[c.next] = s
		c.next = (c.next + 1) % maxShared
	}
	return d
}

// stampEvent stands for the channel's newest stamp.
func (c *channel) stampEvent() *Event {
	return &Event{Channel: c.name, Seq: c.newest(), Stamp: c.stamp, Type: DefaultType}
}

func eventSize(e *Event) int64 {
	return int64(len(e.Data)+len(e.Forms)+len(e.ID)+len(e.Channel)+len(e.Type)+len(e.ContentType)) + eventOverhead
}
