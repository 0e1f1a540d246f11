package park

import (
	"net"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A client that has room for little at a time, and does not read, keeps no loop
// waiting.
func TestTightClients(t *testing.T) {
	everywhere(t, func(g *ground) {
		for _, size := range []int{100, 1000, 4000, 5000} {
			_, server := g.pairBy(tightly)
			part := strings.Repeat("x", size)
			tight := g.parked(server, "", func(v *visitor) {
				v.arrived = func(v *visitor) { v.write(part) }
				// A turn of the loop lies between two writes.
				v.flushed = func(v *visitor) { v.when = 1 }
				v.due = func(v *visitor) { v.when = 0; v.write(part) }
			})
			flushed, same := 0, 0
			g.eventually("there is no room left", func() bool {
				g.on(func(*loop) {})
				if n := tight.had("flushed"); n != flushed {
					flushed, same = n, 0
				}
				same++
				return same > 20
			})
			c, server := g.pair()
			for range 5 {
				v := g.parked(server, "", answers("answer", true))
				v.conn.Ring()
				g.hears(c, "answer")
				g.says(c, "request")
				server = g.returned()
				g.hears(server, "request")
			}
		}
	})
}

// tightly connects as one that never has room for much, so that the server's
// kernel sends in small packets, of which it keeps few.
func tightly(network, address string) (net.Conn, error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
	}}
	return d.Dial(network, address)
}

// An ordinary client is written to without a goroutine, over TLS as well.
func TestOrdinaryClientsAreWide(t *testing.T) {
	g := newGround(t, way{"sockets", newWatch, true, false}, "tls")
	_, server := g.pair()
	v := g.parked(server, "", nil)
	g.on(func(*loop) {
		if !v.conn.wide {
			t.Error("the socket counts as narrow")
		}
	})
}
