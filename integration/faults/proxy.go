package faults

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy stands between a client and a server of TCP. Each connection has a fate.
type Proxy struct {
	listener net.Listener
	target   string
	fate     func(n int) fate
	calm     atomic.Bool
	count    *Tally

	mu    sync.Mutex
	conns map[net.Conn]bool
	over  bool
}

// Tally counts what proxies did, by its name.
type Tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (t *Tally) add(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = make(map[string]int)
	}
	t.n[what]++
}

// Counts returns a copy.
func (t *Tally) Counts() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := make(map[string]int, len(t.n))
	for k, v := range t.n {
		c[k] = v
	}
	return c
}

// fate is what a connection has before it.
type fate struct {
	// wait is how long it takes to come about.
	wait time.Duration
	// life is how long it lasts at most, whatever goes through it, 0 for ever.
	life     time.Duration
	up, down lot
}

// lot is the fate of one direction.
type lot struct {
	// latency holds each piece up.
	latency time.Duration
	// trickle sends the first bytes one at a time.
	trickle int
	// after is how many bytes go through before the end.
	after int
	end   end
	stall time.Duration
}

// end is how a connection ends by the proxy's doing.
type end string

const (
	never end = "none"
	// mid ends it in the middle of what is being sent.
	mid end = "cut mid-answer"
	// behind ends it right behind a piece, which mostly is an answer.
	behind end = "cut after answer"
	// instead ends it, and the piece never arrives, which the other side has sent.
	instead end = "answer swallowed"
	// reset is mid by a RST.
	reset end = "reset"
	// resetBehind is behind by a RST.
	resetBehind end = "reset after answer"
	// stalled lets nothing more through, and ends it after a while.
	stalled end = "stall"
	// waiting ends it at a moment when most likely nothing goes through it.
	waiting end = "cut while waiting"
)

var ends = []end{mid, mid, behind, behind, instead, reset, resetBehind, stalled}

// Weather is how bad it gets.
type Weather struct {
	// Cuts is the share of connections that end before their time.
	Cuts float64
	// Least and Most are after how many bytes they do.
	Least, Most float64
	// Slow is the share that is slow.
	Slow float64
	// Stall is how long a stall takes at most.
	Stall time.Duration
}

// fates returns the fates of a place's connections.
func (w Weather) fates(seed Seed, place string) func(n int) fate {
	return func(n int) fate {
		r := seed.Source("fate of "+place, n)
		f := fate{up: lot{end: never}, down: lot{end: never}}
		if r.Float64() < w.Slow {
			f.wait = between(r, time.Millisecond, 200*time.Millisecond)
		}
		if life := between(r, 20*time.Millisecond, 10*time.Second); r.Float64() < w.Cuts/2 {
			f.life = life
		}
		f.up, f.down = w.lot(r, 0.25), w.lot(r, 1)
		return f
	}
}

func (w Weather) lot(r *rand.Rand, share float64) lot {
	l := lot{end: never}
	if r.Float64() < w.Slow*share {
		l.latency = between(r, 100*time.Microsecond, 50*time.Millisecond)
	}
	if r.Float64() < w.Slow*share/2 {
		l.trickle = int(logUniform(r, 10, 3000))
	}
	cut := r.Float64() < w.Cuts*share
	l.after = int(logUniform(r, w.Least, w.Most))
	l.stall = between(r, 10*time.Millisecond, max(w.Stall, 20*time.Millisecond))
	if e := ends[r.IntN(len(ends))]; cut {
		l.end = e
	}
	return l
}

// NewProxy begins to listen on a port of its own.
func NewProxy(target string, w Weather, seed Seed, place string, count *Tally) (*Proxy, error) {
	return newProxy(target, w.fates(seed, place), count)
}

func newProxy(target string, fate func(n int) fate, count *Tally) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, fate: fate, count: count, conns: make(map[net.Conn]bool)}
	go p.serve()
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// sockets are the ends of its connections, for people who look for one.
func (p *Proxy) sockets() (ends []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		ends = append(ends, c.LocalAddr().String()+" to "+c.RemoteAddr().String())
	}
	return ends
}

// Calm lets all connections from now on through as they are.
func (p *Proxy) Calm() { p.calm.Store(true) }

// Close ends everything.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) serve() {
	for n := 0; ; n++ {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		f := p.fate(n)
		if p.calm.Load() {
			f = fate{up: lot{end: never}, down: lot{end: never}}
		}
		go p.join(c.(*net.TCPConn), f)
	}
}

// own notes a connection, so that Close finds it.
func (p *Proxy) own(c net.Conn, own bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own && !p.over {
		p.conns[c] = true
		return true
	}
	delete(p.conns, c)
	return false
}

func (p *Proxy) join(client *net.TCPConn, f fate) {
	defer client.Close()
	if !p.own(client, true) {
		return
	}
	defer p.own(client, false)
	time.Sleep(f.wait)
	s, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.SetLinger(0)
		return
	}
	server := s.(*net.TCPConn)
	defer server.Close()
	if !p.own(server, true) {
		return
	}
	defer p.own(server, false)
	over := make(chan end, 3)
	go func() { over <- f.up.pipe(server, client) }()
	go func() { over <- f.down.pipe(client, server) }()
	if f.life > 0 {
		life := time.AfterFunc(f.life, func() { over <- waiting })
		defer life.Stop()
	}
	for range 2 {
		e := <-over
		if e == never {
			continue // that direction ended by itself; the other may go on
		}
		p.count.add(string(e))
		if e == reset || e == resetBehind {
			_ = client.SetLinger(0)
			_ = server.SetLinger(0)
		}
		return
	}
}

// pipe carries one direction, and returns how it came to its end.
func (l lot) pipe(to, from *net.TCPConn) end {
	b := make([]byte, 16<<10)
	carried := 0
	for {
		n, err := from.Read(b)
		piece := b[:n]
		if l.latency > 0 && n > 0 {
			time.Sleep(l.latency)
		}
		fatal := l.end != never && n > 0 && carried+n >= l.after
		if fatal {
			switch l.end {
			case mid, reset, stalled:
				piece = piece[:max(0, min(n, l.after-carried))]
			case instead:
				return l.end
			}
		}
		if werr := l.write(to, piece, carried); werr != nil {
			_ = from.CloseRead()
			return never
		}
		carried += n
		if fatal {
			if l.end == stalled {
				time.Sleep(l.stall)
			}
			return l.end
		}
		if err != nil {
			if err == io.EOF {
				_ = to.CloseWrite()
			} else { // a reset is passed on
				_ = to.SetLinger(0)
				_ = to.Close()
			}
			return never
		}
	}
}

func (l lot) write(to net.Conn, piece []byte, carried int) error {
	for len(piece) > 0 && carried < l.trickle {
		if _, err := to.Write(piece[:1]); err != nil {
			return err
		}
		piece = piece[1:]
		carried++
	}
	if len(piece) == 0 {
		return nil
	}
	_, err := to.Write(piece)
	return err
}
