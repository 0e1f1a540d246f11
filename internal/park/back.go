package park

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Door is where a connection can be taken from the HTTP server that it is at.
type Door interface {
	// Take takes it and says what comes of it. The server still holds it until its
	// handler has returned; then hand is called, once.
	Take(hand func(Taken)) error
}

// Taken is a connection that its server no longer holds.
type Taken struct {
	Conn net.Conn
	// Early is what the server has read of the client's next request.
	Early []byte
	// Head is the request that the connection was taken in, as it was read; nil
	// where that is not known.
	Head []byte
	// Parked is the connection where it never left, instead of Conn.
	Parked *Conn
}

// Hijacked is the door of any HTTP/1 server. The context is that of the request.
type Hijacked struct {
	Writer  http.Hijacker
	Context context.Context
}

// Take implements [Door]. Handlers on the way out may still touch the connection,
// by its deadlines, so nobody gets it before they have returned.
func (h Hijacked) Take(hand func(Taken)) error {
	c, buffered, err := h.Writer.Hijack()
	if err != nil {
		return err
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	taken := Taken{Conn: c, Early: bytes.Clone(early)}
	if h.Context.Err() != nil {
		_ = c.Close() // the client has said goodbye; whoever gets it will see
	}
	if v := VisitOf(c); v != nil {
		taken.Conn, taken.Early = v.inner, append(taken.Early, v.early...)
	}
	context.AfterFunc(h.Context, func() {
		_ = taken.Conn.SetDeadline(time.Time{}) // handlers may have left some
		hand(taken)
	})
	return nil
}

// Visit is a connection that went back to an HTTP server. It can be taken from
// there once more without a word to the server, to which it seems to end then:
// that spares what a server gives away with a hijacked connection.
type Visit struct {
	inner net.Conn
	// early is what is left to read of what was read here.
	early []byte

	mu sync.Mutex
	// head is the first that the server read. more: it has read more since.
	head []byte
	more bool
	// hand is who gets the connection when the server closes it. handed: has it.
	hand   func(Taken)
	handed bool
	// late is what came after it was taken.
	late []byte

	// trial is the one that this visit ends, until it is claimed; lost is called if
	// it never is.
	trial *Trial
	lost  func()
}

// Claim returns the trial that the visit ends, to the first who asks.
func (v *Visit) Claim() *Trial {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.trial
	v.trial = nil
	return t
}

// Tried reports whether the visit ends a trial, and has not been claimed.
func (v *Visit) Tried() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.trial != nil
}

// visitTLS has the method by which net/http sees that it is TLS.
type visitTLS struct {
	*Visit
	secure
}

// secure is a connection with TLS.
type secure interface{ ConnectionState() tls.ConnectionState }

// visit sends a connection back.
func visit(c net.Conn, early []byte) net.Conn {
	v := &Visit{inner: c, early: early}
	if t, ok := c.(secure); ok {
		return visitTLS{v, t}
	}
	return v
}

// VisitOf returns the visit that a connection is on, nil if it is on none.
func VisitOf(c net.Conn) *Visit {
	switch c := c.(type) {
	case *Visit:
		return c
	case visitTLS:
		return c.Visit
	}
	return nil
}

var errMore = errors.New("park: the server has read more than one request")

// Take implements [Door]. It works where the server has read one request and
// nothing else.
func (v *Visit) Take(hand func(Taken)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.more || len(v.early) > 0 || !OneRequest(v.head) {
		return errMore
	}
	v.hand = hand
	return nil
}

// OneRequest reports whether that is the head of one request, from its first byte
// to its last.
func OneRequest(head []byte) bool {
	return len(head) > len(headEnd) && bytes.Index(head, headEnd) == len(head)-len(headEnd) &&
		bytes.Count(head, []byte{'\n'}) == bytes.Count(head, []byte{'\r', '\n'})
}

var headEnd = []byte("\r\n\r\n")

// maxHead is how much of a request is kept.
const maxHead = 8 << 10

func (v *Visit) Read(b []byte) (int, error) {
	v.mu.Lock()
	if v.hand != nil {
		v.mu.Unlock()
		return 0, io.EOF
	}
	if len(v.early) > 0 {
		n := copy(b, v.early)
		v.early = v.early[n:]
		v.seen(b[:n])
		v.mu.Unlock()
		return n, nil
	}
	v.mu.Unlock()
	n, err := v.inner.Read(b)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.hand != nil {
		v.late = append(v.late, b[:n]...)
		return 0, io.EOF
	}
	v.seen(b[:n])
	return n, err
}

// seen notes what the server reads.
func (v *Visit) seen(b []byte) {
	switch {
	case len(b) == 0 || v.more:
	case len(v.head)+len(b) < maxHead && !bytes.Contains(v.head, headEnd):
		v.head = append(v.head, b...)
	default:
		v.more = true
	}
}

func (v *Visit) taken() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.hand != nil
}

// Write leaves out what the server says of a connection that it no longer has.
func (v *Visit) Write(b []byte) (int, error) {
	if v.taken() {
		return len(b), nil
	}
	return v.inner.Write(b)
}

// ReadFrom is what net/http uses to send files.
func (v *Visit) ReadFrom(r io.Reader) (int64, error) {
	if v.taken() {
		return io.Copy(io.Discard, r)
	}
	if f, ok := v.inner.(io.ReaderFrom); ok {
		return f.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{v.inner}, r)
}

// Close is the server's last word.
func (v *Visit) Close() error {
	v.mu.Lock()
	hand, handed := v.hand, v.handed
	v.handed = hand != nil
	v.mu.Unlock()
	switch {
	case handed:
		return net.ErrClosed // a server that ends closes what its handlers have, too
	case hand == nil:
		if v.Claim() != nil {
			v.lost()
		}
		return v.inner.Close()
	}
	if _, ok := v.inner.(secure); ok {
		v.empty()
	}
	_ = v.inner.SetDeadline(time.Time{})
	v.mu.Lock()
	taken := Taken{Conn: v.inner, Early: v.late, Head: v.head}
	v.mu.Unlock()
	hand(taken)
	return nil
}

// empty reads what TLS has read of the socket already, of which the socket will not
// tell any more.
func (v *Visit) empty() {
	_ = v.inner.SetReadDeadline(time.Unix(1, 0))
	b := make([]byte, 4<<10)
	for {
		n, err := v.inner.Read(b)
		v.mu.Lock()
		v.late = append(v.late, b[:n]...)
		v.mu.Unlock()
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			_ = v.inner.Close() // the client has said goodbye; whoever gets it will see
		}
		return
	}
}

// CloseWrite is what net/http uses before it closes.
func (v *Visit) CloseWrite() error {
	if v.taken() {
		return nil
	}
	return closeWrite(v.inner)
}

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// The other methods of [net.Conn] are the connection's.

func (v *Visit) LocalAddr() net.Addr                { return v.inner.LocalAddr() }
func (v *Visit) RemoteAddr() net.Addr               { return v.inner.RemoteAddr() }
func (v *Visit) SetDeadline(t time.Time) error      { return v.inner.SetDeadline(t) }
func (v *Visit) SetReadDeadline(t time.Time) error  { return v.inner.SetReadDeadline(t) }
func (v *Visit) SetWriteDeadline(t time.Time) error { return v.inner.SetWriteDeadline(t) }
