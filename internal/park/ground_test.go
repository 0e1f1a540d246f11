package park

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// limit is how long a test waits for what must come. It says nothing about how
// long that takes.
const limit = 20 * time.Second

const aRequest = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// way is how a lot learns what happens on its connections.
type way struct {
	name     string
	newWatch func(*loop) (watch, error)
	sockets  bool
	// own: the loops keep plain sockets alone.
	own bool
}

func ways() []way {
	all := []way{{"goroutines", newSleeper, false, false}}
	if watchesSockets {
		all = append(all, way{"sockets", newWatch, true, false}, way{"own sockets", newWatch, true, true},
			way{"own sockets, in a crowd", newCrowdedWatch, true, true})
	}
	return all
}

// kinds are what connections there are.
var kinds = []string{"tcp", "unix", "tls", "tls12"}

// secured reports whether it is a kind with TLS.
func secured(kind string) bool { return strings.HasPrefix(kind, "tls") }

// ground is a lot and all that is around it.
type ground struct {
	*testing.T
	lot   *Lot
	kind  string
	terms Terms
	// back are the connections that were returned.
	back chan net.Conn
	// trials are the requests that were tried.
	trials chan *Trial

	mu       sync.Mutex
	mistakes []any
	// opened are all connections: one that is leaked must not be closed by the
	// garbage collector.
	opened []net.Conn
	// visiting are the returned ones that were not parked again.
	visiting map[net.Conn]bool
}

// everywhere runs a test in every way with every kind of connection.
func everywhere(t *testing.T, test func(*ground)) {
	t.Helper()
	for _, w := range ways() {
		for _, kind := range kinds {
			t.Run(w.name+"/"+kind, func(t *testing.T) { test(newGround(t, w, kind)) })
		}
	}
}

// newGround has one loop, so that all connections are neighbours.
func newGround(t *testing.T, w way, kind string) *ground {
	t.Helper()
	return newGroundOf(t, w, kind, 1)
}

func newGroundOf(t *testing.T, w way, kind string, loops int) *ground {
	t.Helper()
	g := &ground{T: t, kind: kind, back: make(chan net.Conn, 10_000), trials: make(chan *Trial, 10_000), visiting: map[net.Conn]bool{}}
	g.terms.Home = g
	files := descriptors()
	g.lot = &Lot{sockets: w.sockets, own: w.own, writeTimeout: time.Hour, politeTime: time.Hour, mistake: g.mistake}
	if err := g.lot.open(loops, w.newWatch); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.leave(files) })
	return g
}

// leave ends everything, and looks for what is left.
func (g *ground) leave(files int) {
	if g.Failed() {
		g.lot.Close()
		return
	}
	g.check()
	g.lot.Close()
	g.eventually("the end of all goroutines", func() bool { return !atWork() })
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.opened {
		if c, ok := c.(client); ok {
			_ = c.below.Close()
		}
	}
	for c := range g.visiting {
		_ = c.Close()
	}
	g.eventually("the end of all connections", func() bool { return descriptors() <= files })
}

// atWork reports whether a goroutine of the package is there.
func atWork() bool {
	b := make([]byte, 1<<20)
	stacks := string(b[:runtime.Stack(b, true)])
	return strings.Contains(stacks, "internal/park.(*loop).") || strings.Contains(stacks, "internal/park.(*Conn).")
}

// descriptors is how many files are open, 0 where that cannot be known.
func descriptors() int {
	files, _ := os.ReadDir("/proc/self/fd")
	return len(files)
}

func TestMain(m *testing.M) {
	// The runtime's own descriptors are there from the first connection on.
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = ln.Close()
	}
	os.Exit(m.Run())
}

func (g *ground) mistake(reason any, stack []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mistakes = append(g.mistakes, fmt.Sprintf("%v\n%s", reason, stack))
}

// forgive returns how many mistakes there were, and forgets them.
func (g *ground) forgive() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.mistakes)
	g.mistakes = nil
	return n
}

func (g *ground) Try(t *Trial) {
	go func() {
		if t.Fetch() {
			g.trials <- t
		}
	}()
}

func (g *ground) Open(net.Addr) bool { return true }

func (g *ground) Return(c net.Conn) {
	g.mu.Lock()
	g.visiting[c] = true
	g.mu.Unlock()
	g.back <- c
}

// returned is the next connection that comes back.
func (g *ground) returned() net.Conn {
	g.Helper()
	return awaited(g, g.back, "no connection came back")
}

// awaited is what comes next, and without is what is wrong if nothing does.
func awaited[T any](g *ground, c <-chan T, without string) (next T) {
	g.Helper()
	select {
	case next = <-c:
	case <-time.After(limit):
		g.Fatal(without)
	}
	return next
}

func (g *ground) eventually(what string, is func() bool) {
	g.Helper()
	for end := time.Now().Add(limit); !is(); {
		if time.Now().After(end) {
			g.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// on runs f on each loop, after everything that had happened before.
func (g *ground) on(f func(*loop)) {
	g.Helper()
	for _, l := range g.lot.loops {
		done := make(chan struct{})
		l.do(func() {
			defer close(done)
			f(l)
		})
		l.mu.Lock()
		closed := l.closed
		l.mu.Unlock()
		if closed {
			continue
		}
		awaited(g, done, "a loop does not answer")
	}
}

// check says what is wrong in the lists of the loops, and whether there were
// mistakes.
func (g *ground) check() {
	g.Helper()
	g.on(func(l *loop) {
		if err := consistent(l); err != nil {
			g.Error(err)
		}
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.mistakes {
		g.Errorf("a mistake: %v", m)
	}
}

// consistent looks at a loop's lists, on the loop.
func consistent(l *loop) error {
	t := &l.conns
	there, guests := 0, 0
	for i, c := range t.slots {
		if c == nil {
			continue
		}
		there++
		if c.state == held {
			guests++
		}
		switch {
		case int(c.slot) != i:
			return fmt.Errorf("slot %d has a connection that thinks it is in %d", i, c.slot)
		case c.state == gone:
			return fmt.Errorf("slot %d has a connection that is gone", i)
		case (c.state == held || c.stays) != (c.guest != nil):
			return fmt.Errorf("a connection in state %d has guest %v", c.state, c.guest)
		case c.due != 0 && (c.place < 0 || c.due < c.key):
			return fmt.Errorf("a connection due at %d is at place %d for %d", c.due, c.place, c.key)
		}
	}
	free := map[int32]bool{}
	for _, slot := range t.free {
		if free[slot] || t.slots[slot] != nil {
			return fmt.Errorf("slot %d is free twice, or not", slot)
		}
		free[slot] = true
	}
	if there+len(t.free) != len(t.slots) {
		return fmt.Errorf("%d slots, %d taken, %d free", len(t.slots), there, len(t.free))
	}
	for i, c := range l.dues {
		if int(c.place) != i || t.slots[c.slot] != c {
			return fmt.Errorf("place %d has a connection due at %d that is at %d", i, c.due, c.place)
		}
		if i > 0 && l.dues[(i-1)/2].key > c.key {
			return fmt.Errorf("place %d is looked at too late", i)
		}
	}
	if n := int(l.held.Load()); n < guests {
		return fmt.Errorf("%d guests, %d counted", guests, n)
	}
	return nil
}

// conns is how many connections are parked.
func (g *ground) conns() (n int) {
	g.Helper()
	g.on(func(l *loop) { l.conns.each(func(*Conn) { n++ }) })
	return n
}

// empty waits until no connection is parked and no guest is left.
func (g *ground) empty() {
	g.Helper()
	g.eventually("no connection left", func() bool { return g.conns() == 0 && g.lot.Held() == 0 })
}

// client is a client's end of a connection.
type client struct {
	net.Conn
	// below is the socket, and keeper what TLS writes to.
	below  net.Conn
	keeper *keeper
}

// reset has the client's kernel send a reset.
func (c client) reset() {
	if t, ok := c.below.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.below.Close()
}

// halve ends what the client sends, with nothing said in TLS.
func (c client) halve() error {
	return c.below.(interface{ CloseWrite() error }).CloseWrite()
}

// pair returns a connection's two ends.
func (g *ground) pair() (client, net.Conn) {
	g.Helper()
	return g.pairBy(nil)
}

// pairBy has the client connect so, and the server's kernel keep little for it.
func (g *ground) pairBy(dial func(network, address string) (net.Conn, error)) (client, net.Conn) {
	g.Helper()
	network, address := "tcp", "127.0.0.1:0"
	if g.kind == "unix" {
		network, address = "unix", filepath.Join(g.TempDir(), "socket")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		g.Fatal(err)
	}
	defer ln.Close()
	var ends [2]net.Conn
	tight := dial != nil
	if !tight {
		dial = net.Dial
	}
	if ends[0], err = dial(network, ln.Addr().String()); err == nil {
		ends[1], err = ln.Accept()
	}
	if err != nil {
		g.Fatal(err)
	}
	if tight {
		_ = ends[1].(interface{ SetWriteBuffer(int) error }).SetWriteBuffer(1)
	}
	a, b := g.wrap(ends[0], ends[1])
	g.mu.Lock()
	g.opened = append(g.opened, a, b)
	g.mu.Unlock()
	return a, b
}

// wrap puts TLS over a pair, if that is the kind.
func (g *ground) wrap(near, far net.Conn) (client, net.Conn) {
	g.Helper()
	if !secured(g.kind) {
		return client{near, near, nil}, far
	}
	most := uint16(tls.VersionTLS13)
	if g.kind == "tls12" {
		most = tls.VersionTLS12
	}
	keep := &keeper{Conn: near}
	a := tls.Client(keep, &tls.Config{InsecureSkipVerify: true, MaxVersion: most})
	b := tls.Server(far, &tls.Config{Certificates: certificate(), MaxVersion: most})
	failed := make(chan error, 1)
	go func() { failed <- b.Handshake() }()
	if err := errors.Join(a.Handshake(), <-failed); err != nil {
		g.Fatal(err)
	}
	return client{a, near, keep}, b
}

// keeper keeps what is written, on demand.
type keeper struct {
	net.Conn
	keeps bool
	kept  []byte
}

func (k *keeper) Write(b []byte) (int, error) {
	if !k.keeps {
		return k.Conn.Write(b)
	}
	k.kept = append(k.kept, b...)
	return len(b), nil
}

// record is what TLS makes of s, which is not sent.
func (c client) record(s string) string {
	c.keeper.keeps = true
	_, _ = io.WriteString(c.Conn, s)
	record := string(c.keeper.kept)
	c.keeper.keeps, c.keeper.kept = false, nil
	return record
}

// certificate is one for all tests.
var certificate = sync.OnceValue(func() []tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
})

// says writes to a connection.
func (g *ground) says(c net.Conn, s string) {
	g.Helper()
	_ = c.SetWriteDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(c, s); err != nil {
		g.Fatal(err)
	}
}

// hears reads that from a connection.
func (g *ground) hears(c net.Conn, want string) {
	g.Helper()
	_ = c.SetReadDeadline(time.Now().Add(limit))
	b := make([]byte, len(want))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != want {
		g.Fatalf("read %.80q and %v, want %.80q", b[:n], err, want)
	}
}

// end reads the end of a connection, which is no reset.
func (g *ground) end(c net.Conn) {
	g.Helper()
	_ = c.SetReadDeadline(time.Now().Add(limit))
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		g.Fatalf("read %d bytes and %v, want the end", n, err)
	}
}

// closed waits until the other end is closed in whatever way.
func (g *ground) closed(c net.Conn) {
	g.Helper()
	_ = c.SetReadDeadline(time.Now().Add(limit))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		g.Fatal("the connection is open still")
	}
}
