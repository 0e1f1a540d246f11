package park

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// talker is a visitor that says what it hears. It may not hear while it writes.
type talker struct {
	*visitor
	heard bytes.Buffer
}

func (t *talker) Heard(b []byte) {
	if t.writing {
		t.g.Error("heard while a write is on its way")
	}
	t.enter("heard", nil)
	t.mu.Lock()
	t.heard.Write(b)
	t.mu.Unlock()
	if t.write(string(b)); bytes.HasSuffix(b, []byte("bye")) {
		t.flushed = func(v *visitor) { v.finish(false) }
	}
}

func (t *talker) had(s string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.heard.String() == s
}

// talks parks a connection with a talker.
func (g *ground) talks(c net.Conn, early string) *talker {
	g.Helper()
	t := &talker{visitor: &visitor{g: g, calls: map[string]int{}}}
	t.conn = g.lot.Conn(bare(c), []byte(early), &g.terms)
	t.conn.Park(t)
	t.await("arrived")
	return t
}

func TestTalk(t *testing.T) {
	everywhere(t, func(g *ground) {
		c, server := g.pair()
		v := g.talks(server, "early")
		g.hears(c, "early")
		for range 20 {
			g.says(c, "a word")
			g.hears(c, "a word")
			v.conn.Ring()
		}
		g.says(c, "bye")
		g.hears(c, "bye")
		g.end(c)
		_ = c.Close()
		g.empty()
	})
}

// More than one read takes, at once, to a client that does not read meanwhile.
func TestTalkOfMuch(t *testing.T) {
	everywhere(t, func(g *ground) {
		c, server := g.pairBy(net.Dial)
		v := g.talks(server, strings.Repeat("e", 3*maxHead))
		much := strings.Repeat("0123456789abcdef", 128<<10)
		said := make(chan error, 1)
		go func() {
			_ = c.SetWriteDeadline(time.Now().Add(limit))
			_, err := io.WriteString(c, much)
			said <- err
		}()
		g.eventually("more is to be written than the socket takes", func() (busy bool) {
			g.on(func(*loop) { busy = v.conn.busy })
			return busy
		})
		g.hears(c, strings.Repeat("e", 3*maxHead)+much)
		if err := <-said; err != nil {
			t.Fatal(err)
		}
		neighbourEnd, neighbour := g.pair()
		g.talks(neighbour, "")
		g.says(neighbourEnd, "hello")
		g.hears(neighbourEnd, "hello")
	})
}

// What is said while a write is on its way is heard behind it.
func TestTalkWaitsForTheWrite(t *testing.T) {
	everywhere(t, func(g *ground) {
		c, server := g.pairBy(net.Dial)
		v := g.talks(server, "")
		much := strings.Repeat("0123456789abcdef", 128<<10)
		g.on(func(*loop) { v.rung = func(v *visitor) { v.write(much) } })
		v.conn.Ring()
		g.eventually("more is to be written than the socket takes", func() (busy bool) {
			g.on(func(*loop) { busy = v.conn.busy })
			return busy
		})
		g.says(c, "a word")
		g.eventually("it is there to be heard", func() (is bool) {
			g.on(func(*loop) { is = v.conn.says() })
			return is
		})
		g.on(func(*loop) { v.rung = nil })
		g.hears(c, much+"a word")
	})
}

// Who says much at once is heard piece by piece, and others in between.
func TestTalkInTurns(t *testing.T) {
	for _, w := range ways() {
		if !w.sockets {
			continue // a piece is what one goroutine has read
		}
		for _, kind := range []string{"tcp", "unix"} {
			t.Run(w.name+"/"+kind, func(t *testing.T) {
				g := newGround(t, w, kind)
				c, server := g.pair()
				v := &silent{&visitor{g: g, calls: map[string]int{}}}
				v.conn = g.lot.Conn(server, nil, &g.terms)
				v.conn.Park(v)
				v.await("arrived")
				const pieces = 4
				goOn := make(chan struct{})
				g.lot.loops[0].do(func() { <-goOn })
				g.says(c, strings.Repeat("x", pieces*maxHead))
				close(goOn)
				g.eventually("all is heard", func() bool { return v.had("heard") >= pieces })
				if n := v.had("rung"); n < pieces-1 {
					t.Errorf("others had %d turns in between", n)
				}
			})
		}
	}
}

func TestTalkInParts(t *testing.T) {
	for _, w := range ways() {
		for _, kind := range []string{"tls", "tls12"} {
			t.Run(w.name+"/"+kind, func(t *testing.T) {
				g := newGround(t, w, kind)
				c, server := g.pair()
				g.talks(server, "")
				for range 5 {
					record := c.record("a word")
					g.says(c.below, record[:7])
					g.on(func(*loop) {})
					g.says(c.below, record[7:])
					g.hears(c, "a word")
				}
			})
		}
	}
}

// What a client says before it goes is heard.
func TestTalkBeforeTheEnd(t *testing.T) {
	everywhere(t, func(g *ground) {
		for name, leave := range map[string]func(client){
			"close": func(c client) { _ = c.Close() },
			"half":  func(c client) { _ = c.halve() },
		} {
			c, server := g.pair()
			v := g.talks(server, "")
			g.says(c, "last words")
			g.hears(c, "last words")
			g.says(c, ", really")
			leave(c)
			v.await("lost")
			if !v.had("last words, really") {
				t.Errorf("%s: heard %q", name, v.heard.String())
			}
			g.empty()
		}
		c, server := g.pair()
		v := g.talks(server, "")
		c.reset()
		v.await("lost")
		g.empty()
	})
}

// Who talks to a guest that stays silent is heard to the end, and others as well.
func TestTalkToWhoIsSilent(t *testing.T) {
	everywhere(t, func(g *ground) {
		c, server := g.pair()
		v := &silent{&visitor{g: g, calls: map[string]int{}}}
		v.conn = g.lot.Conn(bare(server), nil, &g.terms)
		v.conn.Park(v)
		v.await("arrived")
		g.says(c, strings.Repeat("x", 5<<20))
		_ = c.Close()
		v.await("lost")
		g.empty()
	})
}

type silent struct{ *visitor }

func (s *silent) Heard([]byte) { s.enter("heard", nil) }
