//go:build linux

package load

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// What stands in the loop for the publisher's connection and the ticker.
const (
	publisherIndex = -1
	tickerIndex    = -2
)

// publisher posts events on one keep-alive connection, the next one when the
// last one was answered.
type publisher struct {
	conn  *conn
	queue []post
	busy  bool
	// posting is told of each event as it is sent.
	posting func(channel int)
}

type post struct{ channel, seq int }

// publisher returns the connection for events, and makes it the first time.
func (l *Load) publisher() (*publisher, error) {
	if l.post != nil {
		return l.post, nil
	}
	s, err := l.target.dialPublish()
	if err != nil {
		return nil, fmt.Errorf("publishing at %s: %w", l.target.Publish, err)
	}
	if err := unix.SetNonblock(int(s), true); err != nil {
		return nil, err
	}
	l.post = &publisher{conn: &conn{socket: s}}
	return l.post, l.loop.add(int(s), publisherIndex)
}

// dialPublish connects to where events are posted.
func (t Target) dialPublish() (socket, error) {
	if t.publishesBySocket() {
		return dialUnix(t.Publish)
	}
	to, err := netip.ParseAddrPort(t.Publish)
	if err != nil {
		return 0, err
	}
	return dial(to, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
}

func (t Target) publishesBySocket() bool { return strings.HasPrefix(t.Publish, "/") }

// publishHost is what a publisher calls the server.
func (t Target) publishHost() string {
	if t.publishesBySocket() {
		return "localhost"
	}
	return t.Publish
}

// next sends the event that is first in the queue, unless one is on its way.
func (l *Load) next() {
	p := l.post
	if p.busy || len(p.queue) == 0 {
		return
	}
	first := p.queue[0]
	p.queue = p.queue[1:]
	data := event(first.seq)
	l.out = fmt.Appendf(l.out[:0], "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		l.speaks.publish(first.channel), l.target.publishHost(), len(data), data)
	p.busy = true
	if p.posting != nil {
		p.posting(first.channel)
	}
	if err := p.conn.write(l.out); err != nil {
		l.fail("publishing: %v", err)
	}
}

// readPublisher reads the answer to an event.
func (l *Load) readPublisher() {
	p := l.post
	n, err := p.conn.read(l.buf[:])
	if errors.Is(err, errAgain) || p.conn.closed {
		return
	}
	if err != nil {
		p.conn.close()
		p.queue, p.busy = nil, false
		l.fail("the publisher's connection: %v", err)
		return
	}
	p.conn.rest = append(p.conn.rest, l.buf[:n]...)
	a, rest, ok := cutAnswer(p.conn.rest)
	if !ok {
		return
	}
	if !a.ok() {
		l.fail("publishing was answered by %s%s", a.head, a.body)
	}
	p.conn.rest = append(p.conn.rest[:0], rest...)
	p.busy = false
	l.next()
}

// done reports whether all events are published.
func (p *publisher) done() bool { return !p.busy && len(p.queue) == 0 }
