// Package hold is how a request waits and how an answer gets out. One way works
// everywhere: the request's goroutine waits in the handler, whatever the protocol
// and the middleware ([waiting]). A cheaper one is to park the connection
// ([parked]). Both take a hold through the same steps ([course]) and give the same
// answer.
//
// The package knows HTTP and the hub. How an answer looks it asks of a dialect
// ([Answer]); what is configured it is told ([Hold]).
package hold

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// Answer is what a hold needs of a dialect; package dialect describes it.
type Answer interface {
	Stream() bool
	Patient() bool
	Header(http.Header)
	Limit() int
	Class() string
	Events(*hub.Delivery) []byte
	Open(at hub.Cursor) []byte
	Idle(at hub.Cursor) []byte
	Bye(at hub.Cursor, retry time.Duration) []byte
	Full(reason string, retry time.Duration) (status int, body []byte)
}

// Hold is one request that waits.
type Hold struct {
	Hub      *hub.Hub
	Channels []string
	Since    hub.Since
	Who      *hub.Who
	Answer   Answer
	// Wait is how long a poll waits; 0 answers at once. Streams and patient
	// answers do not use it.
	Wait time.Duration
	// Heartbeat is after how long a stream or a patient answer that has nothing
	// to say says so.
	Heartbeat time.Duration
	Ends      Ends
	// Idle is after how long without an event a stream ends with [Again], 0 for never. It
	// must not be parked then.
	Idle time.Duration
	// Turn is where a [Choosy] answer waits to have the site asked again, nil if it
	// cannot be.
	Turn Turn
	// Begun: the answer has begun already. For streams.
	Begun bool
	// Deflate lets a WebSocket's messages be compressed.
	Deflate bool
	// Admit is asked when a WebSocket's client wants more channels. nil admits all.
	Admit Admit
	// Busy, if not empty, is why nothing is held: the client is told to come back.
	Busy string
	// Note is for who looks at the hub's holds: see [hub.SubConfig.Note].
	Note any
	// Waits, if not nil, is called when the hub knows of the hold: from here on it is
	// told what happens.
	Waits func()
	// Parking is how the hold may leave its goroutine, nil if it may not.
	Parking *Parking

	// line waits, from Begin to End. nil where Begin was all.
	line   *waiting
	report Report
	// socket is what a WebSocket has instead, where its request must not end before it.
	socket *streamed
}

// Ends are the reasons of the server's own to end a hold.
type Ends struct {
	// Stop is closed when the process ends: every hold is answered within
	// StopSpread.
	Stop <-chan struct{}
	// Retire is closed when a new configuration has taken over: streams end
	// within RetireSpread, and the clients come back to the new one. Polls end
	// soon enough by themselves, and patient clients know no end but an event or
	// the hub's.
	Retire <-chan struct{}
}

// Over how long the holds that end together are spread.
const (
	StopSpread   = 2 * time.Second
	RetireSpread = 60 * time.Second
)

// comeBack is after how long whom the server sent away is to come back; answers
// spread it.
const comeBack = 3 * time.Second

// soon is after how long whose right to listen has to be asked for anew.
const soon = time.Second / 2

// writeTimeout is how long one write to a stream may take before it is ended,
// because its reader no longer reads. Caddy bounds the writes of polls itself.
const writeTimeout = 30 * time.Second

// maxWaitHTTP3 bounds a wait on HTTP/3: QUIC drops a connection that was silent
// for 30 s (quic-go's MaxIdleTimeout, which Caddy leaves at its default), and
// the client notices late.
const maxWaitHTTP3 = 20 * time.Second

// Outcome is how a hold ended. The values are a metric's labels.
type Outcome string

// The outcomes.
const (
	Event      Outcome = "event"       // something happened
	Gap        Outcome = "gap"         // events were lost to this client, and it was told
	Timeout    Outcome = "timeout"     // nothing happened
	ClientGone Outcome = "client_gone" // the client hung up, or a write failed
	Slow       Outcome = "slow"        // the client no longer read, for writeTimeout
	Recycled   Outcome = "recycled"    // the answer was long enough; the client begins another
	Stopped    Outcome = "stopped"     // the process ends
	Retired    Outcome = "retired"     // a new configuration took over, or the hub ended
	Denied     Outcome = "denied"      // a limit was reached
	BadMessage Outcome = "bad_message" // the client sent on a WebSocket what it may not
	Expired    Outcome = "expired"     // the right to listen ended
	Kicked     Outcome = "kicked"      // the right to listen was taken back
)

// Parked is no end: the hold goes on without its goroutine, and how it ends is
// told [Parking.Ended].
const Parked Outcome = "parked"

// Report says how a hold went.
type Report struct {
	Outcome Outcome
	// Events is how many events were written.
	Events int
	// Full is what the hub had no room for, if that is why it was denied.
	Full Full
	// Abort: the connection must end without more, because the answer has begun and
	// cannot be what it should have been, or the client has ended its side. The caller
	// does that, by a panic with [http.ErrAbortHandler].
	Abort bool
}

// Full is what a hub has no room for.
type Full uint8

// What a hub may be full of.
const (
	NotFull Full = iota
	FullHolds
	FullChannels
)

func fullOf(err error) Full {
	switch {
	case errors.Is(err, hub.ErrTooManyHolds):
		return FullHolds
	case errors.Is(err, hub.ErrTooManyChannels):
		return FullChannels
	}
	return NotFull
}

// Serve holds the request until it is answered. The error is one that nothing
// was written for: [hub.ErrTooManyNames] and others that the client can mend.
func (h *Hold) Serve(w http.ResponseWriter, r *http.Request) (Report, error) {
	if err := h.Begin(w, r); err != nil {
		return Report{}, err
	}
	return h.End(), nil
}

// Begin is what Serve does before it waits, and may be called by [Aside]. Then End
// follows.
func (h *Hold) Begin(w http.ResponseWriter, r *http.Request) error {
	if r.ProtoMajor == 3 {
		h.Wait = min(h.Wait, maxWaitHTTP3)
		h.Heartbeat = min(h.Heartbeat, maxWaitHTTP3)
	}
	if t, ok := h.Answer.(Talk); ok {
		return h.beginTalk(w, r, t)
	}
	if r.Method == http.MethodHead {
		dress(w.Header(), h.Answer, usual)
		w.WriteHeader(http.StatusOK)
		h.report = Report{Outcome: Timeout}
		return nil
	}
	l := h.waiting(w, r)
	c, b, err := h.open(h.Since, l)
	switch {
	case notNow(err):
		status, body := h.Answer.Full(err.Error(), comeBack)
		mood := away
		if status != http.StatusOK {
			mood = refusal
		}
		l.whole(h.Answer, status, mood, body)
		h.report = Report{Outcome: Denied, Full: fullOf(err)}
		return nil
	case err != nil:
		return err
	}
	l.course, l.base, l.stop, l.retire = c, b, h.Ends.Stop, h.Ends.Retire
	if h.Answer.Patient() {
		// A new configuration does not end it, but the end of the hub does, from
		// which nothing will come: the client is to ask whoever has its address then.
		l.retire = h.Hub.Ended()
	}
	if !plainHeader(w.Header()) {
		h.Parking = nil
	}
	// What writes again and again must not do it on the stack that it waits on.
	l.aside = r.ProtoMajor > 1 && (h.Answer.Stream() || h.Answer.Patient())
	h.line = l
	c.begin()
	l.settle()
	return nil
}

// End waits until the request is answered. It needs little stack to wait.
func (h *Hold) End() Report {
	if h.socket != nil {
		return h.socket.wait(h.Ends.Retire)
	}
	if h.line == nil {
		return h.report
	}
	h.line.wait()
	return h.line.report
}

// course is the hold's way, and the part of it that all have in common.
func (h *Hold) course() (course, *base) {
	switch {
	case h.Answer.Stream(): // a Talk's course is made elsewhere
		c := &stream{heartbeat: h.Heartbeat, idle: h.Idle}
		return c, &c.base
	case h.Answer.Patient():
		c := &patient{heartbeat: h.Heartbeat}
		return c, &c.base
	}
	if choice, ok := h.Answer.(Choosy); ok {
		c := &choosy{choice: choice, wait: h.Wait, turn: h.Turn}
		return c, &c.base
	}
	c := &poll{wait: h.Wait}
	return c, &c.base
}

// notNow reports whether a client that was refused may come back.
func notNow(err error) bool {
	for _, known := range []error{hub.ErrTooManyHolds, hub.ErrTooManyChannels, hub.ErrClosed, hub.ErrKicked, errBusy} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// errBusy is [Hold.Busy].
var errBusy = errors.New("busy")

func (h *Hold) subscribe(c hub.SubConfig) (*hub.Sub, error) {
	if h.Busy != "" {
		return nil, fmt.Errorf("%w: %s", errBusy, h.Busy)
	}
	return h.Hub.Subscribe(c)
}

// open opens a course whose answer goes to that line. What is no stream is over
// with a delivery.
func (h *Hold) open(since hub.Since, to line) (c course, b *base, err error) {
	c, b = h.course()
	b.answer, b.line = h.Answer, to
	b.limit(h.Who)
	_, chooses := c.(*choosy)
	once := !h.Answer.Stream() && !chooses
	b.sub, err = h.subscribe(hub.SubConfig{
		Channels: h.Channels, Since: since, Waker: b, Who: h.Who, Once: once, Note: h.Note,
	})
	if err == nil && h.Waits != nil {
		h.Waits()
	}
	return c, b, err
}

// setRetryAfter spreads those who were sent away together over some seconds.
func setRetryAfter(header http.Header) {
	seconds := int(comeBack/time.Second) - 1 + rand.IntN(3)
	header.Set("Retry-After", strconv.Itoa(seconds))
}

// spread returns a random part of d.
func spread(d time.Duration) time.Duration { return rand.N(d) }
