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
