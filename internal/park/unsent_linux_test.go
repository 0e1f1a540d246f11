package park

import (
	"crypto/tls"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// queued is how much of what was written to a connection the kernel has not sent.
func queued(t *testing.T, c *net.TCPConn) (n int) {
	t.Helper()
	s, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// vast connects by sockets that would take megabytes.
func vast(t *testing.T) (server *net.TCPConn) {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20) })
	}}
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := tightly("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// The kernel keeps little for a client that does not read.
func TestTheKernelKeepsLittleForWhoDoesNotRead(t *testing.T) {
	fill := func(c *net.TCPConn) int {
		t.Helper()
		_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := c.Write(make([]byte, 16<<20)); !os.IsTimeout(err) {
			t.Fatal(err)
		}
		return queued(t, c)
	}
	const most = unsent + 256<<10 // the kernel takes packets as a whole
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"plain": func(c net.Conn) net.Conn { return c },
		"TLS":   func(c net.Conn) net.Conn { return tls.Server(c, new(tls.Config)) },
	} {
		c := vast(t)
		Bound(wrap(c))
		if n := fill(c); n > most {
			t.Errorf("%s: %d bytes are kept", name, n)
		}
	}
	if n := fill(vast(t)); n <= most {
		t.Skipf("the kernel keeps %d bytes by itself", n)
	}
}
