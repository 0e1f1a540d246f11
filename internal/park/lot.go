package park

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Lot is where connections are parked. It lasts as long as the process.
type Lot struct {
	loops    []*loop
	next     atomic.Uint32
	stopping atomic.Bool
	mistake  func(reason any, stack []byte)
	close    sync.Once
}

// maxLoops is the most loops that are of use: they write, and a write is the
// kernel's work, which is done on as many cores.
const maxLoops = 4

// New returns a lot. Mistakes of guests, which are panics, are told mistake.
func New(mistake func(reason any, stack []byte)) (*Lot, error) {
	lot := &Lot{mistake: mistake}
	for range min(maxLoops, runtime.GOMAXPROCS(0)) {
		l := &loop{lot: lot}
		w, err := newWatch(l)
		if err != nil {
			lot.Close()
			return nil, err
		}
		l.watch = w
		lot.loops = append(lot.loops, l)
		go l.run()
	}
	return lot, nil
}

// Conn makes a connection one that can be parked. Its HTTP server must be done
// with it but for early, which was read from it already. Until it is parked by
// [Conn.Park] it is nobody's.
func (lot *Lot) Conn(c net.Conn, early []byte, terms *Terms) *Conn {
	l := lot.loops[int(lot.next.Add(1))%len(lot.loops)]
	p := &Conn{loop: l, net: c, terms: terms, place: -1, fd: -1}
	if len(early) > 0 {
		p.early, p.spoken = joined(nil, early), true
	}
	if socket, plain := raw(c); socket != nil && watchesSockets {
		p.fd, p.plain = descriptor(socket), plain
		if plain && terms.Own {
			p.own = p.adopt()
		}
	}
	l.held.Add(1)
	return p
}

// Park hands the connection over to the guest.
func (c *Conn) Park(g Guest) {
	c.guest = g
	c.loop.tell(result{conn: c, what: arriving})
}

// Each calls f for each guest, as one of its own methods.
func (lot *Lot) Each(f func(Guest)) {
	for _, l := range lot.loops {
		l.call(func(c *Conn) {
			if c.state == held {
				f(c.guest)
			}
		})
	}
}

// Held is how many guests there are.
func (lot *Lot) Held() (n int) {
	for _, l := range lot.loops {
		n += int(l.held.Load())
	}
	return n
}

// Stop stops all guests, and those who still come, and closes the connections
// that wait for their client's next request.
func (lot *Lot) Stop() {
	lot.stopping.Store(true)
	for _, l := range lot.loops {
		l.call((*Conn).stop)
	}
}

// Drain waits until no guest is left, for the time given at most.
func (lot *Lot) Drain(atMost time.Duration) {
	const look = 10 * time.Millisecond
	for end := In(atMost); lot.Held() > 0 && Now() < end; {
		time.Sleep(look)
	}
}

// Close ends the loops, and closes all connections without a word.
func (lot *Lot) Close() {
	lot.close.Do(func() {
		for _, l := range lot.loops {
			l.mu.Lock()
			l.closed = true
			l.wakeLocked()
		}
	})
}
