//go:build !linux

package park

import (
	"syscall"
	"time"
)

// watchesSockets: a goroutine listens to each connection.
const watchesSockets = false

func newWatch(*loop) (watch, error) { return &sleeper{bell: make(chan struct{}, 1)}, nil }

// sleeper only sleeps.
type sleeper struct{ bell chan struct{} }

func (*sleeper) add(*Conn) error { return nil }
func (*sleeper) remove(*Conn)    {}
func (*sleeper) close()          {}

func (s *sleeper) wait(until Moment) {
	if until == 0 {
		<-s.bell
		return
	}
	timer := time.NewTimer(until.Left())
	defer timer.Stop()
	select {
	case <-s.bell:
	case <-timer.C:
	}
}

func (s *sleeper) wake() {
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

func descriptor(syscall.Conn) int32 { return -1 }

func (*Conn) try([]byte) (int, error) { return 0, nil }

func empty(int32) bool { return false }

// Sockets are not watched here, so none is the loop's own.

const maxHead = 0

func (*Conn) adopt() bool                    { return false }
func (*Conn) materialize() error             { return nil }
func (c *Conn) closeWrite()                  { _ = closeWrite(c.net) }
func (c *Conn) shut()                        { _ = c.net.Close() }
func (*loop) read(int32) (b []byte, ok bool) { return nil, false }
