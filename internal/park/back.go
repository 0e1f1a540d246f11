package park

import (
	"crypto/tls"
	"net"
)

// Bare returns the connection itself, of one that came back from here and whose
// replayed bytes have been read.
func Bare(c net.Conn) net.Conn {
	switch r := c.(type) {
	case *replayed:
		if len(r.early) == 0 {
			return r.Conn
		}
	case *replayedTLS:
		if len(r.early) == 0 {
			return r.Conn
		}
	}
	return c
}

// replay returns the connection with bytes that were read from it in front.
func replay(c net.Conn, early []byte) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return &replayedTLS{replayed{c, early}, t}
	}
	return &replayed{c, early}
}

type replayed struct {
	net.Conn
	early []byte
}

func (r *replayed) Read(b []byte) (int, error) {
	if len(r.early) > 0 {
		n := copy(b, r.early)
		r.early = r.early[n:]
		return n, nil
	}
	return r.Conn.Read(b)
}

// CloseWrite is what net/http uses before it closes.
func (r *replayed) CloseWrite() error {
	if half, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// replayedTLS has the method by which net/http sees that it is TLS.
type replayedTLS struct {
	replayed
	tls *tls.Conn
}

func (r *replayedTLS) ConnectionState() tls.ConnectionState { return r.tls.ConnectionState() }
