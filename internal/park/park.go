// Package park keeps connections that wait, at a price far below that of a
// goroutine each: a connection is taken from its HTTP server, a few loops watch
// all of them, and whoever waits on it is told what happens. When the answer has
// gone out the connection stays, until its client says more; only then it goes
// back to an HTTP server, as a keep-alive connection that has something to read.
//
// The package knows sockets. It knows neither HTTP nor what is waited for: what
// to write it is told by a [Guest].
package park

import (
	"net"
	"time"
)

// Guest is whom a connection is parked for. Its methods are called one at a time,
// by the loop that the connection belongs to, and must not block. In each of them
// it may call [Conn.Write] once, or [Conn.Finish] or [Conn.Abort].
type Guest interface {
	// Arrived says that the connection is the guest's.
	Arrived()
	// Near is called a little before something happens to a few guests, in turns for all
	// of them, with a depth from 0 to [Depths]-1. The guest reads something of what it
	// will need: in the first turn of itself, and in each later one of what that led
	// to. So the processor fetches at once for all of them what nobody has looked at
	// for long. What it returns is of no interest.
	Near(depth int) int
	// Rung follows [Conn.Ring]. Many rings may be one.
	Rung()
	// When is the moment at which Due is to be called, 0 for never. It is asked
	// after each of the other methods.
	When() Moment
	Due()
	// Flushed says that all of the last Write has gone out.
	Flushed()
	// Lost says that the connection is gone: the client hung up, or did not read
	// for WriteTimeout (slow). Nothing else is called after it.
	Lost(slow bool)
	// Stop says that the process ends, and wants the guest to come to its end. It may
	// come, as what [Lot.Each] calls may, while a Write is on its way, after which
	// nothing is to be done before Flushed.
	Stop()
}

// Depths is how many turns [Guest.Near] has.
const Depths = 3

// Talker is a guest whose client speaks while it is there.
type Talker interface {
	Guest
	// Heard is shown what the client says, piece by piece, in order, with nothing
	// left out. The bytes are lent. While a Write is on its way the client is not
	// listened to.
	Heard([]byte)
}

// Resumer is a guest that may stay for the client's next request.
type Resumer interface {
	Guest
	// Resume is shown what the client sent after its answer, and says what is to
	// become of it. The bytes are lent. It is called by whoever has read them, while
	// nobody else has the guest.
	Resume(head []byte) Verdict
}

// Verdict is what is to become of a client's next request.
type Verdict uint8

const (
	// Unknown: an HTTP server is to read it.
	Unknown Verdict = iota
	// Mine: the guest knows all of it. The connection is the guest's again, and
	// Arrived follows.
	Mine
	// Likely: it is most likely one that will wait again; see [Trial].
	Likely
)

// Home takes connections back. It must not block.
type Home interface {
	// Open reports whether a connection that came at an address would go on.
	Open(local net.Addr) bool
	// Return has an HTTP server go on with a connection whose client has sent
	// something, or close it.
	Return(net.Conn)
	// Try serves a request whose connection stays parked if it can. It may have to
	// be read first: see [Trial.Fetch].
	Try(*Trial)
}

// Terms are what the HTTP server that a connection comes from wants for it.
type Terms struct {
	Home Home
	// Idle is how long a client may stay silent after its answer. 0 is for ever.
	Idle time.Duration
}

// WriteTimeout is how long a client may take to read 64 KiB of what was written,
// or the rest of it, before its connection is closed.
const WriteTimeout = 30 * time.Second

// politeTime is how long a connection that ends after an answer stays open, so
// that a client that still sends gets the answer and not a reset (RFC 9112
// section 9.6).
const politeTime = 500 * time.Millisecond

// Moment is a time of this process's own, in nanoseconds. 0 is none.
type Moment int64

var began = time.Now()

// Now is never 0.
func Now() Moment { return Moment(time.Since(began)) + 1 }

// In is d from now.
func In(d time.Duration) Moment { return Now() + Moment(d) }

// Left is how long it is until then.
func (m Moment) Left() time.Duration { return time.Duration(m - Now()) }

// Earlier returns the earlier of two moments, if there is one.
func Earlier(a, b Moment) Moment {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
