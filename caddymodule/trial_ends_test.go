package caddymodule

import (
	"io"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Who has said all that it will say, and still reads, gets the answer.
func TestAClientThatOnlyReadsOnGetsItsAnswer(t *testing.T) {
	g := newGate()
	does(t, "gate", func(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
		g.came <- struct{}{}
		<-g.open
		_, _ = io.WriteString(w, "passed")
		return nil
	})
	s, hub := acting(t, "", "")
	for _, network := range []string{"tcp", "unix"} {
		for _, together := range []bool{false, true} {
			g = newGate()
			w := s.taped(network)
			w.polled(hub, "/n/a", "a")
			before := triedOf("gate")
			w.asks("/n/a?act=gate")
			if !together {
				receive(t, g.came)
			}
			_ = w.c.(interface{ CloseWrite() error }).CloseWrite()
			if together {
				receive(t, g.came)
			}
			g.release()
			w.hears().wants(t, "200", "passed")
			wanted(t, "gate", before)
			if rest := w.ends(); rest != "" {
				t.Errorf("then came %q", rest)
			}
		}
	}
}

// A poll whose client hung up together with asking is not held.
func TestAPollWhoseClientHasGoneIsNotHeld(t *testing.T) {
	s, hub := acting(t, "", "")
	over := 0.0
	for _, network := range []string{"tcp", "unix"} {
		for range 50 {
			w := s.taped(network)
			w.polled(hub, "/n/a", "a")
			w.asks("/n/a")
			_ = w.c.(interface{ CloseWrite() error }).CloseWrite()
			over += 3 // the others were answered
			eventually(t, "it is over", func() bool { return metric(t, "caddy_comet_answered_total", hub) == over })
			parks(t, hub, 0, 0)
		}
	}
}
