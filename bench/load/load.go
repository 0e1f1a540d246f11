//go:build linux

// Package load is the visitors' side of the benchmark: a process of its own
// that opens thousands of connections to one server on loopback, publishes
// there, and says when each answer came. It has one thread's worth of work for
// all connections, an epoll loop over bare sockets, so that on a small machine
// the server is measured and not its visitors.
//
// It knows how to ask and what an answer looks like, and nothing of how the
// server is started, what it costs or which one is better.
package load

import (
	"fmt"
	"sync"
	"time"
)

// Target is the server that a load process talks to.
type Target struct {
	// Site and Publish are its addresses, host:port on loopback. Publish may be the
	// path of a Unix socket.
	Site, Publish string
	// Dialect is the key of [dialects].
	Dialect string
	// Secure asks by TLS 1.3, Streams for server-sent events instead of polls; with
	// Sockets these are WebSockets.
	Secure, Streams, Sockets bool
	// Share is how many visitors share a connection by TLS 1.3 and HTTP/2; 0 is
	// for HTTP/1.1.
	Share int
	// Channels is how many there are; visitor i listens to channel i modulo it.
	Channels int
	// Network makes 127.0.Network.x the visitors' addresses, so that no two
	// load processes run out of one address's ports.
	Network byte
}

// Pace is a steady stream of events.
type Pace struct {
	PerSecond int
	For       time.Duration
	// Touch is the directory of the files c0.comet, c1.comet … whose touch is
	// the event. Empty: events are posted.
	Touch string
}

// Report is what one order to the load came to.
type Report struct {
	// Answers came whole and with their event. Missed waited in vain, Closed
	// lost their connection, Failed got something else.
	Answers, Missed, Closed, Failed int
	// Trouble describes the first that was no answer.
	Trouble string
	// Median, P99 and Last are times from an event to its answers.
	Median, P99, Last time.Duration
	// Elapsed is how long it took.
	Elapsed time.Duration
	// Suite is what TLS agreed on.
	Suite string
}

// Bad reports whether anything else than answers came.
func (r Report) Bad() bool { return r.Missed+r.Closed+r.Failed > 0 }

// patience is how long no answer may come before those that are left count as
// missed.
const patience = 10 * time.Second

// Load is one load process. Its exported methods are its orders, in the form
// that net/rpc wants.
type Load struct {
	mu     sync.Mutex
	target Target
	speaks dialect
	loop   *loop
	conns  []*conn
	post   *publisher
	ticker *ticker
	seq    int
	report Report
	times  []time.Duration
	buf    [64 << 10]byte
	out    []byte
}

// Nothing is an argument or a result that says nothing.
type Nothing struct{}

// Aim chooses the target. It comes first, and again only after Close.
func (l *Load) Aim(t Target, _ *Nothing) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	speaks, ok := dialects[t.Dialect]
	if !ok {
		return fmt.Errorf("no dialect %q", t.Dialect)
	}
	epoll, err := newLoop()
	if err != nil {
		return err
	}
	l.target, l.speaks, l.loop = t, speaks, epoll
	return nil
}

// Close ends all connections.
func (l *Load) Close(_ Nothing, _ *Nothing) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.close()
	}
	l.conns = nil
	if l.post != nil {
		l.post.conn.close()
		l.post = nil
	}
	return nil
}

// begin forgets the last order's report.
func (l *Load) begin() time.Time {
	l.report = Report{}
	l.times = l.times[:0]
	return time.Now()
}

// end makes the report of what happened since began.
func (l *Load) end(began time.Time) Report {
	r := l.report
	r.Elapsed = time.Since(began)
	r.Median, r.P99, r.Last = quantiles(l.times)
	return r
}

// fail counts a connection that got something else than its answer.
func (l *Load) fail(format string, args ...any) {
	l.report.Failed++
	if l.report.Trouble == "" {
		l.report.Trouble = fmt.Sprintf(format, args...)
	}
}
