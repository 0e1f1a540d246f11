package park

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// resumer is a visitor that stays for its client's next request, and finds it likely
// to wait.
type resumer struct {
	*visitor
	verdict Verdict
}

func (r resumer) Resume([]byte) Verdict {
	if r.verdict == Mine {
		r.mu.Lock()
		r.calls["arrived"] = 0
		r.mu.Unlock()
		r.ended = false
	}
	return r.verdict
}

// resuming is a guest that answers when it is rung, and stays.
func (g *ground) resuming(verdict Verdict) resumer {
	v := &visitor{g: g, calls: map[string]int{}}
	v.rung = func(v *visitor) { v.write("answer") }
	v.flushed = func(v *visitor) { v.ended = true; v.conn.Await() }
	return resumer{v, verdict}
}

// stays parks a connection whose client has its first answer.
func (g *ground) stays(verdict Verdict) (client, resumer) {
	g.Helper()
	c, server := g.pair()
	r := g.resuming(verdict)
	r.conn = g.lot.Conn(server, nil, &g.terms)
	r.conn.Park(r)
	r.await("arrived")
	r.conn.Ring()
	g.hears(c, "answer")
	g.on(func(*loop) {})
	return c, r
}

// tried is the next request that is on trial.
func (g *ground) tried() *Trial {
	g.Helper()
	return awaited(g, g.trials, "no request is on trial")
}

// asked is a connection that stays, and its client's next request.
func (g *ground) asked() (client, *Trial) {
	g.Helper()
	c, _ := g.stays(Likely)
	g.says(c, aRequest)
	return c, g.tried()
}

// again takes a trial's connection for another guest.
func (g *ground) again(t *Trial) resumer {
	g.Helper()
	r := g.resuming(Likely)
	r.late = true
	if err := t.Take(func(taken Taken) {
		if string(taken.Head) != string(t.Head) {
			g.Errorf("the head %q, want %q", taken.Head, t.Head)
		}
		r.conn = taken.Parked
		r.conn.Park(r)
	}); err != nil {
		g.Error(err)
	}
	return r
}

// owning runs a test with sockets that the loops watch, their own and not; those of
// TLS never are.
func owning(t *testing.T, test func(*ground)) {
	t.Helper()
	for _, kind := range kinds {
		for _, own := range []bool{true, false} {
			if own && secured(kind) {
				continue
			}
			t.Run(fmt.Sprintf("%s/own=%v", kind, own), func(t *testing.T) {
				test(newGround(t, way{"sockets", newWatch, true, own}, kind))
			})
		}
	}
}

// A trial has the request and its ends, and what it is parked for goes on as ever.
func TestATrialMayParkItsConnection(t *testing.T) {
	owning(t, func(g *ground) {
		c, r := g.stays(Likely)
		for range 3 {
			g.says(c, aRequest)
			trial := g.tried()
			if string(trial.Head) != aRequest || trial.Local.String() != c.RemoteAddr().String() || g.kind == "tcp" && trial.Remote != c.LocalAddr().String() {
				t.Errorf("a trial of %q from %s at %s", trial.Head, trial.Remote, trial.Local)
			}
			if n := g.lot.Held(); n != 0 {
				t.Errorf("%d are held during a trial", n)
			}
			next := g.again(trial)
			if !trial.Taken() {
				t.Error("it is not taken")
			}
			trial.Done()
			next.await("arrived")
			next.conn.Ring()
			g.hears(c, "answer")
			if next.conn != r.conn {
				t.Error("it is another connection")
			}
		}
		_ = c.Close()
		g.empty()
	})
}

// What a trial returns, the server reads from the first byte, with what came since.
func TestATrialMayReturnItsConnection(t *testing.T) {
	owning(t, func(g *ground) {
		c, trial := g.asked()
		g.says(c, "more")
		lost := make(chan struct{})
		trial.Return(func() { close(lost) })
		server := g.returned()
		g.hears(server, aRequest+"more")
		if got := VisitOf(server).Claim(); got != trial {
			t.Errorf("claimed %v, want the trial", got)
		}
		if VisitOf(server).Claim() != nil {
			t.Error("claimed twice")
		}
		if trial.Take(nil) == nil {
			t.Error("a connection was taken that has been returned")
		}
		g.says(server, "answer")
		g.hears(c, "answer")
		_ = server.Close()
		g.end(c)
		select {
		case <-lost:
			t.Error("lost what was claimed")
		default:
		}
	})
}

// A trial that is returned hears when nobody will claim it.
func TestATrialHearsThatItsConnectionIsLost(t *testing.T) {
	owning(t, func(g *ground) {
		for _, lose := range map[string]func(*Trial, client, func()){
			"the server closes it": func(trial *Trial, _ client, lost func()) {
				trial.Return(lost)
				_ = g.returned().Close()
			},
			"the client resets it before": func(trial *Trial, c client, lost func()) {
				gone := make(chan struct{})
				trial.OnGone(func() { close(gone) })
				if g.kind == "unix" {
					_ = c.below.Close()
				} else {
					c.reset()
				}
				g.waits(gone)
				trial.Return(lost)
			},
			"the server makes a mistake": func(trial *Trial, _ client, lost func()) {
				g.terms.Home = careless{g}
				trial.Return(lost)
				g.eventually("the mistake is known", func() bool { return g.forgive() == 1 })
				g.terms.Home = g
			},
		} {
			c, trial := g.asked()
			lost := make(chan struct{})
			lose(trial, c, func() { close(lost) })
			g.waits(lost)
			g.closed(c)
		}
		c, trial := g.asked()
		lost := make(chan struct{})
		g.closesLot(c)
		trial.Return(func() { close(lost) })
		g.waits(lost)
	})
}

// closesLot ends the loops, and with them what is held and a client's connection.
func (g *ground) closesLot(c client) {
	g.Helper()
	g.lot.Close()
	g.closed(c)
	g.eventually("the end of the loops", func() bool { return !atWork() })
}

func (g *ground) waits(c <-chan struct{}) {
	g.Helper()
	awaited(g, c, "it did not happen")
}

// Nobody else's file is closed by a guest that comes to a lot that is closed.
func TestAGuestOfATrialComesTooLate(t *testing.T) {
	owning(t, func(g *ground) {
		c, trial := g.asked()
		next := g.again(trial)
		g.closesLot(c)
		var files []int // have the numbers that have become free
		for range 30 {
			fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, fd)
		}
		trial.Done()
		for _, fd := range files {
			if err := unix.Close(fd); err != nil {
				t.Errorf("somebody has closed file %d: %v", fd, err)
			}
		}
		if n := g.lot.Held(); n != 0 {
			t.Errorf("%d are held", n)
		}
		_ = next
	})
}

// A client that hangs up during a trial is gone for who takes its connection.
func TestAGuestOfATrialWhoseClientHasGone(t *testing.T) {
	owning(t, func(g *ground) {
		for name, leave := range map[string]func(client){
			"half":   func(c client) { _ = c.halve() },
			"closed": func(c client) { _ = c.below.Close() },
			"reset":  client.reset,
			"half, behind more": func(c client) {
				g.says(c, "more")
				_ = c.halve()
			},
		} {
			c, trial := g.asked()
			gone := make(chan struct{}, 9)
			trial.OnGone(func() { gone <- struct{}{} })
			leave(c)
			if name != "half, behind more" || secured(g.kind) { // there no HTTP server sees it
				g.waits(gone)
			}
			next := g.again(trial)
			trial.Done()
			next.await("lost")
			g.closed(c)
			if len(gone) > 0 {
				t.Errorf("%s: told twice", name)
			}
		}
		g.empty()
	})
}

// A client that says all that it will say in one go is heard out, and seen to be
// gone by who waits.
func TestARequestThatComesTogetherWithTheEnd(t *testing.T) {
	owning(t, func(g *ground) {
		for _, verdict := range []Verdict{Unknown, Mine, Likely} {
			c, r := g.stays(verdict)
			g.on(func(*loop) { // both are there when the loop listens
				g.says(c, aRequest)
				_ = c.halve()
			})
			switch verdict {
			case Mine:
				r.await("lost")
			case Likely:
				trial, gone := g.tried(), make(chan struct{})
				trial.OnGone(func() { close(gone) })
				g.waits(gone)
				next := g.again(trial)
				trial.Done()
				next.await("lost")
			default:
				server := g.returned()
				g.hears(server, aRequest)
				_ = server.Close()
			}
			g.closed(c)
		}
		for range 2 { // and who answers is heard
			c, _ := g.stays(Likely)
			g.on(func(*loop) {
				g.says(c, aRequest)
				_ = c.halve()
			})
			g.tried().Return(nil)
			server := g.returned()
			g.hears(server, aRequest)
			g.says(server, "answer")
			g.hears(c, "answer")
			_ = server.Close()
			g.end(c)
		}
		g.empty()
	})
}

// A guest whose answer is there when it arrives gives it, though the client says no
// more.
func TestAnAnswerThatIsThereGoesOutToAClientThatOnlyReads(t *testing.T) {
	owning(t, func(g *ground) {
		c, r := g.stays(Mine)
		r.arrived = func(v *visitor) { v.write("at once") }
		g.on(func(*loop) {
			g.says(c, aRequest)
			_ = c.halve()
		})
		g.hears(c, "at once")
		g.closed(c)
		g.empty()
		if r.had("lost") > 0 {
			t.Error("lost after the answer")
		}
	})
}

// The end of the process reaches who comes from a trial.
func TestAStopReachesTheGuestOfATrial(t *testing.T) {
	owning(t, func(g *ground) {
		c, trial := g.asked()
		g.lot.Stop()
		next := g.again(trial)
		next.stop = func(v *visitor) { v.finish(false) }
		trial.Done()
		next.await("stop")
		g.end(c)
		_ = c.below.Close()
		g.empty()
	})
}

// Of TLS a request has to be read to be tried; what is not one whole request goes to
// an HTTP server, whole.
func TestWhatIsFetchedOfTLS(t *testing.T) {
	for _, kind := range []string{"tls", "tls12"} {
		t.Run(kind, func(t *testing.T) {
			g := newGround(t, way{"sockets", newWatch, true, false}, kind)
			home := func(c client, want string) {
				t.Helper()
				server := g.returned()
				g.hears(server, want)
				g.says(server, "answer")
				g.hears(c, "answer")
				_ = server.Close()
				g.end(c)
			}
			c, _ := g.stays(Likely)
			record := c.record(aRequest)
			g.says(c.below, record[:7])
			server := g.returned() // who sends slowly
			g.says(c.below, record[7:])
			g.hears(server, aRequest)
			_ = server.Close()
			g.end(c)

			c, _ = g.stays(Unknown)
			long := aRequest[:len(aRequest)-2] + "X-Long: " + strings.Repeat("x", 3*maxHead) + "\r\n\r\n"
			g.says(c, long)
			home(c, long)

			c, _ = g.stays(Likely)
			g.says(c.below, c.record(aRequest)+c.record("and ")+c.record("more"))
			trial := g.tried()
			if want := aRequest + "and more"; string(trial.Head) != want {
				t.Errorf("fetched %q, want %q", trial.Head, want)
			}
			if state := trial.TLS(); state == nil || !state.HandshakeComplete {
				t.Errorf("the state of TLS is %v", state)
			}
			trial.Return(nil)
			home(c, aRequest+"and more")

			c, _ = g.stays(Likely) // a goodbye
			_ = c.Close()
			g.closed(c)

			c, _ = g.stays(Likely)
			g.says(c.below, "no TLS at all")
			g.closed(c)
			g.empty()
			if len(g.trials) > 0 || len(g.back) > 0 {
				t.Error("something was tried or came back that has nothing to say")
			}
		})
	}
}

// A request that came in parts is one request: nothing is left of it that would send
// the connection home.
func TestARequestOfTLSInPartsLeavesNothing(t *testing.T) {
	for _, kind := range []string{"tls", "tls12"} {
		t.Run(kind, func(t *testing.T) {
			g := newGround(t, way{"sockets", newWatch, true, false}, kind)
			g.terms.Home = patient{g}
			c, r := g.stays(Likely)
			for range 3 {
				record := c.record(aRequest)
				g.says(c.below, record[:7])
				trial := g.tried()
				g.says(c.below, record[7:])
				g.eventually("the loop hears the second part", func() (heard bool) {
					g.on(func(*loop) { heard = r.conn.spoken })
					return heard
				})
				if !trial.Fetch() {
					t.Fatal("it is not to be served")
				}
				next := g.again(trial)
				trial.Done()
				next.await("arrived")
				next.conn.Ring()
				g.hears(c, "answer")
			}
			_ = c.Close()
			if g.tried().Fetch() {
				t.Error("a goodbye is to be served")
			}
			g.empty()
		})
	}
}

// patient fetches nothing by itself.
type patient struct{ *ground }

func (p patient) Try(t *Trial) { p.trials <- t }

// Where no file is left, a connection that must go home ends, and its trial hears.
func TestATrialThatCannotBeReturned(t *testing.T) {
	g := newGround(t, way{"own sockets", newWatch, true, true}, "tcp")
	c, trial := g.asked()
	lost := make(chan struct{})
	g.noFiles(func() {
		trial.Return(func() { close(lost) })
		g.waits(lost)
	})
	g.closed(c)
	g.empty()
}

// Whose client has reset its connection is not served: the kernel has forgotten
// where it came from, and whoever serves a request wants to know.
func TestAResetConnectionDoesNotComeBack(t *testing.T) {
	g := newGround(t, way{"own sockets", newWatch, true, true}, "tcp")
	c, r := g.stays(Unknown)
	g.on(func(l *loop) { // which has heard neither the request nor the reset
		g.says(c, aRequest)
		g.eventually("the request is there", func() bool { return unread(r.conn.fd) })
		l.step(r.conn, func(conn *Conn) {
			head, _ := l.read(conn.fd)
			c.reset()
			g.eventually("the reset is there", func() bool {
				_, err := unix.Getpeername(int(conn.fd))
				return errors.Is(err, unix.ENOTCONN)
			})
			conn.goHome(head)
		})
	})
	if g.empty(); len(g.back) > 0 {
		t.Errorf("it came back, from %v", (<-g.back).RemoteAddr())
	}
}

// A guest that has much to say where no file is left ends, and soon.
func TestALongAnswerWhereNoFileIsLeft(t *testing.T) {
	g := newGround(t, way{"own sockets", newWatch, true, true}, "tcp")
	g.terms.Home = homeless{g}
	for _, asks := range []bool{false, true} {
		c, server := g.pair()
		v := g.parked(server, "", func(v *visitor) {
			v.rung = func(v *visitor) {
				if asks {
					_ = v.conn.Welcome()
				}
				v.write(string(make([]byte, 64<<20)))
			}
		})
		g.noFiles(func() {
			v.conn.Ring()
			v.await("lost")
		})
		g.closed(c)
	}
	g.empty()
}

// homeless asks where a connection came.
type homeless struct{ *ground }

func (homeless) Open(local net.Addr) bool { return local != nil }

// noFiles runs f where the process can open nothing.
func (g *ground) noFiles(f func()) {
	g.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		g.Fatal(err)
	}
	none := before
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		g.Skip(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) }()
	if _, err := unix.Eventfd(0, 0); !errors.Is(err, syscall.EMFILE) {
		g.Errorf("a file could be opened: %v", err)
	}
	f()
}

// Many clients ask, are tried, and hang up or not at any time, while guests are
// rung, and nobody gets another's answer.
func TestManyTrials(t *testing.T) {
	owning(t, func(g *ground) {
		var serving sync.WaitGroup
		end := make(chan struct{})
		for range 8 {
			serving.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-end:
						return
					case trial := <-g.trials:
						trial.OnGone(func() {})
						if n%3 == 0 {
							trial.Return(nil)
							continue
						}
						next := g.again(trial)
						next.arrived = func(v *visitor) { v.write("answer") }
						trial.Done()
					}
				}
			})
		}
		serving.Go(func() {
			for {
				select {
				case <-end:
					return
				case c := <-g.back:
					serving.Go(func() {
						defer c.Close()
						if n, _ := io.ReadFull(c, make([]byte, len(aRequest))); n == len(aRequest) {
							_, _ = io.WriteString(c, "answer")
						}
					})
				}
			}
		})
		var clients sync.WaitGroup
		for i := range 50 {
			c, _ := g.stays(Likely)
			clients.Go(func() {
				defer c.below.Close()
				_ = c.SetDeadline(time.Now().Add(limit))
				for range 20 {
					if _, err := io.WriteString(c, aRequest); err != nil {
						return
					}
					if i%5 == 0 {
						return
					}
					b := make([]byte, len("answer"))
					n, err := io.ReadFull(c, b)
					if n > 0 && string(b) != "answer" || errors.Is(err, syscall.ETIMEDOUT) {
						t.Errorf("got %q and %v", b[:n], err)
					}
					if err != nil {
						return
					}
				}
			})
		}
		clients.Wait()
		g.empty()
		close(end)
		serving.Wait()
	})
}
