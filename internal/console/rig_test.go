package console

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a picture with its file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name + ".txt"
	if *update {
		if err := os.WriteFile(path, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got+"\n" != string(want) {
		t.Errorf("%s is now\n%s\n(go test ./internal/console -update writes it anew)", path, got)
	}
}

// picture is what is drawn, without colours, and checks that it fits.
func picture(t *testing.T, top *Top) string {
	t.Helper()
	lines := strings.Split(ansi.Strip(top.draw()), "\n")
	if top.height > 0 && len(lines) != top.height {
		t.Errorf("%d lines in a window of %d", len(lines), top.height)
	}
	for i, line := range lines {
		if w := ansi.StringWidth(line); w > top.width {
			t.Errorf("line %d has %d columns of %d: %s", i+1, w, top.width, line)
		}
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}

var noon = time.Date(2026, 11, 22, 12, 31, 7, 0, time.UTC)

func TestMain(m *testing.M) {
	time.Local = time.UTC
	os.Exit(m.Run())
}

// sight is a server as it is seen.
func sight(at time.Time, hubs ...figures.Hub) figures.Status {
	return figures.Status{
		Time: at, Hubs: hubs, Watches: []figures.Watch{},
		Process: &figures.Process{Started: noon.Add(-76 * time.Hour), Goroutines: 61, MemoryBytes: 48 << 20, Descriptors: 24, MaxDescriptors: 1048576},
	}
}

var usual = figures.Limits{MaxHolds: 100_000, MaxChannels: 100_000, MaxHistory: 64 << 20, MaxInFlight: 64 << 20}

// nothing is a server that has just begun.
func nothing(at time.Time) figures.Status {
	return sight(at, figures.Hub{Hub: "default", Cursor: "k3f9.0", Limits: usual})
}

// few is one with two hubs and some visitors, so many seconds on.
func few(at time.Time) figures.Status {
	n := uint64(at.Sub(noon) / time.Second)
	s := sight(at,
		figures.Hub{
			Hub: "shop", Cursor: "k3f9.420", Held: 212, Channels: 5, History: 90, HistoryBytes: 14_000, Limits: usual,
			Opened: 9_000 + 31*n, Delivered: 8_000 + 118*n, Published: map[string]uint64{"post": 400 + 3*n, "file": 20 + n},
			Written: figures.Written{Events: 420 + 4*n, Seconds: 2 + 0.0048*float64(n)},
			Kinds: []figures.Kind{
				{Dialect: "native", Transport: "poll", Held: 12, Parked: 12, Opened: 300 + n, Answered: map[string]uint64{"event": 100 + n, "timeout": 50}},
				{Dialect: "native", Transport: "sse", Held: 180, Parked: 176, Opened: 2_000, Answered: map[string]uint64{"client_gone": 90 + 2*n, "retired": 30}},
				{Dialect: "native", Transport: "websocket", Held: 20, Parked: 20, Opened: 80},
			},
		},
		figures.Hub{
			Hub: "forum", Cursor: "k3f9.7", Held: 3, Channels: 1, Limits: usual, Opened: 40 + n, Delivered: 7, Published: map[string]uint64{"file": 7},
			Kinds: []figures.Kind{{Dialect: "novcomet", Transport: "poll", Held: 3, Parked: 3, Opened: 40 + n, Answered: map[string]uint64{"timeout": 37 + n}}},
		},
	)
	s.Watches = []figures.Watch{
		{Hub: "forum", Glob: "/run/comet/forum/*.comet", What: "touches", Mode: "inotify", Files: 1},
		{Hub: "shop", Glob: "/run/comet/shop/*.jsonl", What: "lines", Mode: "inotify", Files: 4},
	}
	return s
}

func fewChannels(n uint64) figures.Channels {
	return figures.Channels{Hub: "shop", Held: 212, Channels: []figures.Channel{
		{Channel: "orders", Held: 180, Events: 310 + 3*n, History: 50, Bytes: 9_000},
		{Channel: "alerts", Held: 32, Events: 80 + n, History: 30, Bytes: 4_000},
		{Channel: "prices", Held: 12, Events: 30, History: 10, Bytes: 1_000},
		{Channel: "room-1", Held: 2, Events: 0},
		{Channel: "room-2", Held: 1, Events: 0},
	}}
}

// many is one with 15,000 visitors, at its limits.
func many(at time.Time) figures.Status {
	n := uint64(at.Sub(noon) / time.Second)
	var hubs []figures.Hub
	for i, name := range []string{"blog", "forum", "forum/doorbell", "shop", "tickets", "tv", "weather", "wiki"} {
		h := figures.Hub{Hub: name, Held: 100 * i, Channels: 10 * i, Limits: usual, Published: map[string]uint64{"post": uint64(i) * n}}
		h.Kinds = []figures.Kind{{Dialect: "native", Transport: "sse", Held: h.Held, Parked: h.Held}}
		hubs = append(hubs, h)
	}
	tv := &hubs[5]
	*tv = figures.Hub{
		Hub: "tv", Held: 12_700, Channels: 1_204, History: 44_000, HistoryBytes: 63 << 20, InFlightBytes: 51 << 20, Limits: usual,
		Opened: 900_000 + 4_210*n, Delivered: 80_000_000 + 251_000*n, Published: map[string]uint64{"post": 70_000 + 42*n},
		Denied: map[string]uint64{"limit": 17 + 9*n}, Written: figures.Written{Events: 70_000 + 42*n, Seconds: 9_000 + 8.4*float64(n)},
		Store: &figures.Store{Path: "/var/lib/comet/tv.db", Bytes: 80 << 20, Error: "no space left on device"},
		Kinds: []figures.Kind{
			{Dialect: "doorbell", Transport: "script", Held: 3},
			{Dialect: "filechat", Transport: "poll", Held: 40, Parked: 40},
			{Dialect: "handoff", Transport: "poll", Held: 57, Parked: 50},
			{Dialect: "native", Transport: "poll", Held: 4_000, Parked: 3_991, Answered: map[string]uint64{"event": 600_000 + 4_100*n, "timeout": 9_000 + 110*n, "slow": 80 + 3*n}},
			{Dialect: "native", Transport: "sse", Held: 8_000, Parked: 8_000},
			{Dialect: "native", Transport: "websocket", Held: 600, Parked: 580},
		},
	}
	tv.Limits.MaxHolds = 13_000
	s := sight(at, hubs...)
	s.Process.Goroutines, s.Process.MemoryBytes, s.Process.Descriptors, s.Process.MaxDescriptors = 1_204, 312<<20, 15_112, 65_536
	s.Watches = []figures.Watch{
		{Hub: "forum", Glob: "/run/comet/forum/*.comet", What: "touches", Mode: "inotify", Files: 12_000},
		{Hub: "shop", Glob: "/run/comet/shop/with/a/long/name/of/a/directory/in/it/and/more/*.jsonl", What: "lines", Mode: "polling", Files: 4},
		{Hub: "wiki", Glob: "/nowhere/*.comet", What: "touches", LastError: "open /nowhere: permission denied"},
	}
	return s
}

func manyChannels(n uint64) figures.Channels {
	c := figures.Channels{Hub: "tv", Held: 12_700, More: 1_104}
	for i := range uint64(100) {
		name := "channel-" + strings.Repeat("x", int(i)) + "-" + string(rune('a'+i%26))
		c.Channels = append(c.Channels, figures.Channel{Channel: name, Held: int(12_000 - 100*i), Events: 1_000*i + i*n, History: 100, Bytes: 1 << 20})
	}
	return c
}

// seen is a view of two looks a second apart.
func seen(status func(time.Time) figures.Status, channels func(uint64) figures.Channels, width, height int) *Top {
	top := NewTop(&Remote{Name: "unix//run/caddy-comet/admin.sock"}, "", time.Second)
	top.width, top.height = width, height
	for n := range 2 {
		at := noon.Add(time.Duration(n) * time.Second)
		top.looked(status(at))
		if channels != nil {
			c := channels(uint64(n))
			top.choose(c.Hub)
			top.listing(c, at)
		}
	}
	return top
}
