//go:build linux

package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// conn is one visitor's connection, plain or TLS.
type conn struct {
	socket  socket
	secure  *tls.Conn // nil on a plain one
	session *session  // nil but for HTTP/2
	index   int
	channel int
	// waits: a request is sent, or a stream is open, and no answer came.
	waits bool
	// opened: the head of the stream was seen.
	opened bool
	closed bool
	cursor string
	rest   []byte // the beginning of an answer
}

func (c *conn) close() {
	if c.closed {
		return
	}
	_ = unix.Close(int(c.socket))
	c.closed, c.waits = true, false
	if c.session != nil {
		for _, other := range c.session.visitors {
			other.closed, other.waits = true, false
		}
	}
}

func (c *conn) write(p []byte) error {
	var err error
	if c.secure != nil {
		_, err = c.secure.Write(p)
	} else {
		_, err = c.socket.Write(p)
	}
	return err
}

// read returns what can be read at once, after rest. It returns errAgain where
// that is nothing, and io.EOF at the end.
func (c *conn) read(buf []byte) (int, error) {
	if c.secure != nil {
		return c.secure.Read(buf)
	}
	return c.socket.Read(buf)
}

// dial connects from an address of the visitors' own, and leaves the socket
// non-blocking. Its end is a reset, which leaves no TIME_WAIT behind.
func dial(to netip.AddrPort, from netip.Addr) (socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	if err := connect(fd, to, from); err != nil {
		_ = unix.Close(fd)
		return 0, err
	}
	return socket(fd), nil
}

// dialUnix connects to a Unix socket.
func dialUnix(path string) (socket, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		_ = unix.Close(fd)
		return 0, os.NewSyscallError("connect", err)
	}
	return socket(fd), nil
}

func connect(fd int, to netip.AddrPort, from netip.Addr) error {
	for _, option := range []struct{ level, name, value int }{
		{unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1}, // a port is chosen by connect, by the whole four-tuple
		{unix.SOL_TCP, unix.TCP_NODELAY, 1},
	} {
		if err := unix.SetsockoptInt(fd, option.level, option.name, option.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	// While it blocks, which is for connect and the handshake of TLS.
	bound := unix.NsecToTimeval(patience.Nanoseconds())
	for _, name := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, name, &bound); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	if errors.Is(err, unix.EINTR) { // it goes on by itself
		err = connected(fd)
	}
	return os.NewSyscallError("connect", err)
}

// connected waits for the end of a connect that a signal interrupted.
func connected(fd int) error {
	if err := await(fd, unix.POLLOUT); err != nil {
		return err
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = syscall.Errno(code)
	}
	return err
}

// await waits until a descriptor is ready.
func await(fd int, events int16) error {
	for deadline := time.Now().Add(patience); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, int(time.Until(deadline).Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n == 0:
			return os.ErrDeadlineExceeded
		default:
			return nil
		}
	}
}

// shake makes a connection of TLS 1.3 of a socket that still blocks. Both the
// version and the key exchange are fixed, so that two servers are compared with
// the same work.
func shake(s socket, protocols ...string) (*tls.Conn, error) {
	c := tls.Client(s, &tls.Config{
		NextProtos:         protocols,
		ServerName:         "localhost",
		InsecureSkipVerify: true, // made for this run, on loopback
		MinVersion:         tls.VersionTLS13,
		MaxVersion:         tls.VersionTLS13,
		CurvePreferences:   []tls.CurveID{tls.X25519},
	})
	err := c.Handshake()
	if got := c.ConnectionState().NegotiatedProtocol; err == nil && len(protocols) > 0 && got != protocols[0] {
		err = fmt.Errorf("the server speaks %q, not %s", got, protocols[0])
	}
	return c, err
}

// suite names what TLS agreed on.
func suite(c *tls.Conn) string {
	state := c.ConnectionState()
	return fmt.Sprintf("%s, %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
}

// socket is a bare descriptor in the form that crypto/tls wants.
type socket int

// errAgain says that nothing is there to be read now. It is temporary, which
// makes a tls.Conn go on after it.
var errAgain net.Error = again{}

type again struct{}

func (again) Error() string   { return "nothing to read now" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

func (s socket) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(s), p)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return 0, errAgain
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write writes all of p, and waits where the socket is full.
func (s socket) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n, err := unix.Write(int(s), p[written:])
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			if err := await(int(s), unix.POLLOUT); err != nil {
				return written, err
			}
		case err != nil:
			return written, os.NewSyscallError("write", err)
		default:
			written += n
		}
	}
	return written, nil
}

// Close implements [net.Conn], as do the methods below. It is not used: a [conn]
// closes its socket.
func (s socket) Close() error                   { return unix.Close(int(s)) }
func (socket) LocalAddr() net.Addr              { return nil }
func (socket) RemoteAddr() net.Addr             { return nil }
func (socket) SetDeadline(time.Time) error      { return nil }
func (socket) SetReadDeadline(time.Time) error  { return nil }
func (socket) SetWriteDeadline(time.Time) error { return nil }
