package park

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// loop watches a share of the connections. Everything that happens to one of
// them happens on its loop's goroutine, so they have no locks; others reach the
// loop through its lists.
type loop struct {
	lot   *Lot
	watch watch
	conns table
	dues  dues
	// now is when it was last looked at what is due.
	now     Moment
	scratch any
	buffer  []byte
	// nothing is what near has read.
	nothing int
	// spare is a descriptor that is kept for when there is no other, 0 without one.
	spare int
	// stopping: whoever comes is stopped.
	stopping bool
	// held counts the guests, those on their way here included.
	held atomic.Int64

	mu sync.Mutex
	// asleep: nobody looks at the lists before it is woken.
	asleep  bool
	rung    []*Conn
	results []result
	calls   []func()
	closed  bool
}

// watch is how a loop learns what happens on sockets, and sleeps.
type watch interface {
	// add begins to watch. What there is to hear already is heard.
	add(*Conn) error
	// remove ends it. The socket is open still.
	remove(*Conn)
	// yield lets others run first. It comes before each wait, and before anybody wakes
	// from it.
	yield()
	// wait sleeps until something happens, the moment comes, or somebody wakes
	// it, and has the loop hear what happened. 0 is no moment, a past one does not
	// sleep.
	wait(until Moment)
	// wake may be called from any goroutine.
	wake()
	close()
}

// sound is what was heard on a socket.
type sound uint8

const (
	// speech: there is something to read.
	speech sound = 1 << iota
	// silence: nothing will come after that.
	silence
	// broken: nothing can be read or written.
	broken
)

// result is the end of something that a goroutine did for a connection.
type result struct {
	conn *Conn
	what work
	read []byte
	err  error
}

type work uint8

const (
	arriving work = iota
	writing
	reading
)

func (l *loop) ring(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rung = append(l.rung, c)
	l.wakeLocked()
}

// tell reports whether the loop will hear of it.
func (l *loop) tell(r result) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.results = append(l.results, r)
	l.wakeLocked()
	return true
}

// shut has the loop come to its end.
func (l *loop) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wakeLocked()
}

// do has f called by the loop, after all that it was told before, and reports
// whether it will be.
func (l *loop) do(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.calls = append(l.calls, f)
	l.wakeLocked()
	return true
}

// wakeLocked wakes under the lock, without which the loop does not end: the bell of
// one that has ended may have another file's number.
func (l *loop) wakeLocked() {
	if l.asleep {
		l.asleep = false
		l.watch.wake()
	}
}

// maxIdle is how long a list may be that an idle loop keeps.
const maxIdle = 1024

func (l *loop) run() {
	l.keepSpare()
	defer l.giveSpare()
	defer l.watch.close()
	var rung []*Conn
	var results []result
	for {
		l.watch.yield()
		l.watch.wait(l.sleep())

		l.mu.Lock()
		l.asleep = false
		rung, l.rung = l.rung, rung[:0]
		results, l.results = l.results, results[:0]
		calls, closed := l.calls, l.closed
		l.calls = nil
		l.mu.Unlock()

		for i := range results {
			if c := results[i].conn; c.state == gone && results[i].what == arriving {
				l.missed(c)
				continue
			}
			l.step(results[i].conn, func(c *Conn) { c.over(&results[i]) })
		}
		for _, f := range calls {
			f()
		}
		for i, c := range rung {
			if i%few == 0 {
				l.near(rung[i:min(i+few, len(rung))])
			}
			c.rung.Store(false)
			l.step(c, (*Conn).answer)
		}
		l.come()
		if closed {
			l.conns.each(func(c *Conn) {
				if c.state == held { // who comes from a trial is told by tell
					c.leave()
				}
				c.close()
			})
			return
		}
		rung, results = tidy(rung), tidy(results)
	}
}

// come has happen what is due.
func (l *loop) come() {
	l.now = Now()
	for c := l.dues.ripe(l.now); c != nil; c = l.dues.ripe(l.now) {
		l.step(c, (*Conn).come)
	}
}

// tidy empties a list, and gives it back if it is long.
func tidy[T any](list []T) []T {
	if cap(list) > maxIdle {
		return nil
	}
	clear(list)
	return list[:0]
}

// sleep returns until when to sleep.
func (l *loop) sleep() Moment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rung)+len(l.results)+len(l.calls) > 0 || l.closed {
		return Now()
	}
	l.asleep = true
	return l.dues.next()
}

// all has something happen to each connection.
func (l *loop) all(happen func(*Conn)) {
	l.conns.each(func(c *Conn) { l.step(c, happen) })
}

// step has something happen to a connection. A mistake in it ends this connection
// and no other.
func (l *loop) step(c *Conn, happen func(*Conn)) {
	if c.state == gone {
		return
	}
	defer func() {
		if err := recover(); err != nil {
			l.lot.mistake(err, debug.Stack())
			l.drop(c)
		}
	}()
	happen(c)
	c.settle()
}

// drop closes a connection whose guest made a mistake.
func (l *loop) drop(c *Conn) {
	defer func() { _ = recover() }()
	switch c.state {
	case held:
		c.lost(false)
	case lingering, away, closing:
		c.close()
	}
}

// admit begins to watch a connection.
func (l *loop) admit(c *Conn) {
	l.conns.add(c)
	c.state = held
	_, c.talks = c.guest.(Talker)
	if c.fd >= 0 && l.watch.add(c) != nil { // the kernel watches no more
		_ = c.materialize() // if it fails, to listen fails too
		c.fd = -1
	}
	if c.fd < 0 && !c.spoken && !c.talks {
		c.peek()
	}
	c.guest.Arrived()
	if l.stopping {
		c.settle()
		c.stop()
	}
}

// readmit has the connection of a trial held again.
func (l *loop) readmit(c *Conn) {
	c.state, c.trial = held, nil
	_, c.talks = c.guest.(Talker)
	c.spoken = c.spoken && unread(c.fd) // else it has been fetched
	c.guest.Arrived()
	if l.stopping {
		c.settle()
		c.stop()
	}
	if c.silent {
		c.silence()
	}
}

// missed tells a guest that comes when its client has gone.
func (l *loop) missed(c *Conn) {
	defer func() {
		if err := recover(); err != nil {
			l.lot.mistake(err, debug.Stack())
		}
	}()
	g := c.guest
	c.leave()
	g.Lost(false)
}

// forget ends the watching.
func (l *loop) forget(c *Conn) {
	l.dues.forget(c)
	c.state = gone
	if c.fd >= 0 {
		l.watch.remove(c)
	}
	l.conns.remove(c)
}

// heard is called by the watch.
func (l *loop) heard(c *Conn, s sound) {
	l.step(c, func(c *Conn) { c.listen(s) })
}
