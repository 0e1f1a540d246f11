package park

import "time"

// sleeper is the watch where a goroutine listens to each connection: it only
// sleeps.
type sleeper struct{ bell chan struct{} }

func newSleeper(*loop) (watch, error) { return &sleeper{bell: make(chan struct{}, 1)}, nil }

func (*sleeper) add(*Conn) error { return nil }
func (*sleeper) remove(*Conn)    {}
func (*sleeper) close()          {}
func (*sleeper) yield()          {}

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
