package hub

import (
	"container/list"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Hub is an isolated set of channels. Make one with [New]. All methods are safe
// for concurrent use and none waits for a reader.
//
// One lock guards everything. It is taken after the log's own, if the log calls,
// and before a [Sub]'s; the log and the wakers are called without it.
type Hub struct {
	log    Log
	clock  Clock
	onDone func(d time.Duration)

	// ended is closed by Close.
	ended chan struct{}

	mu     sync.Mutex
	closed bool
	limits Limits
	epoch  Epoch
	// head is the sequence of the last entry that was applied.
	head uint64
	// quiet is the sequence of the last event that woke nobody. Whoever waits
	// from before it must be given it with the next one.
	quiet uint64
	// floor is the greatest sequence that a forgotten channel may have had:
	// whoever asks a new channel for older events may have lost some.
	floor    uint64
	channels map[string]*channel
	// most is how many channels there were at once, since their map was made.
	most int
	subs map[*Sub]struct{}
	// follows is in how many channels all subscriptions are together.
	follows int

	// order is every event in the history, oldest first, from order[orderGone].
	// Events that their channel dropped already leave a stale item behind.
	order     []orderItem
	orderGone int
	live      int   // events in the history
	bytes     int64 // their sizes
	// idle are the channels that nobody needs, the longest idle first. They are
	// kept for idleKeep, because a poll that is answered comes back.
	idle *list.List
	// spare are the channels that are nothing but history, the longest unused
	// first: they go when there is no room for another.
	spare *list.List
	// graced are the channels that keep more than their count, for [Grace].
	graced []*channel
	// sharing are the channels that keep deliveries to share.
	sharing  []*channel
	sweeping bool

	jobs    []job
	working bool

	// attendance is told who follows what, nil where nobody wants to know.
	attendance Attendance
	// kicks are those that are remembered, and when they were.
	kicks map[Kick]time.Time
	// hasKicks says that there are some, to those who do not hold the lock.
	hasKicks atomic.Bool

	opened, delivered uint64
	published         map[string]uint64
	full              Full

	// flights is what is on its way to readers, arriving what is from publishers.
	flights                 flights
	arriving, arrivingLimit atomic.Int64
	// shelf counts what the deliveries keep that are shared.
	shelf *shelf

	// dropped is what a log that keeps the history has to be told; nil where none
	// does.
	dropped *Dropped
	// restored is the head with which this life of the hub began.
	restored uint64
	// begun says that the hub may be used, and begins is closed then.
	begun  atomic.Bool
	begins chan struct{}
}

// Config is what a hub is made of.
type Config struct {
	Log    Log
	Clock  Clock // nil: SystemClock
	Limits Limits
	// OnFanout, if not nil, is told after the last receiver of a publish has
	// written, with the time since the log took the event. It is not told of a
	// publish that woke nobody. It must be quick.
	OnFanout func(sincePublish time.Duration)
	// Waits has whoever publishes, subscribes or asks for news wait for
	// [Hub.Begin]: the log will be given its past before.
	Waits bool
}

// New opens the log and returns its hub.
func New(c Config) (*Hub, error) {
	if c.Clock == nil {
		c.Clock = SystemClock{}
	}
	h := &Hub{
		log: c.Log, clock: c.Clock, onDone: c.OnFanout, limits: c.Limits, ended: make(chan struct{}),
		channels: make(map[string]*channel), subs: make(map[*Sub]struct{}),
		idle: list.New(), spare: list.New(), published: make(map[string]uint64),
		begins: make(chan struct{}), flights: newFlights(),
	}
	h.setFlightsLocked() // nobody else has it yet
	if !c.Waits {
		h.Begin()
	}
	h.remember(c.Limits.Channels)
	epoch, head, err := c.Log.Open(h)
	if err != nil {
		return nil, fmt.Errorf("opening the hub's log: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.epoch != 0 {
		return h, nil // reset in the meantime
	}
	h.epoch = epoch
	if head > h.head {
		h.lostLocked(head)
		h.head = head
	}
	return h, nil
}

// SetLimits changes the limits. What is over them now goes at the next
// occasion; nobody who waits is sent away.
func (h *Hub) SetLimits(l Limits) {
	h.remember(l.Channels)
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.Holds != h.limits.Holds {
		h.full.Holds = 0
	}
	if l.Channels != h.limits.Channels {
		h.full.Channels = 0
	}
	h.limits = l
	h.setFlightsLocked()
	for _, ch := range h.channels {
		h.trimLocked(ch)
		h.settleLocked(ch)
	}
	h.trimTotalLocked()
}

// remember tells the log how many channels' stamps it is to remember.
func (h *Hub) remember(channels int) {
	if r, ok := h.log.(Rememberer); ok {
		r.Remember(channels)
	}
}

// Limits returns the limits in force.
func (h *Hub) Limits() Limits {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.limits
}

// Cursor returns the position behind everything that has happened.
func (h *Hub) Cursor() Cursor {
	h.await()
	h.mu.Lock()
	defer h.mu.Unlock()
	return Cursor{h.epoch, h.head}
}

// Close ends the hub and its log. Publishing and subscribing fail from then on;
// who waits keeps waiting until its own end, or sees by [Hub.Ended] that nothing
// will come.
func (h *Hub) Close() error {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		close(h.ended)
	}
	h.mu.Unlock()
	return h.log.Close()
}

// Begin lets those in who wait for it; see [Config.Waits]. It may be called more
// than once.
func (h *Hub) Begin() {
	if h.begun.CompareAndSwap(false, true) {
		close(h.begins)
	}
}

// await waits until the hub may be used, or has ended.
func (h *Hub) await() {
	if h.begun.Load() {
		return
	}
	select {
	case <-h.begins:
	case <-h.ended:
	}
}

// Ended is closed when the hub is.
func (h *Hub) Ended() <-chan struct{} { return h.ended }

// openLocked returns the channel, new if need be and if there is room. It
// cannot be forgotten until settleLocked.
func (h *Hub) openLocked(name string) (*channel, error) {
	if ch := h.channels[name]; ch != nil {
		ch.leaveList()
		return ch, nil
	}
	for len(h.channels) >= h.limits.Channels {
		if !h.makeRoomLocked() {
			h.full.Channels++
			return nil, tooMany(ErrTooManyChannels, h.limits.Channels, "raise max_channels")
		}
	}
	return h.addLocked(name), nil
}

// addLocked makes a channel. A client may have a stamp from before the channel
// was forgotten, so that its next one must be greater.
func (h *Hub) addLocked(name string) *channel {
	name = strings.Clone(name) // it may be a piece of a whole request
	ch := &channel{name: name, floor: h.floor, stampTaken: true}
	h.channels[name] = ch
	h.most = max(h.most, len(h.channels))
	return ch
}

// settleLocked puts the channel among those that may be forgotten, if it is one.
func (h *Hub) settleLocked(ch *channel) {
	if h.channels[ch.name] != ch {
		return
	}
	var in *list.List
	switch {
	case ch.needed():
	case len(ch.history()) > 0:
		in = h.spare
	default:
		in = h.idle
	}
	if in == ch.list {
		return
	}
	ch.leaveList()
	if in == nil {
		return
	}
	ch.list, ch.place = in, in.PushBack(ch)
	if in == h.idle {
		ch.idleSince = h.clock.Now()
		h.armSweepLocked()
	}
}

// makeRoomLocked forgets one channel, if there is one that nobody follows.
func (h *Hub) makeRoomLocked() bool {
	front := h.idle.Front()
	if front == nil {
		front = h.spare.Front()
	}
	if front == nil {
		return false
	}
	h.forgetLocked(front.Value.(*channel))
	return true
}

func (h *Hub) forgetLocked(ch *channel) {
	h.clearLocked(ch)
	ch.leaveList()
	h.floor = max(h.floor, ch.floor)
	delete(h.channels, ch.name)
	h.noteGoneLocked(ch)
}

// lostLocked says that nothing up to seq is known any more.
func (h *Hub) lostLocked(seq uint64) {
	h.floor = max(h.floor, seq)
	for _, ch := range h.channels {
		ch.floor = max(ch.floor, seq)
	}
}

// Delete forgets a channel's history and reports whether there was the channel.
// [Hub.Settle] waits until it is off the disk, too.
// Who follows it goes on; cursors before are told of a gap.
func (h *Hub) Delete(name string) bool {
	h.await()
	h.mu.Lock()
	defer h.mu.Unlock()
	ch := h.channels[name]
	if ch == nil || ch.list == h.idle {
		return false
	}
	h.clearLocked(ch)
	h.settleLocked(ch)
	return true
}

// Gone says that the thing behind a channel is gone (its file was deleted), so
// that the channel may be forgotten when nothing else needs it.
func (h *Hub) Gone(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ch := h.channels[name]; ch != nil {
		ch.kept = false
		h.settleLocked(ch)
	}
}

func tooMany(err error, limit int, cure string) error {
	return fmt.Errorf("%w: the limit is %d; %s", err, limit, cure)
}
