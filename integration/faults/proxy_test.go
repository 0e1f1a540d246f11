package faults

import (
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestASeedGivesTheSameFates(t *testing.T) {
	w := Weather{Cuts: 0.5, Least: 1, Most: 1000, Slow: 0.5, Stall: time.Second}
	one, again, other := w.fates(1, "p"), w.fates(1, "p"), w.fates(2, "p")
	same := 0
	seen := make(map[end]bool)
	for n := range 200 {
		if a, b := one(n), again(n); !reflect.DeepEqual(a, b) {
			t.Fatalf("connection %d: %+v and %+v", n, a, b)
		}
		if reflect.DeepEqual(one(n), other(n)) {
			same++
		}
		seen[one(n).down.end] = true
	}
	if same > 20 {
		t.Errorf("%d of 200 fates are another seed's, too", same)
	}
	for _, e := range append(ends, never) {
		if !seen[e] {
			t.Errorf("no connection ends by %s", e)
		}
	}
	if first, again := Seed(7).Round(1), Seed(7).Round(1); Seed(7).Round(0) != 7 || first == 7 || first != again {
		t.Error("a round is not its seed's")
	}
}

// through sends a question through a proxy with a fate, and returns what comes of
// the answer.
func through(t *testing.T, f fate, answer string) (string, error) {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		c, err := server.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 100)
		if n, _ := io.ReadAtLeast(c, b, len("question")); n >= len("question") {
			_, _ = io.WriteString(c, answer)
			_, _ = io.Copy(io.Discard, c)
		}
	}()
	p, err := newProxy(server.Addr().String(), func(int) fate { return f }, new(Tally))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "question"); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	b := make([]byte, 100)
	for got.Len() < len(answer) {
		n, err := c.Read(b)
		got.Write(b[:n])
		if err != nil {
			return got.String(), err
		}
	}
	_ = c.(*net.TCPConn).CloseWrite()
	_, err = c.Read(b)
	return got.String(), err
}

func TestEachFateIsWhatItSays(t *testing.T) {
	none := lot{end: never}
	for _, c := range []struct {
		name  string
		fate  fate
		want  string
		reset bool
	}{
		{"none", fate{up: none, down: none}, "a whole answer", false},
		{"slow", fate{wait: time.Millisecond, up: lot{end: never, trickle: 5}, down: lot{end: never, latency: time.Millisecond, trickle: 7}}, "a whole answer", false},
		{"mid-answer", fate{up: none, down: lot{end: mid, after: 7}}, "a whole", false},
		{"after the answer", fate{up: none, down: lot{end: behind, after: 7}}, "a whole answer", false},
		{"instead of it", fate{up: none, down: lot{end: instead, after: 7}}, "", false},
		{"a reset", fate{up: none, down: lot{end: reset, after: 7}}, "", true},
		{"a reset after it", fate{up: none, down: lot{end: resetBehind, after: 7}}, "", true},
		{"a stall", fate{up: none, down: lot{end: stalled, after: 7, stall: time.Millisecond}}, "a whole", false},
		{"the question cut", fate{up: lot{end: mid, after: 3}, down: none}, "", false},
		{"while waiting", fate{life: time.Millisecond, up: lot{end: never, latency: 100 * time.Millisecond}, down: none}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := through(t, c.fate, "a whole answer")
			if c.want == "" && got == "" && err != nil && !c.reset {
				return // what was sent and not read makes a reset of an end
			}
			if reset := errors.Is(err, syscall.ECONNRESET); reset != c.reset || !reset && got != c.want {
				t.Errorf("got %q and %v", got, err)
			}
		})
	}
}

func TestPaddingIsTheTokens(t *testing.T) {
	long := 0
	for n := range 200 {
		token := Token("a", "p", n)
		one, again := padding(token), padding(token)
		if one != again {
			t.Fatal("it is another each time")
		}
		if len(one) > 4000 {
			long++
		}
	}
	if long == 0 {
		t.Error("none is longer than a packet or two")
	}
}
