//go:build linux

package load

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Open makes n more connections, and has each wait for an event: a poll is
// sent, or a stream is open when its head has come. The page's dialect only
// connects.
func (l *Load) Open(n int, r *Report) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	began := l.begin()
	added, err := l.connect(n)
	if err != nil {
		return err
	}
	if l.target.Dialect != "page" {
		for _, c := range added {
			l.ask(c)
		}
	}
	if l.target.Streams {
		if err := l.awaitHeads(added); err != nil {
			return err
		}
	}
	*r = l.end(began)
	if len(added) > 0 && added[0].secure != nil {
		r.Suite = suite(added[0].secure)
	}
	return nil
}

// perAddress is how many connections come from one of the visitors' addresses,
// of some 28,000 ports each.
const perAddress = 5000

// connect makes n connections, and shakes hands on four at a time.
func (l *Load) connect(n int) ([]*conn, error) {
	to, err := netip.ParseAddrPort(l.target.Site)
	if err != nil {
		return nil, err
	}
	added := make([]*conn, n)
	errs, share := make([]error, 4), max(l.target.Share, 1)
	var all sync.WaitGroup
	for worker := range errs {
		all.Go(func() {
			for i := worker * share; i < n && errs[worker] == nil; i += len(errs) * share {
				errs[worker] = l.visit(to, len(l.conns)+i, added[i:min(i+share, n)])
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	l.conns = append(l.conns, added...)
	for i := 0; i < n; i += share {
		if err := l.loop.add(int(added[i].socket), int32(added[i].index)); err != nil {
			return nil, err
		}
	}
	return added, nil
}

// visit makes a connection, with visitors from that index on.
func (l *Load) visit(to netip.AddrPort, index int, visitors []*conn) error {
	from := netip.AddrFrom4([4]byte{127, 0, l.target.Network, byte(1 + index/perAddress)})
	first := conn{}
	var err error
	if first.socket, err = dial(to, from); err != nil {
		return fmt.Errorf("connection %d to %s: %w", index, to, err)
	}
	switch {
	case l.target.Share > 0:
		first.session = newSession()
		first.secure, err = shake(first.socket, "h2")
	case l.target.Secure:
		first.secure, err = shake(first.socket)
	}
	if err != nil {
		return fmt.Errorf("connection %d to %s: %w", index, to, err)
	}
	for i := range visitors {
		c := first
		c.index = index + i
		c.channel = c.index % max(l.target.Channels, 1)
		visitors[i] = &c
	}
	if first.session != nil {
		first.session.visitors = visitors
	}
	return unix.SetNonblock(int(first.socket), true)
}

// ask sends a connection's next request.
func (l *Load) ask(c *conn) {
	l.out = l.request(l.out[:0], c)
	c.waits = true
	if s := c.session; s != nil {
		s.ask(c, l.out)
		l.out = append(l.out[:0], s.written()...)
	}
	if err := c.write(l.out); err != nil {
		l.lose(c, err)
	}
}

// awaitHeads waits until each new stream has begun.
func (l *Load) awaitHeads(added []*conn) error {
	missing := len(added)
	head := func(_ *conn, a answer, _ time.Time) {
		if a.head == nil {
			return
		}
		missing--
		if !a.ok() {
			l.fail("a stream begins with %s", a.head)
		}
	}
	for deadline := time.Now().Add(patience); missing > 0 && time.Now().Before(deadline); {
		if err := l.turn(head); err != nil {
			return err
		}
	}
	l.report.Missed += missing
	return nil
}

// Again has each connection whose poll was answered ask for the next event.
func (l *Load) Again(_ Nothing, r *Report) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	began := l.begin()
	for _, c := range l.conns {
		if !c.waits && !c.closed {
			l.ask(c)
		}
	}
	*r = l.end(began)
	return nil
}

// Publish publishes one event in each channel that somebody listens to, and
// waits until every connection that waits has got it. Times are from the sending
// of an event.
func (l *Load) Publish(_ Nothing, r *Report) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	began := l.begin()
	p, err := l.publisher()
	if err != nil {
		return err
	}
	sent := make([]time.Time, l.target.Channels)
	p.posting = func(channel int) { sent[channel] = time.Now() }
	l.seq++
	for channel := range min(l.target.Channels, len(l.conns)) {
		p.queue = append(p.queue, post{channel, l.seq})
	}
	expected := l.waiting()
	wants := []byte(mark(l.seq))
	l.next()
	got := func(c *conn, a answer, now time.Time) { l.deliver(c, a, wants, now.Sub(sent[c.channel])) }
	missing, deadline := expected, began.Add(patience)
	for (missing > 0 || !p.done()) && time.Now().Before(deadline) {
		if err := l.turn(got); err != nil {
			return err
		}
		if left := expected - l.report.Answers - l.report.Closed - l.report.Failed; left < missing {
			missing, deadline = left, time.Now().Add(patience)
		}
	}
	l.report.Missed += max(missing, 0)
	*r = l.end(began)
	return nil
}

// Leave has each connection that waits read one more answer, whatever made the server
// give it, and end.
func (l *Load) Leave(_ Nothing, r *Report) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	began := l.begin()
	got := func(c *conn, a answer, _ time.Time) {
		if a.ok() {
			l.report.Answers++
		} else {
			l.fail("whoever left was answered by %s%s", a.head, a.body)
		}
		c.close()
	}
	for l.waiting() > 0 && time.Since(began) < patience {
		if err := l.turn(got); err != nil {
			return err
		}
	}
	l.report.Missed += l.waiting()
	*r = l.end(began)
	return nil
}

func (l *Load) waiting() int {
	n := 0
	for _, c := range l.conns {
		if c.waits && !c.closed {
			n++
		}
	}
	return n
}

// deliver takes an answer, which should have the event that is wanted.
func (l *Load) deliver(c *conn, a answer, wants []byte, after time.Duration) {
	has := bytes.Contains(a.body, wants)
	if l.target.Streams {
		if !has { // a heartbeat or a comment
			return
		}
	} else {
		c.waits = false
		l.keepCursor(c, a)
		if !a.ok() || !has {
			l.fail("a poll was answered by %s%s", a.head, a.body)
			return
		}
	}
	l.report.Answers++
	l.times = append(l.times, after)
}

func (l *Load) keepCursor(c *conn, a answer) {
	c.cursor = l.speaks.cursor(a)
}
