package hold

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// HandshakeError is a request that cannot begin a WebSocket.
type HandshakeError struct {
	// Status is what it is answered with.
	Status int
	Text   string
	// Header goes with it.
	Header http.Header
}

func (e *HandshakeError) Error() string { return e.Text }

// extended reports whether a request begins a WebSocket on a stream of HTTP/2 or 3
// (RFC 8441, RFC 9220).
func extended(r *http.Request) bool { return r.Method == http.MethodConnect }

// beginTalk answers the handshake, and has the connection parked, which waits from
// then on.
func (h *Hold) beginTalk(w http.ResponseWriter, r *http.Request, t Talk) error {
	if h.Parking == nil || h.Parking.Lot == nil {
		return &HandshakeError{http.StatusNotImplemented, "there can be no WebSockets here: the system lets no connections be watched", nil}
	}
	deflate := wsflate.Extension{Parameters: wsflate.DefaultParameters}
	header, err := handshake(r, func(o httphead.Option) (httphead.Option, error) {
		if !h.Deflate {
			return httphead.Option{}, nil
		}
		accepted, err := deflate.Negotiate(o)
		if err != nil {
			return httphead.Option{}, nil // declined; another offer may follow (RFC 7692 section 5.1)
		}
		return accepted, nil
	})
	if err != nil {
		return err
	}
	_, small := deflate.Accepted()
	c := &talk{stream: stream{heartbeat: h.Heartbeat}, of: h.Hub, talk: frame(t, small), void: h.Ends.Retire}
	c.in.deflate, c.admit = small, h.Admit
	g := &talking{parked: parked{
		course: c, answer: h.Answer, book: h.Parking.Ended, raw: true, closes: true, parts: true,
	}, talk: c}
	c.answer, c.line, c.aside = c.talk, &g.parked, g.aside
	c.limit(h.Who)
	c.sub, err = h.subscribe(hub.SubConfig{Channels: h.Channels, Since: h.Since, Waker: &c.base, Who: h.Who, Note: h.Note})
	switch {
	case notNow(err):
		g.refusal = appendClose(nil, tryLater, err.Error())
		c.report.Full = fullOf(err)
	case err != nil:
		return err
	case h.Waits != nil:
		h.Waits()
	}
	g.head = unique.Make(lines(w.Header()))
	for name, values := range header {
		w.Header()[name] = values
	}
	if err := h.switchTo(g, w, r); err != nil {
		if g.refusal == nil {
			c.leave()
		}
		return err
	}
	h.report = Report{Outcome: Parked}
	return nil
}

// switchTo says yes, and parks the connection.
func (h *Hold) switchTo(g *talking, w http.ResponseWriter, r *http.Request) error {
	g.status = http.StatusSwitchingProtocols
	door := h.Parking.Door
	if extended(r) {
		g.status = http.StatusOK
		h.socket = onStream(w, r, g)
		door, g.book = h.socket, h.socket
	}
	w.WriteHeader(int(g.status))
	// It may be handed over at once, from another goroutine.
	var here sync.Mutex
	here.Lock()
	defer here.Unlock()
	if err := door.Take(func(t park.Taken) {
		here.Lock()
		defer here.Unlock()
		g.conn = h.Parking.Lot.Conn(t.Conn, t.Early, h.Parking.Terms)
		g.conn.Park(g)
	}); err != nil {
		return err
	}
	if h.socket == nil {
		h.Parking.Taken()
	}
	return nil
}

// talking is the guest on a WebSocket's connection.
type talking struct {
	parked
	talk *talk
	// refusal is all there is to say, if there is anything.
	refusal []byte
}

// Heard implements [park.Talker].
func (g *talking) Heard(b []byte) { g.talk.heard(b) }

// aside has the client wait for the answer to a question.
func (g *talking) aside(ask, then func()) {
	g.conn.Deafen(true)
	go func() {
		ask()
		g.conn.Call(func() {
			g.conn.Deafen(false)
			then()
		})
	}()
}

// Arrived begins, or says why not.
func (g *talking) Arrived() {
	if g.refusal == nil {
		g.parked.Arrived()
		return
	}
	g.talk.refuse(g.refusal)
}

// handshake returns the header that answers a request which begins a WebSocket.
func handshake(r *http.Request, negotiate func(httphead.Option) (httphead.Option, error)) (http.Header, error) {
	inStream := extended(r)
	if inStream {
		// What HTTP/1.1 has a key for is done by the protocol itself.
		like := r.Clone(r.Context())
		like.Method, like.ProtoMajor, like.ProtoMinor = http.MethodGet, 1, 1
		like.Header.Set("Connection", "Upgrade")
		like.Header.Set("Upgrade", "websocket")
		like.Header.Set("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
		r = like
	}
	answer := new(noted)
	_, _, _, err := ws.HTTPUpgrader{Negotiate: negotiate}.Upgrade(r, answer)
	switch {
	case errors.Is(err, ws.ErrHandshakeUpgradeRequired):
		header := http.Header{"Sec-Websocket-Version": {"13"}}
		if !inStream {
			header["Upgrade"], header["Connection"] = []string{"websocket"}, []string{"Upgrade"}
		}
		return nil, &HandshakeError{http.StatusUpgradeRequired, "this version of WebSocket is not known here; version 13 is (RFC 6455)", header}
	case err != nil:
		text := "the request is no handshake of a WebSocket: " + err.Error()
		if errors.Is(err, ws.ErrHandshakeBadUpgrade) || errors.Is(err, ws.ErrHandshakeBadConnection) {
			text += "; is there a proxy in front that takes Upgrade or Connection out?"
		}
		return nil, &HandshakeError{http.StatusBadRequest, text, nil}
	}
	said, err := http.ReadResponse(bufio.NewReader(&answer.said), nil)
	if err != nil {
		return nil, err
	}
	if inStream {
		for _, name := range []string{"Connection", "Upgrade", "Sec-Websocket-Accept"} {
			said.Header.Del(name) // of HTTP/1.1 alone; HTTP/3 takes no answer with them
		}
	}
	return said.Header, nil
}

// noted takes what package ws says, which would else write it past the handlers on
// the way. It is the connection as well.
type noted struct {
	http.ResponseWriter
	net.Conn
	said bytes.Buffer
}

func (n *noted) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return n, bufio.NewReadWriter(bufio.NewReader(strings.NewReader("")), bufio.NewWriter(&n.said)), nil
}

func (n *noted) Header() http.Header         { return http.Header{} }
func (n *noted) WriteHeader(int)             {}
func (n *noted) Write(b []byte) (int, error) { return n.said.Write(b) }
func (n *noted) SetDeadline(time.Time) error { return nil }

// streamed is a WebSocket on a stream of HTTP/2 or 3, as a connection. Its request
// lasts as long as it does.
type streamed struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	r     *http.Request
	guest *talking
	// handed is closed when the guest has the connection, over when it is closed.
	handed, over chan struct{}
	once         sync.Once
	// report is how it went, when it is over.
	report Report
	// using is held, to read, by those who use the writer, which must not be used after
	// the handler has returned.
	using sync.RWMutex
}

func onStream(w http.ResponseWriter, r *http.Request, g *talking) *streamed {
	return &streamed{
		report: Report{Outcome: ClientGone},
		w:      w, rc: http.NewResponseController(w), r: r, guest: g,
		handed: make(chan struct{}), over: make(chan struct{}),
	}
}

// Take implements [park.Door].
func (s *streamed) Take(hand func(park.Taken)) error {
	if err := s.rc.Flush(); err != nil {
		return err
	}
	go func() {
		defer close(s.handed)
		hand(park.Taken{Conn: s})
	}()
	return nil
}

// wait waits for the end.
func (s *streamed) wait(retire <-chan struct{}) Report {
	park.Came()
	<-s.handed
	defer s.using.Lock() // for ever: nobody is to use it any more
	select {
	case <-s.over:
		return s.report
	case <-retire:
	}
	// The server that the stream is on comes to its end.
	s.guest.conn.Call(s.guest.course.retire)
	<-s.over
	return s.report
}

// use calls f, unless it is too late.
func (s *streamed) use(f func() error) error {
	s.using.RLock()
	defer s.using.RUnlock()
	select {
	case <-s.over:
		return net.ErrClosed
	default:
		return f()
	}
}

func (s *streamed) Read(b []byte) (int, error) { return s.r.Body.Read(b) }

func (s *streamed) Write(b []byte) (n int, err error) {
	err = s.use(func() (err error) {
		if n, err = s.w.Write(b); err == nil {
			err = s.rc.Flush()
		}
		return err
	})
	return n, err
}

// Ended implements [Ended], and comes before Close.
func (s *streamed) Ended(r Report, _, _ int, _ func() http.Header) { s.report = r }

// Again is for polls.
func (s *streamed) Again([]byte) Ended { return s }

// Close ends the handler, and with it the stream.
func (s *streamed) Close() error {
	s.once.Do(func() { close(s.over) })
	return nil
}

func (s *streamed) SetWriteDeadline(t time.Time) error {
	return s.use(func() error { return s.rc.SetWriteDeadline(t) })
}

// The rest of [net.Conn] is not used.

func (s *streamed) SetReadDeadline(time.Time) error { return nil }
func (s *streamed) SetDeadline(time.Time) error     { return nil }
func (s *streamed) LocalAddr() net.Addr             { return nil }
func (s *streamed) RemoteAddr() net.Addr            { return nil }
