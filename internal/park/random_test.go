package park

import (
	"bytes"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Many connections, on each of which client and guest do what comes to them, end
// without a trace, and no client gets what is another's.
func TestRandomly(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	everywhere(t, func(g *ground) { g.randomly(seed, 60) })
}

func (g *ground) randomly(seed uint64, connections int) {
	g.lot.writeTimeout, g.lot.politeTime = 20*time.Millisecond, 5*time.Millisecond
	g.terms.Idle = 50 * time.Millisecond
	var over atomic.Int64
	var wrong sync.Map
	var done sync.WaitGroup
	for i := range connections {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		c, server := g.pair()
		mark := byte('a' + i%26)
		random, before := r.Uint64(), early(r)
		g.park(server, before, g.whim(r, mark, &over))
		done.Add(1)
		go func() {
			defer done.Done()
			if b := roam(random, c); len(bytes.Trim(b, string(mark))) > 0 {
				wrong.Store(i, b)
			}
		}()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		done.Wait()
	}()
	r := rand.New(rand.NewPCG(seed, 1<<32))
	for stop := false; !stop; {
		select {
		case <-ended:
			stop = true
		case c := <-g.back:
			// An HTTP server reads something, and parks it again or does not.
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			b := make([]byte, 1+r.IntN(20))
			_, err := c.Read(b)
			_ = c.SetReadDeadline(time.Time{})
			if again := r.IntN(3) > 0 && err == nil; again {
				// What it sent is not known any more, nor need be.
				g.park(c, "", g.whim(rand.New(rand.NewPCG(r.Uint64(), 0)), g.markOf(c), &over))
			} else {
				_ = c.Close()
			}
		case <-time.After(time.Millisecond):
			switch r.IntN(20) {
			case 0:
				g.lot.Each(func(guest Guest) { guest.(*visitor).conn.Ring() })
			case 1:
				g.check()
			}
		}
	}
	wrong.Range(func(i, b any) bool {
		g.Errorf("connection %v got %.100q", i, b)
		return true
	})
	g.lot.Stop()
	g.lot.Drain(limit)
	g.empty()
	if n := over.Load(); n != 0 {
		g.Errorf("%d guests did not come to their end", n)
	}
}

// markOf is what the connection's answers are made of.
func (g *ground) markOf(c net.Conn) byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, o := range g.opened {
		if ends(o) == ends(c) {
			return byte('a' + i/2%26)
		}
	}
	g.Error("a connection that nobody knows")
	return 0
}

// ends are what a connection is known by that has become another [net.Conn].
func ends(c net.Conn) string { return c.LocalAddr().String() + " " + c.RemoteAddr().String() }

func early(r *rand.Rand) string {
	if r.IntN(4) > 0 {
		return ""
	}
	return "early"
}

// whim is a guest that does anything it may.
func (g *ground) whim(r *rand.Rand, mark byte, over *atomic.Int64) func(*visitor) {
	return func(v *visitor) {
		over.Add(1)
		moves := 1 + r.IntN(6)
		end := func(f func()) { over.Add(-1); f() }
		move := func(v *visitor) {
			if v.writing || v.ended {
				return
			}
			v.when = 0
			if moves--; moves <= 0 {
				switch r.IntN(5) {
				case 0:
					end(v.abort)
				case 1:
					end(func() { v.finish(false) })
				default:
					end(func() { v.finish(true) })
				}
				return
			}
			switch r.IntN(4) {
			case 0:
				v.when = In(time.Duration(r.IntN(int(5 * time.Millisecond))))
			case 1:
				v.conn.Ring()
			case 2:
				size := 1 + r.IntN(100)
				if r.IntN(5) == 0 {
					size = r.IntN(6 << 20)
				}
				v.write(strings.Repeat(string(mark), size))
			case 3:
				v.when = 1
			}
		}
		v.arrived, v.rung, v.due, v.flushed = move, move, move, move
		v.lost = func(*visitor) { over.Add(-1) }
		v.stop = func(v *visitor) {
			moves = 0
			move(v)
		}
	}
}

// roam is a client that does anything, until its connection ends or it ends it. It
// returns what it got.
func roam(seed uint64, c client) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var got []byte
	b := make([]byte, 64<<10)
	for range 3 + r.IntN(30) {
		switch r.IntN(12) {
		case 0, 1, 2:
			_ = c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
			if _, err := c.Write([]byte("request"[:1+r.IntN(7)])); err != nil {
				_ = c.below.Close()
				return got
			}
		case 3:
			if r.IntN(10) == 0 {
				_ = c.halve()
			}
		case 4:
			if r.IntN(10) == 0 {
				c.reset()
				return got
			}
		case 5:
			if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && r.IntN(10) == 0 {
				_ = half.CloseWrite()
			}
		default:
			_ = c.SetReadDeadline(time.Now().Add(time.Duration(1+r.IntN(5)) * time.Millisecond))
			n, _ := c.Read(b)
			got = append(got, b[:n]...)
		}
	}
	_ = c.Close()
	return got
}
