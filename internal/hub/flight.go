package hub

import (
	"container/list"
	"fmt"
	"sync"
	"sync/atomic"
)

// What is on its way takes memory, too: answers that their readers have not taken
// yet, and data that its publishers have not sent completely. Nobody waits for a
// slow reader, so without a bound each could keep an answer of his own, of some
// MiB, for as long as he likes. [Limits.InFlightBytes] is that bound: half of it is
// for answers, and a quarter each for what is kept of answers for others who ask
// for the same (see [Delivery.Encoded]), and for what publishers send.

// flights are the answers that are on their way. The same bytes may go to many
// readers, and count once.
type flights struct {
	// readers are those to whom answers are on their way that nothing follows.
	readers atomic.Int64

	mu    sync.Mutex
	limit int64
	bytes int64
	loads map[*byte]*load
	// order has the loads, the oldest first.
	order *list.List
}

func newFlights() flights { return flights{loads: make(map[*byte]*load), order: list.New()} }

// load is the same bytes for all readers who get them.
type load struct {
	key   *byte
	bytes int64
	place *list.Element // nil if it was cut
	to    map[*Flight]struct{}
}

// Flight is an answer on its way to one reader.
type Flight struct {
	hub  *Hub
	load *load
	// alone: nothing follows it, and no subscription stands for its reader.
	alone bool

	// mu is held while cut is called.
	mu             sync.Mutex
	cut            func()
	landed, wasCut bool
}

// Fly says that an answer is on its way, of which b are the bytes that it keeps in
// memory until [Flight.Land]. alone says that it is the end of what its reader
// asked for; he counts as a hold until he has it.
//
// If there is more on its way than may be, what has been so for the longest time is
// cut for all its readers: cut is called, once at most, by another goroutine and
// not after Land has returned. It has the writing end and must not wait for it.
func (h *Hub) Fly(b []byte, alone bool, cut func()) *Flight {
	f := &Flight{hub: h, cut: cut, alone: alone}
	if alone {
		h.flights.readers.Add(1)
	}
	over := h.flights.begin(f, b)
	if len(over) > 0 {
		go func() {
			for _, l := range over {
				for f := range l.to {
					f.sever()
				}
			}
		}()
	}
	return f
}

// begin returns what is to be cut. Nobody else changes its readers any more.
func (s *flights) begin(f *Flight, b []byte) (over []*load) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := &b[0]
	l := s.loads[key]
	if l == nil {
		l = &load{key: key, bytes: int64(cap(b)), to: make(map[*Flight]struct{})}
		l.place = s.order.PushBack(l)
		s.loads[key] = l
		s.bytes += l.bytes
	}
	f.load = l
	l.to[f] = struct{}{}
	for s.bytes > s.limit && s.order.Front() != l.place {
		oldest := s.order.Front().Value.(*load)
		s.endLocked(oldest)
		over = append(over, oldest)
	}
	return over
}

func (s *flights) endLocked(l *load) {
	s.order.Remove(l.place)
	delete(s.loads, l.key)
	s.bytes -= l.bytes
	l.place = nil
}

// Land says that the answer has been written, or never will be, and reports whether
// it was cut. For a nil flight it does nothing.
func (f *Flight) Land() (cut bool) {
	if f == nil {
		return false
	}
	f.mu.Lock()
	cut, f.landed = f.wasCut, true
	f.mu.Unlock()
	if f.alone {
		f.hub.flights.readers.Add(-1)
	}
	s := &f.hub.flights
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := f.load; l.place != nil {
		if delete(l.to, f); len(l.to) == 0 {
			s.endLocked(l)
		}
	}
	return cut
}

func (f *Flight) sever() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.landed {
		f.wasCut = true
		f.cut()
	}
}

func (s *flights) size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

func (s *flights) setLimit(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = n
}

// Freight is data that a publisher is sending. Not safe for concurrent use.
type Freight struct {
	hub   *Hub
	bytes int64
}

// Arriving begins to count what a publisher sends.
func (h *Hub) Arriving() Freight { return Freight{hub: h} }

// Add counts n bytes more. The error is [ErrTooMuch], and then they are not
// counted.
func (f *Freight) Add(n int) error {
	limit := f.hub.arrivingLimit.Load()
	if f.hub.arriving.Add(int64(n)) > limit {
		f.hub.arriving.Add(-int64(n))
		return fmt.Errorf("%w: the limit is %d bytes; publish again in a moment, or raise max_in_flight", ErrTooMuch, limit)
	}
	f.bytes += int64(n)
	return nil
}

// Close says that the data is published, or never will be.
func (f *Freight) Close() {
	f.hub.arriving.Add(-f.bytes)
	f.bytes = 0
}

// shelf counts what shared deliveries keep of their encodings. There is a new one
// whenever they are let go.
type shelf struct {
	hub   *Hub
	limit int64
	bytes atomic.Int64
	full  atomic.Bool
}

// put counts, and has everything let go when that is too much.
func (s *shelf) put(n int) {
	if s != nil && s.bytes.Add(int64(n)) > s.limit && !s.full.Swap(true) {
		s.hub.unshare(s)
	}
}

// unshare lets all shared deliveries go that are on a shelf.
func (h *Hub) unshare(s *shelf) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shelf == s {
		h.unshareLocked()
	}
}

func (h *Hub) unshareLocked() {
	for _, ch := range h.sharing {
		ch.shared, ch.sharing = nil, false
	}
	h.sharing = nil
	h.shelf = &shelf{hub: h, limit: h.limits.InFlightBytes / 4}
}

// setFlightsLocked has the limits of what is on its way in force.
func (h *Hub) setFlightsLocked() {
	h.flights.setLimit(h.limits.InFlightBytes / 2)
	h.arrivingLimit.Store(h.limits.InFlightBytes / 4)
	h.unshareLocked()
}

// inFlight is all that is on its way.
func (h *Hub) inFlight() int64 { return h.flights.size() + h.arriving.Load() }
