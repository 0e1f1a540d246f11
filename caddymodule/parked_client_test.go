package caddymodule

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serving starts a server with a hub of its own, of which the options say more.
func serving(t *testing.T, options, globals string) (s *server, hub string) {
	t.Helper()
	hub = unique("client")
	s = start(t, overTLS+globals+"comet {\nhub "+hub+" {\n"+options+"\n}\n}", threeServers(hub, "page"))
	s.waitForTLS()
	return s, hub
}

// reset ends a connection without the polite way of its protocol.
func (w *wire) reset() {
	if tcp, ok := w.c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = w.c.Close()
}

// TestParkedClientsThatHangUpAreGone, however they do it, polls and streams.
func TestParkedClientsThatHangUpAreGone(t *testing.T) {
	s, hub := serving(t, "", "")
	for _, network := range networks {
		for name, leave := range map[string]func(*wire){
			"close": func(w *wire) { _ = w.c.Close() },
			"reset": (*wire).reset,
			"half": func(w *wire) {
				_ = w.c.(interface{ CloseWrite() error }).CloseWrite()
			},
			"after early bytes": func(w *wire) {
				w.say("GET / HT")
				_ = w.c.Close()
			},
		} {
			for _, query := range []string{"", "?as=sse"} {
				t.Run(network+" "+name+query, func(t *testing.T) {
					w := s.dial(network)
					w.asks("/n/a" + query)
					parks(t, hub, 1, 1)
					began := time.Now()
					leave(w)
					parks(t, hub, 0, 0)
					if took := time.Since(began); took > 2*time.Second {
						t.Errorf("noticed after %s", took)
					}
				})
			}
		}
	}
}

// TestWhoEndsHisSideIsNotAnswered, held in whichever way: an answer that nobody wrote is
// none, and a stream that was cut has no end.
func TestWhoEndsHisSideIsNotAnswered(t *testing.T) {
	for _, park := range []string{"", "park off\n"} {
		hub := unique("halved")
		s := start(t, overTLS+"comet {\n"+park+"hub "+hub+"\n}", threeServers(hub, "page"))
		s.waitForTLS()
		for _, network := range networks {
			for query, begins := range map[string]string{"": "", "?as=sse": "HTTP/1.1 200 OK\r\n", "?as=stream": "HTTP/1.1 200 OK\r\n"} {
				w := s.dial(network)
				w.asks("/n/a" + query)
				held(t, hub, "a", 1)
				_ = w.c.(interface{ CloseWrite() error }).CloseWrite()
				rest := w.ends()
				if !strings.HasPrefix(rest, begins) || begins == "" && rest != "" || strings.HasSuffix(rest, "\r\n0\r\n\r\n") {
					t.Errorf("%s%s, %q: %q came", park, network, query, rest)
				}
				held(t, hub, "a", 0)
			}
		}
	}
}

// TestWhatAClientSendsWhileItIsParkedIsReadAfterwards, in order: whole requests,
// in one piece with the first or byte for byte, and the beginning of one.
func TestWhatAClientSendsWhileItIsParkedIsReadAfterwards(t *testing.T) {
	s, hub := serving(t, "", "")
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			w := s.dial(network)
			w.say(request("/n/a") + request("/") + request("/n/b") + request("/n/c?wait=0"))
			parks(t, hub, 1, 1)
			publishes(t, hub, event("a", "first"))
			w.hears().wants(t, "200", `"first"`)
			w.hears().wants(t, "200", "page")
			held(t, hub, "b", 1)
			parks(t, hub, 1, 1)
			for _, c := range []byte(request("/n/d")) {
				w.say(string([]byte{c}))
			}
			publishes(t, hub, event("b", "second"))
			w.hears().wants(t, "200", `"second"`)
			w.hears().wants(t, "200", `"events":[]`)
			held(t, hub, "d", 1)
			w.say("GET / HTTP/1.1\r\nHo") // a request that is not whole yet
			publishes(t, hub, event("d", "third"))
			w.hears().wants(t, "200", `"third"`)
			w.say("st: 127.0.0.1\r\nContent-Length: 4\r\n\r\nbody")
			w.hears().wants(t, "200", "page")
			w.asks("/n/e", "Connection: close")
			parks(t, hub, 1, 1)
			publishes(t, hub, event("e", "fourth"))
			w.hears().wants(t, "200", `"fourth"`)
			if rest := w.ends(); rest != "" {
				t.Errorf("more came: %q", rest)
			}
			parks(t, hub, 0, 0)
		})
	}
}

// TestManyPollsOnOneConnection, each from the position of the last.
func TestManyPollsOnOneConnection(t *testing.T) {
	s, hub := serving(t, "", "")
	for _, network := range networks {
		w := s.dial(network)
		name, cursor := unique("ch"), "now"
		for i := range map[string]int{"tcp": 1500, "tls": 300, "unix": 300}[network] {
			w.asks("/n/" + name + "?since=" + cursor)
			held(t, hub, name, 1)
			publishes(t, hub, event(name, fmt.Sprint(i)))
			var p poll
			if r := w.hears(); json.Unmarshal([]byte(r.body), &p) != nil || len(p.Events) != 1 || string(p.Events[0].Data) != fmt.Sprintf(`"%d"`, i) {
				t.Fatalf("%s, poll %d: %s", network, i, r)
			}
			cursor = p.Cursor
		}
		w.c.Close()
	}
	parks(t, hub, 0, 0)
}

// TestParkedHoldsCountAgainstTheLimit, and leave room when they end.
func TestParkedHoldsCountAgainstTheLimit(t *testing.T) {
	s, hub := serving(t, "max_holds 2", "")
	first, second, third := s.dial("tcp"), s.dial("tls"), s.dial("unix")
	first.asks("/n/a")
	second.asks("/n/a?as=sse")
	parks(t, hub, 2, 2)
	third.asks("/n/b")
	if r := third.hears().wants(t, "503", "the limit is 2"); r.value("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	first.c.Close()
	parks(t, hub, 1, 1)
	third.asks("/n/b")
	parks(t, hub, 2, 2)
	publishes(t, hub, event("b", "here"))
	third.hears().wants(t, "200", `"here"`)
}

// TestAnIdleConnectionThatWasParkedEnds when the server's time-out says so.
func TestAnIdleConnectionThatWasParkedEnds(t *testing.T) {
	s, hub := serving(t, "", "servers {\ntimeouts {\nidle 1s\n}\n}\n")
	wires := make([]*wire, len(networks))
	for i, network := range networks {
		wires[i] = s.dial(network)
		wires[i].asks("/n/a?wait=2") // longer than that
	}
	parks(t, hub, 3, 3)
	for _, w := range wires {
		w.hears().wants(t, "200", `"events":[]`)
	}
	began := time.Now()
	for i, w := range wires {
		if rest := w.ends(); rest != "" {
			t.Errorf("%s: %q", networks[i], rest)
		}
	}
	if took := time.Since(began); took < 700*time.Millisecond || took > 5*time.Second {
		t.Errorf("they ended after %s", took)
	}
}

// TestBadClientsOnAConnectionThatWasParked get what they would have got before.
func TestBadClientsOnAConnectionThatWasParked(t *testing.T) {
	s, hub := serving(t, "", "servers {\ntimeouts {\nread_header 1s\n}\n}\n")
	parkedOnce := func(network string) *wire {
		w := s.dial(network)
		w.asks("/n/a")
		parks(t, hub, 1, 1)
		publishes(t, hub, event("a", "here"))
		w.hears().wants(t, "200", `"here"`)
		return w
	}
	for _, network := range networks {
		w := parkedOnce(network)
		go func() { _, _ = w.c.Write([]byte("GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 1<<20))) }()
		if r, err := w.head(); err == nil {
			r.wants(t, "431", "")
		} else if !lostByReload(err) && !strings.Contains(err.Error(), "closed") {
			t.Errorf("a large header, %s: %v", network, err)
		}
		w = parkedOnce(network)
		w.say("nonsense\r\n\r\n")
		if r, err := w.head(); err != nil || !strings.Contains(r.status, " 400 ") {
			t.Errorf("nonsense, %s: %s %v", network, r, err)
		}
		w = parkedOnce(network)
		w.say("GET / HTTP/1.1\r\nHost: 12") // and no more
		_ = w.ends()
		w = parkedOnce(network)
		w.say("GET /n/a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\nbody")
		held(t, hub, "a", 1)
		publishes(t, hub, event("a", "with a body"))
		w.hears().wants(t, "200", "with a body")
	}
	parks(t, hub, 0, 0)
}

// TestClientsThatDoNotReadDelayNobody: what they do not take waits.
func TestClientsThatDoNotReadDelayNobody(t *testing.T) {
	s, hub := serving(t, "", "")
	var deaf []*wire
	for i := range 12 {
		w := s.dial(networks[i%3])
		w.asks("/n/a?as=sse")
		deaf = append(deaf, w)
	}
	parks(t, hub, len(deaf), len(deaf))
	for i := range 20 {
		poll := s.dial(networks[i%3])
		poll.asks("/n/b" + fmt.Sprint(i))
		held(t, hub, "b"+fmt.Sprint(i), 1)
		publishes(t, hub, event("a", strings.Repeat("x", 1_000_000)))
		publishes(t, hub, event("b"+fmt.Sprint(i), "here"))
		poll.hears().wants(t, "200", `"here"`)
		poll.c.Close()
	}
	publishes(t, hub, event("a", "the end"))
	for _, w := range deaf {
		w.hearsUntil("the end").wants(t, "200", "data: the end")
		w.c.Close()
	}
	parks(t, hub, 0, 0)
}

// TestATerminatedServerEndsParkedHoldsWhateverTheirClientsDo: they read, they do
// not, they sit on an answered connection. Answers are the same as without
// parking.
func TestATerminatedServerEndsParkedHoldsWhateverTheirClientsDo(t *testing.T) {
	stop := func(park string) (answers []string) {
		s := newServer(t)
		config := s.dir + "/config.json"
		globals := "comet {\npark " + park + "\nheartbeat 60s\n}"
		if err := os.WriteFile(config, s.adapt(globals, simple), 0o644); err != nil {
			t.Fatal(err)
		}
		p := s.process(config)
		asks := func(query string, lines ...string) *wire {
			w := s.dial("tcp")
			w.asks("/comet/stops"+query, lines...)
			return w
		}
		readers := []*wire{asks(""), asks("?as=sse"), asks("?as=stream"), asks("?as=multipart"), asks("?as=frame&callback=f"), asks("", "Connection: close")}
		idle := asks("?wait=0")
		idle.hears()
		for range 3 {
			_ = asks("?as=sse") // reads nothing
		}
		s.admits("stops", 9)
		epoch := strings.Split(get("http://"+s.site+"/comet/x?wait=0").poll(t).Cursor, ".")[0]
		began := time.Now()
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		for _, w := range readers {
			r := w.hears()
			if !strings.Contains(r.body, epoch+".") {
				t.Errorf("park %s: no cursor in %s", park, r)
			}
			if !strings.Contains(strings.Join(r.head, "\n"), "Transfer-Encoding") && r.value("Retry-After") == "" {
				t.Errorf("park %s: no Retry-After in %s", park, r)
			}
			answers = append(answers, r.without(t, epoch))
		}
		if err := receive(t, p.done); err != nil {
			t.Errorf("park %s: the process ended with %v", park, err)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("park %s: the process ended after %s", park, took)
		}
		return answers
	}
	with, without := stop("on"), stop("off")
	for i := range with {
		if with[i] != without[i] {
			t.Errorf("answer %d.\nParked:\n%s\nNot parked:\n%s", i, part(with, i), part(without, i))
		}
	}
}

// admits waits until another process holds so many requests on a channel.
func (s *server) admits(channel string, n int) {
	s.t.Helper()
	eventually(s.t, "all are held", func() bool {
		return strings.Contains(send(s.admin(), "GET", "http://127.0.0.1/comet/default/"+channel, "").body, fmt.Sprintf(`"held":%d,`, n))
	})
}
