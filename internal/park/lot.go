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
	loops   []*loop
	next    atomic.Uint32
	mistake func(reason any, stack []byte)
	// short is told that there is hardly a descriptor left.
	short func()
	close sync.Once
	// sockets: the loops watch sockets themselves. own: they keep plain ones alone,
	// without a [net.Conn], which saves memory and time where a [Resumer] spares most
	// connections the way home; that way is longer then.
	sockets, own bool
	// writeTimeout and politeTime are the constants, but in tests.
	writeTimeout, politeTime time.Duration
	// addrs are the local addresses of connections. There are few.
	addrs sync.Map
}

// maxLoops is the most loops that are of use: they write, and a write is the
// kernel's work, which is done on as many cores.
const maxLoops = 4

// loopsFor leaves half of the processors to those who publish and to the routes: a
// loop hears of more at once where there are fewer, which costs less.
func loopsFor(processors int) int { return min(maxLoops, max(1, processors/2)) }

// New returns a lot. Mistakes of guests, which are panics, are told mistake. short
// is called each time that there is hardly a descriptor left; it must not block.
func New(mistake func(reason any, stack []byte), short func()) (*Lot, error) {
	lot := &Lot{mistake: mistake, short: short, sockets: watchesSockets, own: watchesSockets, writeTimeout: WriteTimeout, politeTime: politeTime}
	if err := lot.open(loopsFor(runtime.GOMAXPROCS(0)), newWatch); err != nil {
		return nil, err
	}
	return lot, nil
}

// open starts the loops.
func (lot *Lot) open(loops int, newWatch func(*loop) (watch, error)) error {
	for range loops {
		l := &loop{lot: lot}
		w, err := newWatch(l)
		if err != nil {
			lot.Close()
			return err
		}
		l.watch = w
		lot.loops = append(lot.loops, l)
		go l.run()
	}
	return nil
}

// Watches reports whether the loops watch sockets, which it takes for [Conn.Recall].
func (lot *Lot) Watches() bool { return lot.sockets }

// Conn makes a connection one that can be parked. Its HTTP server must be done
// with it but for early, which was read from it already. Until it is parked by
// [Conn.Park] it is nobody's.
func (lot *Lot) Conn(c net.Conn, early []byte, terms *Terms) *Conn {
	l := lot.loops[int(lot.next.Add(1))%len(lot.loops)]
	p := &Conn{loop: l, net: c, terms: terms, place: -1, fd: -1, state: coming}
	if len(early) > 0 {
		p.early, p.spoken = joined(nil, early), true
	}
	if a := c.RemoteAddr(); a != nil {
		p.remote = a.String()
	}
	p.local = lot.known(c.LocalAddr())
	if socket, plain := raw(c); socket != nil && lot.sockets {
		p.fd, p.plain = descriptor(socket), plain
		p.own = lot.own && plain && p.adopt()
	}
	l.held.Add(1)
	process.note()
	return p
}

// On has a connection that never left go on by other terms: those of the server that
// took it. It is for who has it from a trial, ahead of [Conn.Park].
func (c *Conn) On(terms *Terms) { c.terms = terms }

// Park hands the connection over to the guest.
func (c *Conn) Park(g Guest) {
	if c.trial != nil {
		c.loop.held.Add(1)
	}
	c.guest = g
	if !c.loop.tell(result{conn: c, what: arriving}) {
		c.leave()
		if c.trial == nil { // else the loop has closed it
			c.shut()
		}
	}
}

// Call has f called as one of the guest's own methods, unless the guest is gone by
// then. It may be called from any goroutine.
func (c *Conn) Call(f func()) {
	c.loop.do(func() {
		c.loop.step(c, func(c *Conn) {
			if c.state == held {
				f()
			}
		})
	})
}

// known is an address that is equal to another's, of which one is enough.
func (lot *Lot) known(a net.Addr) net.Addr {
	if a == nil {
		return nil
	}
	same, _ := lot.addrs.LoadOrStore(a.Network()+" "+a.String(), a)
	return same.(net.Addr)
}

// Each calls f for each guest, as one of its own methods.
func (lot *Lot) Each(f func(Guest)) {
	for _, l := range lot.loops {
		l.do(func() {
			l.all(func(c *Conn) {
				if c.state == held {
					f(c.guest)
				}
			})
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
	for _, l := range lot.loops {
		l.do(func() {
			l.stopping = true
			l.all((*Conn).stop)
		})
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
			l.shut()
		}
	})
}
