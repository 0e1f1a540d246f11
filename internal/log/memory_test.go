package log

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/hub/hubtest"
	"github.com/caddy-comet/caddy-comet/internal/log/logtest"
)

func TestMemoryIsALog(t *testing.T) {
	logtest.Run(t, func(_ *testing.T, clock hub.Clock) hub.Log { return NewMemory(clock) })
}

// nobody follows and forgets.
type nobody struct{}

func (nobody) Apply([]hub.Entry)       {}
func (nobody) Reset(hub.Epoch, uint64) {}

func TestEveryLifeHasItsEpoch(t *testing.T) {
	seen := map[hub.Epoch]bool{}
	for range 1000 {
		epoch, head, err := NewMemory(nil).Open(nobody{})
		if err != nil || head != 0 || epoch == 0 || epoch >= 1<<40 || seen[epoch] {
			t.Fatalf("epoch %v at %d, %v", epoch, head, err)
		}
		seen[epoch] = true
	}
}

func (m *Memory) place(t *testing.T, d hub.Draft) (place hub.Place) {
	t.Helper()
	m.Append(context.Background(), []hub.Draft{d}, func(p []hub.Place, err error) {
		if err != nil {
			t.Fatal(err)
		}
		place = p[0]
	})
	return place
}

func openMemory(t *testing.T) (*Memory, *hubtest.Clock) {
	clock := hubtest.NewClock()
	m := NewMemory(clock)
	if _, _, err := m.Open(nobody{}); err != nil {
		t.Fatal(err)
	}
	return m, clock
}

func TestAnIDIsForgottenAfterItsTime(t *testing.T) {
	m, clock := openMemory(t)
	d := hub.Draft{Channel: "a", ID: "1"}
	m.place(t, d)
	for _, c := range []struct {
		later time.Duration
		want  hub.Place
	}{
		{rememberIDs - 1, hub.Place{Seq: 1, Repeated: true}},
		{1, hub.Place{Seq: 2}}, // asking did not make it younger
		{rememberIDs - 1, hub.Place{Seq: 2, Repeated: true}},
	} {
		clock.Advance(c.later)
		if got := m.place(t, d); got != c.want {
			t.Errorf("%v later: %+v, want %+v", c.later, got, c.want)
		}
	}
}

func TestWhatALogRemembersIsBounded(t *testing.T) {
	m, _ := openMemory(t)
	m.ids.limit.Store(10)
	m.stamps.limit.Store(10)
	long := strings.Repeat("x", 1<<20)
	for i := range 1000 {
		m.place(t, hub.Draft{Channel: strconv.Itoa(i), ID: long})
		if n := len(m.ids.young) + len(m.ids.old); n > 20 {
			t.Fatalf("%d IDs", n)
		}
		if n := len(m.stamps.young) + len(m.stamps.old); n > 20 {
			t.Fatalf("%d stamps", n)
		}
	}
	if p := m.place(t, hub.Draft{Channel: "999", ID: long}); !p.Repeated {
		t.Error("the newest must be remembered")
	}
	if p := m.place(t, hub.Draft{Channel: "0", ID: long}); p.Repeated {
		t.Error("the oldest is remembered")
	}
}

func TestChannelAndIDAreTwoThings(t *testing.T) {
	m, _ := openMemory(t)
	m.place(t, hub.Draft{Channel: "ab", ID: "c"})
	if p := m.place(t, hub.Draft{Channel: "a", ID: "bc"}); p.Repeated {
		t.Error("ab+c is taken for a+bc")
	}
}

func TestGenerationsKeepWhatIsAskedFor(t *testing.T) {
	g := newGenerations[int, int](10)
	g.set(-1, -1)
	for i := range 100 {
		g.set(i, i)
		if _, ok := g.get(-1); !ok {
			t.Fatalf("forgotten after %d, although asked for each time", i)
		}
		for k := max(0, i-4); k <= i; k++ {
			if v, ok := g.get(k); !ok || v != k {
				t.Fatalf("%d is %d, %v after %d", k, v, ok, i)
			}
		}
	}
	if _, ok := g.get(0); ok || len(g.young) > 10 || len(g.old) > 10 {
		t.Errorf("0 is there: %v; %d and %d", ok, len(g.young), len(g.old))
	}
}

func TestAClockIsNotNeeded(t *testing.T) {
	m := NewMemory(nil)
	if _, _, err := m.Open(nobody{}); err != nil {
		t.Fatal(err)
	}
	if p := m.place(t, hub.Draft{Channel: "a"}); p.Seq != 1 {
		t.Errorf("place %+v", p)
	}
}
