//go:build linux

package load

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// loop tells which sockets have something to read. It is level-triggered: what
// one turn leaves unread, the next one names again.
type loop struct {
	fd     int
	events [512]unix.EpollEvent
}

func newLoop() (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &loop{fd: fd}, err
}

// add watches a socket. index comes back with its events.
func (l *loop) add(fd int, index int32) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: index}
	return unix.EpollCtl(l.fd, unix.EPOLL_CTL_ADD, fd, &event)
}

// tick wakes wait each time that long has passed, by an event with that index,
// until the ticker is stopped.
func (l *loop) tick(every time.Duration, index int32) (*ticker, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	spec := unix.NsecToTimespec(every.Nanoseconds())
	err = unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: spec, Value: spec}, nil)
	if err == nil {
		err = l.add(fd, index)
	}
	if err != nil {
		_ = unix.Close(fd)
	}
	return &ticker{fd}, err
}

// ticker is a timer in a loop. epoll_wait's own bound counts milliseconds,
// which is too coarse for a pace of a thousand events a second.
type ticker struct{ fd int }

// seen takes note of the ticks so far, without which wait would go on to tell.
func (t *ticker) seen() {
	var count [8]byte
	_, _ = unix.Read(t.fd, count[:])
}

func (t *ticker) stop() { _ = unix.Close(t.fd) }

// wait returns the sockets that are readable, none after at most so long.
func (l *loop) wait(most time.Duration) ([]unix.EpollEvent, error) {
	n, err := unix.EpollWait(l.fd, l.events[:], int(most.Milliseconds()))
	if errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return l.events[:n], nil
}
