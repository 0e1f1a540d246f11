package park

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// adopt takes the socket from its net.Conn, of which nothing is left.
func (c *Conn) adopt() bool {
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return false // no descriptor left: it stays as it is
	}
	_ = c.net.Close()
	c.net, c.fd = nil, int32(fd)
	return true
}

// materialize makes the socket a net.Conn again.
func (c *Conn) materialize() error {
	if !c.own {
		return nil
	}
	f := os.NewFile(uintptr(c.fd), "")
	back, err := net.FileConn(f)
	c.loop.watch.remove(c)
	_ = f.Close()
	if err != nil {
		nobody, _ := net.Pipe()
		c.net, c.own, c.fd = nobody, false, -1
		return err
	}
	socket, _ := raw(back)
	c.net, c.own, c.fd = back, false, descriptor(socket)
	return c.loop.watch.add(c)
}

func (c *Conn) closeWrite() {
	if c.own {
		_ = unix.Shutdown(int(c.fd), unix.SHUT_WR)
		return
	}
	_ = closeWrite(c.net)
}

func (c *Conn) shut() {
	if c.own {
		_ = unix.Close(int(c.fd))
		return
	}
	_ = c.net.Close()
}

// read reads what there is, into the loop's one buffer. It reports false where
// the connection has ended.
func (l *loop) read(fd int32) (b []byte, ok bool) {
	if l.buffer == nil {
		l.buffer = make([]byte, maxHead)
	}
	for {
		n, err := unix.Read(int(fd), l.buffer)
		switch {
		case err == nil:
			return l.buffer[:n], n > 0
		case errors.Is(err, unix.EAGAIN):
			return nil, true
		case !errors.Is(err, unix.EINTR):
			return nil, false
		}
	}
}
