package park

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestManyRoundsOnOneConnection(t *testing.T) {
	everywhere(t, func(g *ground) {
		c, server := g.pair()
		for i := range 50 {
			answer, next := fmt.Sprintf("answer %d", i), fmt.Sprintf("request %d", i)
			v := g.parked(server, "", answers(answer, true))
			v.conn.Ring()
			g.hears(c, answer)
			g.says(c, next)
			back := g.returned()
			g.hears(back, next)
			if server = back; g.lot.Held() != 0 {
				t.Fatalf("%d guests are left", g.lot.Held())
			}
		}
		g.empty()
	})
}

// What a client sends while it is held is its next request.
func TestSpeechWhileHeld(t *testing.T) {
	everywhere(t, func(g *ground) {
		c, server := g.pair()
		v := g.parked(server, "", answers("answer", true))
		g.says(c, "request")
		g.says(c, "another")
		v.conn.Ring()
		g.hears(c, "answer")
		g.hears(g.returned(), "requestanother")
	})
}

// Of a request only a part may have come, of which TLS can make nothing yet.
func TestSpeechInParts(t *testing.T) {
	for _, w := range ways() {
		for _, kind := range []string{"tls", "tls12"} {
			t.Run(w.name+"/"+kind, func(t *testing.T) {
				g := newGround(t, w, kind)
				for range 20 {
					c, server := g.pair()
					v := g.parked(server, "", answers("answer", true))
					record := c.record("request")
					g.says(c.below, record[:7])
					g.eventually("a goroutine reads", func() (reads bool) {
						g.on(func(*loop) { reads = v.conn.peeking })
						return reads
					})
					v.conn.Ring()
					g.hears(c, "answer")
					if g.eventually("the answer is out", func() bool { return g.lot.Held() == 0 }); len(g.back) > 0 {
						t.Fatal("it came back with nothing to read")
					}
					g.says(c.below, record[7:])
					g.hears(g.returned(), "request")
				}
			})
		}
	}
}

func TestClientGoesWhileHeld(t *testing.T) {
	everywhere(t, func(g *ground) {
		for name, leave := range map[string]func(client){
			"close": func(c client) { _ = c.Close() },
			"reset": client.reset,
			"half":  func(c client) { _ = c.halve() },
			// Only TLS has a goodbye that is not the socket's.
			"goodbye": func(c client) { _ = c.Conn.(interface{ CloseWrite() error }).CloseWrite() },
		} {
			c, server := g.pair()
			v := g.parked(server, "", nil)
			leave(c)
			v.await("lost")
			if v.slow {
				t.Errorf("%s: the client counts as slow", name)
			}
			g.empty()
			g.closed(c)
		}
	})
}

func TestClientGoesAfterTheAnswer(t *testing.T) {
	everywhere(t, func(g *ground) {
		for _, leave := range []func(client){
			func(c client) { _ = c.Close() },
			client.reset,
			func(c client) { _ = c.halve() },
		} {
			c := g.answered(true)
			leave(c)
			g.empty()
			for len(g.back) > 0 {
				// It may be for the HTTP server to see what there is.
				back := <-g.back
				g.closed(back)
				_ = back.Close()
			}
		}
	})
}

// A client may send its last request and end its side, after an answer.
func TestRequestThenHalfClose(t *testing.T) {
	everywhere(t, func(g *ground) {
		c := g.answered(true)
		g.says(c, "last")
		_ = c.halve()
		back := g.returned()
		g.hears(back, "last")
		g.says(back, "answer to the last")
		g.hears(c, "answer to the last")
	})
}

func TestLastAnswer(t *testing.T) {
	everywhere(t, func(g *ground) {
		c := g.answered(false)
		g.end(c)
		_ = c.Close()
		g.empty()
	})
}

// A client that does not close is not waited for.
func TestLastAnswerToWhoStays(t *testing.T) {
	everywhere(t, func(g *ground) {
		g.lot.politeTime = time.Millisecond
		c := g.answered(false)
		g.end(c)
		g.empty()
	})
}

func TestIdle(t *testing.T) {
	everywhere(t, func(g *ground) {
		g.terms.Idle = time.Millisecond
		c := g.answered(true)
		g.closed(c)
		g.empty()
	})
}

func TestAbort(t *testing.T) {
	everywhere(t, func(g *ground) {
		c, server := g.pair()
		v := g.parked(server, "", func(v *visitor) { v.rung = (*visitor).abort })
		v.conn.Ring()
		g.closed(c)
		g.empty()
	})
}

// Who reads slowly holds nobody up, and gets everything.
func TestSlowReader(t *testing.T) {
	everywhere(t, func(g *ground) {
		big := strings.Repeat("x", 8<<20)
		c, server := g.pair()
		slow := g.parked(server, "", answers(big, true))
		slow.conn.Ring()
		slow.await("rung")
		for range 10 {
			g.answered(true)
		}
		if slow.had("flushed") > 0 {
			t.Fatal("nobody read all that")
		}
		slow.conn.Ring() // comes to nothing
		g.hears(c, big)
		g.says(c, "request")
		g.hears(g.returned(), "request")
	})
}

func TestWhoDoesNotRead(t *testing.T) {
	everywhere(t, func(g *ground) {
		g.lot.writeTimeout = 10 * time.Millisecond
		c, server := g.pair()
		v := g.parked(server, "", answers(strings.Repeat("x", 8<<20), true))
		v.conn.Ring()
		v.await("lost")
		if !v.slow {
			t.Error("the client does not count as slow")
		}
		g.empty()
		g.closed(c)
	})
}

// Who hangs up while much is written is lost once.
func TestClientGoesWhileWriting(t *testing.T) {
	everywhere(t, func(g *ground) {
		c, server := g.pair()
		v := g.parked(server, "", answers(strings.Repeat("x", 8<<20), true))
		v.conn.Ring()
		g.hears(c, "xxx")
		c.reset()
		v.await("lost")
		g.empty()
	})
}

// Who says no more while much is written gets all of it, and is lost then where the
// guest stays: not before, because a client that has everything may be gone before the
// writer is back.
func TestClientEndsWhileWriting(t *testing.T) {
	everywhere(t, func(g *ground) {
		for _, stays := range []bool{false, true} {
			big := strings.Repeat("x", 8<<20)
			c, server := g.pair()
			v := g.parked(server, "", func(v *visitor) {
				answers(big, false)(v)
				if stays {
					v.flushed = nil
				}
			})
			v.conn.Ring()
			g.hears(c, big[:10])
			_ = c.halve()
			g.hears(c, big[10:])
			g.closed(c)
			v.await("flushed")
			if stays {
				v.await("lost")
			}
			if v.slow || !stays && v.had("lost") > 0 {
				t.Errorf("stays: %v; slow: %v, lost: %d", stays, v.slow, v.had("lost"))
			}
			g.empty()
		}
	})
}

func TestDue(t *testing.T) {
	everywhere(t, func(g *ground) {
		c, server := g.pair()
		g.parked(server, "", func(v *visitor) {
			answers("answer", true)(v)
			v.when, v.due = In(time.Millisecond), v.rung
		})
		g.hears(c, "answer")
		g.says(c, "request")
		g.hears(g.returned(), "request")
	})
}

// What is rung for is always looked at.
func TestRings(t *testing.T) {
	everywhere(t, func(g *ground) {
		_, server := g.pair()
		v := g.parked(server, "", nil)
		for range 2000 {
			// The ring before has been answered, and the loop is about to sleep.
			had := v.had("rung")
			v.conn.Ring()
			for end := time.Now().Add(limit); v.had("rung") == had; {
				if time.Now().After(end) {
					t.Fatal("a ring was not heard")
				}
			}
		}
	})
}

func TestMistakesOfGuests(t *testing.T) {
	everywhere(t, func(g *ground) {
		oops := func(*visitor) { panic("oops") }
		neighbourEnd, neighbour := g.pair()
		good := g.parked(neighbour, "", answers("answer", true))
		for _, change := range []func(*visitor){
			func(v *visitor) { v.arrived = oops },
			func(v *visitor) { v.rung = oops },
			func(v *visitor) { v.rung = func(v *visitor) { v.write("x"); oops(v) } },
			func(v *visitor) { v.rung, v.flushed = func(v *visitor) { v.write("x") }, oops },
			func(v *visitor) { v.rung = func(v *visitor) { v.when, v.due = Now(), oops } },
			func(v *visitor) { v.rung = func(v *visitor) { v.finish(true); oops(v) } },
			func(v *visitor) { v.rung = func(v *visitor) { v.finish(false); oops(v) } },
			func(v *visitor) { v.rung = func(v *visitor) { v.abort(); oops(v) } },
			func(v *visitor) { v.rung, v.lost = oops, oops },
			func(v *visitor) {
				v.rung = func(v *visitor) { v.write(strings.Repeat("x", 8<<20)); v.conn.Finish(true) }
			},
			func(v *visitor) {
				v.rung = func(v *visitor) { v.write("x"); v.conn.Finish(true); v.conn.Write([]byte("y")) }
			},
		} {
			c, server := g.pair()
			v := g.park(server, "", change)
			v.await("arrived")
			v.conn.Ring()
			g.closed(c)
			g.eventually("the mistake is known", func() bool { return g.forgive() == 1 })
			if n := g.conns(); n != 1 {
				t.Fatalf("%d connections are parked, want the neighbour's", n)
			}
		}
		good.conn.Ring()
		g.hears(neighbourEnd, "answer")
	})
}

// A home that makes a mistake leaves no connection open.
func TestMistakesOfHomes(t *testing.T) {
	everywhere(t, func(g *ground) {
		g.terms.Home = careless{g}
		c := g.answered(true)
		g.says(c, "request")
		g.closed(c)
		g.empty()
		g.eventually("the mistake is known", func() bool { return g.forgive() == 1 })
	})
}

// careless takes nothing back.
type careless struct{ *ground }

func (careless) Return(net.Conn) { panic("oops") }

func TestStop(t *testing.T) {
	everywhere(t, func(g *ground) {
		idler := g.answered(true)

		stops := func(v *visitor) {
			answers("bye", false)(v)
			v.stop = v.rung
		}
		c, server := g.pair()
		there := g.parked(server, "", stops)
		g.lot.Stop()
		g.hears(c, "bye")
		g.end(c)
		g.closed(idler)

		late, server := g.pair()
		v := g.park(server, "", stops)
		g.hears(late, "bye")
		g.end(late)
		g.lot.Drain(limit)
		if n := there.had("stop") + v.had("stop"); n != 2 || g.lot.Held() != 0 {
			t.Errorf("stopped %d times, %d guests are left", n, g.lot.Held())
		}
	})
}

// Whoever was parked before is called, and nobody twice.
func TestEachWithWhoArrives(t *testing.T) {
	everywhere(t, func(g *ground) {
		const n = 40
		called := map[Guest]int{}
		var guests []*visitor
		for range n {
			_, server := g.pair()
			guests = append(guests, g.park(server, "", nil))
		}
		g.lot.Each(func(guest Guest) { called[guest]++ })
		_, server := g.pair()
		late := g.parked(server, "", nil)
		g.on(func(*loop) {})
		for _, v := range guests {
			if called[v] != 1 {
				t.Fatalf("a guest was called %d times", called[v])
			}
		}
		if called[late] > 1 {
			t.Error("who came later was called twice")
		}
	})
}

// A connection may be of a kind that nothing is known of.
func TestOtherConnections(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			g := newGround(t, w, "tcp")
			near, far := net.Pipe()
			defer near.Close()
			v := g.parked(far, "", answers("answer", true))
			v.conn.Ring()
			g.hears(near, "answer")
			g.says(near, "request"[:1])
			back := g.returned()
			g.hears(back, "r")
			_ = back.Close()
		})
	}
}
