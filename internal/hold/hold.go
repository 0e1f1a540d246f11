// Package hold is how a request waits and how an answer gets out. The way here
// works everywhere: the request's goroutine waits in the handler, whatever the
// protocol and the middleware. A cheaper way, parking the connection, will stand
// beside it and must give the same answers.
//
// The package knows HTTP and the hub. How an answer looks it asks of a dialect
// ([Answer]); what is configured it is told ([Hold]).
package hold

import (
	"context"
	"errors"
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
}

// Ends are the reasons of the server's own to end a hold.
type Ends struct {
	// Stop is closed when the process ends: every hold is answered within
	// StopSpread.
	Stop <-chan struct{}
	// Retire is closed when a new configuration has taken over: streams end
	// within RetireSpread, and the clients come back to the new one. Polls end
	// soon enough by themselves, and patient clients know no end but an event.
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
	Retired    Outcome = "retired"     // a new configuration took over
	Denied     Outcome = "denied"      // a limit was reached
)

// Report says how a hold went.
type Report struct {
	Outcome Outcome
	// Events is how many events were written.
	Events int
	// Abort: the connection must end in the middle of the answer, which has
	// begun and cannot be what it should have been. The caller does that, by a
	// panic with [http.ErrAbortHandler].
	Abort bool
}

// Serve holds the request until it is answered. The error is one that nothing
// was written for: [hub.ErrTooManyNames] and others that the client can mend.
func (h *Hold) Serve(w http.ResponseWriter, r *http.Request) (Report, error) {
	c := &conn{w: w, rc: http.NewResponseController(w), ctx: r.Context()}
	if r.Method == http.MethodHead {
		h.header(w)
		w.WriteHeader(http.StatusOK)
		return Report{Outcome: Timeout}, nil
	}
	if r.ProtoMajor == 3 {
		h.Wait = min(h.Wait, maxWaitHTTP3)
		h.Heartbeat = min(h.Heartbeat, maxWaitHTTP3)
	}
	woken := make(waker, 1)
	sub, err := h.Hub.Subscribe(hub.SubConfig{Channels: h.Channels, Since: h.Since, Waker: woken, Who: h.Who})
	switch {
	case errors.Is(err, hub.ErrTooManyHolds), errors.Is(err, hub.ErrTooManyChannels), errors.Is(err, hub.ErrClosed):
		return h.refuse(w, err), nil
	case err != nil:
		return Report{}, err
	}
	defer sub.Close()
	switch {
	case h.Answer.Stream():
		return h.stream(c, sub, woken), nil
	case h.Answer.Patient():
		return h.patient(c, sub, woken), nil
	}
	return h.poll(c, sub, woken), nil
}

// waker passes a delivery to the goroutine that waits. It has room for one: a
// subscription is woken once for each time it was armed.
type waker chan *hub.Delivery

func (w waker) Wake(d *hub.Delivery) { w <- d }

// rest ends the waiting of a subscription that was armed. What had come is
// returned; else the position at which nothing had.
func (w waker) rest(sub *hub.Sub) (*hub.Delivery, hub.Cursor) {
	d, at := sub.Rest()
	if d == nil {
		select {
		case d = <-w: // told just before
		default:
		}
	}
	return d, at
}

// conn is the client's side of a hold.
type conn struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	ctx context.Context
	// slow: a write ended because it took too long.
	slow bool
	// sent is how many bytes were written.
	sent int
}

// lost says why nothing more can be written.
func (c *conn) lost() Outcome {
	if c.slow {
		return Slow
	}
	return ClientGone
}

// header sets what all answers have in common.
func (h *Hold) header(w http.ResponseWriter) {
	header := w.Header()
	h.Answer.Header(header)
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no")
	header.Set("X-Content-Type-Options", "nosniff")
}

// refuse answers a client for whom there is no room.
func (h *Hold) refuse(w http.ResponseWriter, reason error) Report {
	status, body := h.Answer.Full(reason.Error(), comeBack)
	h.header(w)
	if status != http.StatusOK {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	setRetryAfter(w.Header())
	writeOnce(w, status, body)
	return Report{Outcome: Denied}
}

// setRetryAfter spreads those who were sent away together over some seconds.
func setRetryAfter(header http.Header) {
	seconds := int(comeBack/time.Second) - 1 + rand.IntN(3)
	header.Set("Retry-After", strconv.Itoa(seconds))
}

func writeOnce(w http.ResponseWriter, status int, body []byte) bool {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err == nil
}

// spread returns a random part of d.
func spread(d time.Duration) time.Duration { return rand.N(d) }
