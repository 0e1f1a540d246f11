package park

import (
	"crypto/tls"
	"errors"
	"testing"
)

// A request that was there before the connection was parked is answered without
// another word of the client.
func TestEarlyBytes(t *testing.T) {
	everywhere(t, func(g *ground) {
		c, server := g.pair()
		v := g.parked(server, "second", answers("first answer", true))
		v.conn.Ring()
		g.hears(c, "first answer")
		back := g.returned()
		g.hears(back, "sec")
		if bare(back) != back {
			t.Fatal("the connection is bare, and early bytes are lost")
		}
		// Parked again with a part of them left, it returns with the others.
		v = g.parked(back, "", answers("second answer", true))
		v.conn.Ring()
		g.hears(c, "second answer")
		g.says(c, "third")
		back = g.returned()
		if _, is := back.(interface{ ConnectionState() tls.ConnectionState }); is != (g.kind == "tls" || g.kind == "tls12") {
			t.Errorf("a %s connection came back as %T", g.kind, back)
		}
		g.hears(back, "ondthird")
	})
}

// Who rings before the guest is there has nothing to tell it.
func TestRingBeforeArrival(t *testing.T) {
	everywhere(t, func(g *ground) {
		neighbourEnd, neighbour := g.pair()
		good := g.parked(neighbour, "", answers("answer", true))
		c, server := g.pair()
		conn := g.lot.Conn(server, nil, &g.terms)
		conn.Ring()
		g.on(func(*loop) {})
		v := &visitor{g: g, conn: conn, calls: map[string]int{}}
		answers("answer", true)(v)
		conn.Park(v)
		v.await("arrived")
		conn.Ring()
		g.hears(c, "answer")
		good.conn.Ring()
		g.hears(neighbourEnd, "answer")
	})
}

// A loop that can watch no more has a goroutine listen.
func TestFullWatch(t *testing.T) {
	full := func(l *loop) (watch, error) {
		w, err := newWatch(l)
		return fullWatch{w}, err
	}
	for _, w := range []way{{"full", full, watchesSockets, false}, {"full of own sockets", full, watchesSockets, true}} {
		for _, kind := range kinds {
			t.Run(w.name+"/"+kind, func(t *testing.T) {
				g := newGround(t, w, kind)
				c := g.answered(true)
				g.says(c, "request")
				g.hears(g.returned(), "request")
			})
		}
	}
}

type fullWatch struct{ watch }

func (fullWatch) add(*Conn) error { return errors.New("full") }

// What a client still sends after the last answer must not reset it, as closing a
// socket does that has something to read.
func TestLastAnswerToWhoSends(t *testing.T) {
	everywhere(t, func(g *ground) {
		c, server := g.pair()
		v := g.parked(server, "", answers("answer", false))
		v.conn.Ring()
		v.await("flushed")
		g.says(c, "more")
		if g.kind != "tls12" && g.kind != "tls" {
			_ = c.halve()
		}
		g.heardAll(v.conn)
		if n := g.conns(); n != 1 {
			t.Error("the connection was closed with something to read")
		}
		g.hears(c, "answer")
		g.end(c)
	})
}

// heardAll waits until the loop has heard what the client has said.
func (g *ground) heardAll(c *Conn) {
	g.Helper()
	g.eventually("the client is heard", func() bool {
		there := false
		g.on(func(*loop) { there = c.state == gone || c.fd >= 0 && unread(c.fd) || c.fd < 0 && !c.peeking })
		return there
	})
	g.on(func(*loop) {})
}
