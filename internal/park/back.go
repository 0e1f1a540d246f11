package park

import (
	"crypto/tls"
	"net"
)

// Bare returns the connection itself, of one that went back with bytes that had
// been read from it, if they have been read again; and those bytes, if nothing
// more has been read than they.
func Bare(c net.Conn) (bare net.Conn, head []byte) {
	switch r := c.(type) {
	case *replayed:
		return r.bare(c)
	case *replayedTLS:
		return r.bare(c)
	}
	return c, nil
}

func (r *replayed) bare(c net.Conn) (net.Conn, []byte) {
	switch {
	case len(r.early) > 0:
		return c, nil
	case r.more:
		return r.Conn, nil
	}
	return r.Conn, r.head
}

// replay returns the connection with bytes that were read from it in front.
func replay(c net.Conn, early []byte) net.Conn {
	if t, ok := c.(secure); ok {
		return &replayedTLS{replayed{Conn: c, early: early, head: early}, t}
	}
	return &replayed{Conn: c, early: early, head: early}
}

type replayed struct {
	net.Conn
	// early is what is left to read of head.
	early, head []byte
	// more: something that came later has been read.
	more bool
}

func (r *replayed) Read(b []byte) (int, error) {
	if len(r.early) > 0 {
		n := copy(b, r.early)
		r.early = r.early[n:]
		return n, nil
	}
	n, err := r.Conn.Read(b)
	if n > 0 {
		r.more = true
	}
	return n, err
}

// CloseWrite is what net/http uses before it closes.
func (r *replayed) CloseWrite() error { return closeWrite(r.Conn) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// secure is the method by which net/http sees that it is TLS.
type secure interface{ ConnectionState() tls.ConnectionState }

type replayedTLS struct {
	replayed
	tls secure
}

func (r *replayedTLS) ConnectionState() tls.ConnectionState { return r.tls.ConnectionState() }
