package park

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchesSockets: the loops watch sockets themselves.
const watchesSockets = true

// maxReady is how many sockets are looked at before all else.
const maxReady = 256

// epoll watches sockets edge-triggered: a socket that is readable and is not read
// is told of once, so a client that says more than it should costs nothing, and
// its bytes wait in the kernel.
type epoll struct {
	loop *loop
	fd   int
	// bell is an eventfd that wakes.
	bell  int
	ready [maxReady]unix.EpollEvent
	// heard is how many sockets were heard of last.
	heard int
	crowd crowd
	// dozing: the sleep that comes, or goes on, is a nap. Others look at it only while
	// the loop is asleep.
	dozing bool
	nap    *sleeper
}

// bellSlot is the bell's among the connections' slots.
const bellSlot = -1

func newWatch(l *loop) (watch, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	e := &epoll{loop: l, fd: fd, bell: bell, nap: &sleeper{bell: make(chan struct{}, 1)}}
	if err := e.register(bell, bellSlot, unix.EPOLLIN); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (e *epoll) register(fd int, slot int32, events uint32) error {
	return unix.EpollCtl(e.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events | unix.EPOLLET, Fd: slot})
}

func (e *epoll) add(c *Conn) error {
	c.wide = !c.plain && wide(c.fd)
	return e.register(int(c.fd), c.slot, unix.EPOLLIN|unix.EPOLLRDHUP)
}

func (e *epoll) remove(c *Conn) {
	_ = unix.EpollCtl(e.fd, unix.EPOLL_CTL_DEL, int(c.fd), nil)
}

// wait hears each socket once at most, so nothing here is of an earlier owner of
// its slot: slots are given away elsewhere.
func (e *epoll) wait(until Moment) {
	if e.dozing {
		until = e.doze(until)
	} else {
		e.gather(until)
	}
	n, err := unix.EpollWait(e.fd, e.ready[:], milliseconds(until))
	if err != nil && !errors.Is(err, unix.EINTR) {
		panic("park: epoll_wait: " + err.Error()) // a mistake of ours
	}
	for i := range max(n, 0) {
		if i%few == 0 {
			e.near(e.ready[i:min(i+few, n)])
		}
		slot, events := e.ready[i].Fd, e.ready[i].Events
		if slot == bellSlot {
			e.hush()
			continue
		}
		var s sound
		if events&unix.EPOLLIN != 0 {
			s |= speech
		}
		if events&unix.EPOLLRDHUP != 0 {
			s |= silence
		}
		if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			s |= broken
		}
		e.heard++
		if c := e.loop.conns.slots[slot]; c != nil {
			e.loop.heard(c, s)
		}
	}
}

// near has what those who are heard next need come near.
func (e *epoll) near(ready []unix.EpollEvent) {
	var next [few]*Conn
	conns := next[:0]
	for i := range ready {
		if slot := ready[i].Fd; slot != bellSlot && e.loop.conns.slots[slot] != nil {
			conns = append(conns, e.loop.conns.slots[slot])
		}
	}
	e.loop.near(conns)
}

// gather lets a little time pass while sockets are heard of one by one: most say
// that a client which has its answer asks again, and for that nobody waits. To hear
// of many at once costs a fraction. What is told the loop by others wakes it still.
func (e *epoll) gather(until Moment) {
	few := e.heard > 0 && e.heard < fewHeard
	e.heard = 0
	if !few || until != 0 && until.Left() < gatherTime {
		return
	}
	bell := []unix.PollFd{{Fd: int32(e.bell), Events: unix.POLLIN}}
	time := unix.NsecToTimespec(int64(gatherTime))
	_, _ = unix.Ppoll(bell, &time, nil)
}

// gatherTime is short beside what a request takes, and fewHeard so many that to
// wait for more saves nothing.
const (
	gatherTime = 500 * time.Microsecond
	fewHeard   = 32
)

// milliseconds is until then, rounded up: who wakes too early sleeps again.
func milliseconds(until Moment) int {
	if until == 0 {
		return -1
	}
	left := until.Left()
	if left <= 0 {
		return 0
	}
	return int(min((left+time.Millisecond-1)/time.Millisecond, 1<<30))
}

var one = []byte{1, 0, 0, 0, 0, 0, 0, 0}

func (e *epoll) wake() {
	if e.dozing {
		e.nap.wake()
		return
	}
	_, _ = unix.Write(e.bell, one)
}

func (e *epoll) hush() {
	var b [8]byte
	_, _ = unix.Read(e.bell, b[:])
}

func (e *epoll) close() {
	_ = unix.Close(e.bell)
	_ = unix.Close(e.fd)
}

// descriptor is the socket's number. It stays the socket's for as long as the
// connection is open, which is for its owner to say.
func descriptor(socket syscall.Conn) int32 {
	fd := int32(-1)
	if c, err := socket.SyscallConn(); err == nil {
		_ = c.Control(func(n uintptr) { fd = int32(n) })
	}
	return fd
}

// smallWrite is how much a wide socket takes whole that takes anything: it goes
// into the packet that it begins.
const smallWrite = 4 << 10

// wide reports whether a socket is. A packet has half of the widest window that
// the client ever had, and memory is taken for each: for a client with a narrow one
// there may be room for the first packet only. TLS cannot write a part, and would
// have the whole loop wait for the rest.
func wide(fd int32) bool {
	room, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil || room < 8*smallWrite {
		return false
	}
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.Snd_wnd >= 4*smallWrite
}

// try writes what the socket takes at once.
func (c *Conn) try(b []byte) (n int, err error) {
	switch {
	case c.fd < 0:
		return 0, nil
	case !c.plain:
		if !c.wide || len(b) > smallWrite || !roomy(c.fd) {
			return 0, nil
		}
		return c.net.Write(b)
	}
	n, err = send(c.fd, b)
	if errors.Is(err, unix.EAGAIN) {
		err = nil
	}
	return n, err
}

// roomy reports whether the socket takes anything.
func roomy(fd int32) bool {
	p := []unix.PollFd{{Fd: fd, Events: unix.POLLOUT}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1 && p[0].Revents&unix.POLLOUT != 0
}

// unread reports whether the socket has something to read.
func unread(fd int32) bool {
	var b [1]byte
	n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n > 0 && err == nil
}
