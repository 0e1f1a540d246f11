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
		c.loop.lot.noneLeft(err)
		return false // it stays as it is
	}
	c.loop.lot.fewLeft(max(fd, int(c.fd)))
	_ = c.net.Close()
	c.net, c.fd = nil, int32(fd)
	return true
}

// materialize makes the socket a net.Conn again, which is not watched.
func (c *Conn) materialize() error {
	if !c.own {
		return nil
	}
	f := os.NewFile(uintptr(c.fd), "")
	back, err := net.FileConn(f)
	if c.loop.lot.noneLeft(err) {
		c.loop.giveSpare()
		back, err = net.FileConn(f)
	}
	if err == nil && back.RemoteAddr() == nil {
		// The client has reset it, and nobody must be served who has no address.
		_ = back.Close()
		err = net.ErrClosed
	}
	c.loop.watch.remove(c)
	_ = f.Close()
	c.loop.keepSpare()
	if err != nil {
		nobody, end := net.Pipe()
		_ = end.Close() // or a write would wait for a reader
		c.net, c.own, c.fd = nobody, false, -1
		return err
	}
	socket, _ := raw(back)
	c.net, c.own, c.fd = back, false, descriptor(socket)
	return nil
}

// fewLeft tells if a descriptor is one of the last: the kernel gives the lowest that
// is free. What comes after them waits, and no one here sees it.
func (lot *Lot) fewLeft(fd int) {
	var most unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &most); err != nil || lot.short == nil {
		return
	}
	if last := int(min(most.Cur, 1<<30)); fd >= last-max(2, last/100) {
		lot.short()
	}
}

// noneLeft reports whether an error is for want of descriptors, and tells of it.
func (lot *Lot) noneLeft(err error) bool {
	none := errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
	if none && lot.short != nil {
		lot.short()
	}
	return none
}

// keepSpare keeps a descriptor for the moment at which there is no other, so that
// connections which are here already can go on.
func (l *loop) keepSpare() {
	if l.spare == 0 {
		if fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
			l.spare = fd
		}
	}
}

func (l *loop) giveSpare() {
	if l.spare != 0 {
		_ = unix.Close(l.spare)
		l.spare = 0
	}
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
	n, err := receive(fd, l.buffer)
	switch {
	case err == nil:
		return l.buffer[:n], n > 0
	case errors.Is(err, unix.EAGAIN):
		return nil, true
	}
	return nil, false
}
