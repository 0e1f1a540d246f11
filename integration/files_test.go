//go:build linux

package integration

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/integration/faults"
)

// fire is a server whose publishers are files, and who follows them.
type fire struct {
	t         *testing.T
	s         *faults.Server
	dir       string
	settings  faults.Settings
	ledger    *faults.Ledger
	writers   []*faults.Writer
	followers []*faults.Follower
	following sync.WaitGroup
	calm      sync.RWMutex
}

func newFire(t *testing.T, more string) *fire {
	t.Helper()
	settings := faults.Settings{History: "100000 10m 64MiB", Hold: 2 * time.Second, Limits: more}
	s, dir := faultServer(t, settings)
	f := &fire{t: t, s: s, dir: dir, settings: settings, ledger: faults.NewLedger()}
	began, err := s.Cursor()
	if err != nil {
		t.Fatal(err)
	}
	f.ledger.Epoch(began)
	seed := faults.Seed(time.Now().UnixNano() >> 12)
	t.Logf("seed %d", seed)
	var channels []string
	for i := range 3 {
		channel := fmt.Sprint("f", i)
		channels = append(channels, channel)
		f.writers = append(f.writers, &faults.Writer{
			Channel: channel, Name: "file", Dir: dir, Ledger: f.ledger,
			Chance: seed.Source("lines of "+channel, 0), Pace: 8 * time.Millisecond, Calm: &f.calm,
		})
	}
	for _, base := range []string{s.Ports.Plain, s.Ports.Held} {
		for _, form := range []string{"poll", "sse", "stream"} {
			f.followers = append(f.followers, faults.NewFollower(base+" "+form, form, new(http.Client), "http://127.0.0.1:"+base+"/comet/", began, channels, f.ledger, seed))
		}
	}
	for _, follower := range f.followers {
		f.following.Go(func() { follower.Run(t.Context()) })
	}
	return f
}

// write has all writers write. It returns when there are so many more lines, and how
// to stop them.
func (f *fire) write(lines int) (stop func()) {
	ctx, over := context.WithCancel(f.t.Context())
	var writing sync.WaitGroup
	for _, w := range f.writers {
		writing.Go(func() {
			if err := w.Run(ctx); err != nil {
				f.t.Error(err)
			}
		})
	}
	target := f.ledger.Certain() + lines
	until(f.t, fmt.Sprintf("%d lines to be written", target), func() bool { return f.ledger.Certain() >= target })
	return func() { over(); writing.Wait() }
}

// heard has all writers write something more, and waits for that.
func (f *fire) heard() {
	f.t.Helper()
	for _, w := range f.writers {
		if err := w.Once(); err != nil {
			f.t.Fatal(err)
		}
		if err := w.Heard(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
	}
}

// end brings everybody to the end and judges.
func (f *fire) end(law faults.Law) {
	f.t.Helper()
	f.heard()
	rotations := 0
	for _, w := range f.writers {
		rotations += w.Rotations
		last := &faults.Poster{Channel: w.Channel, Name: faults.LastPublisher, Client: new(http.Client), Base: "http://127.0.0.1:" + f.s.Ports.Publish, Ledger: f.ledger, Chance: faults.Seed(0).Source("last", 0)}
		last.Publish(f.t.Context(), faults.Token(w.Channel, faults.LastPublisher, 0))
	}
	var records []*faults.Record
	gaps := 0
	for _, follower := range f.followers {
		select {
		case <-follower.Finished:
		case <-time.After(patience):
			f.t.Fatalf("%s is not at the end", follower.Name)
		}
		records = append(records, &follower.Record)
		gaps += len(follower.Gaps)
	}
	for _, wrong := range f.ledger.Judge(law, records) {
		f.t.Error(wrong)
	}
	f.t.Logf("%d events, %d rotations, %d gaps", f.ledger.Certain(), rotations, gaps)
	if rotations == 0 {
		f.t.Error("nothing was rotated")
	}
}

// TestLinesOfFilesReachWhoFollows: over rotations, reloads, and an overflow of the
// kernel's queue, while the server is held up, each line comes once and in order.
func TestLinesOfFilesReachWhoFollows(t *testing.T) {
	t.Parallel()
	f := newFire(t, "")
	for n := range 3 {
		stop := f.write(300)
		c := f.settings
		c.History = fmt.Sprintf("%d 10m 64MiB", 100_001+n)
		if status, said, err := f.s.Load(c); err != nil || status != http.StatusOK {
			t.Fatalf("%d %s (%v)", status, said, err)
		}
		stop()
	}
	f.heard()

	if !strings.Contains(adminGet(t, f.dir, "/comet/"), `"mode":"inotify"`) {
		t.Fatalf("%s is on a file system where inotify does not work, so its queue cannot overflow: run this with a local /tmp", f.dir)
	}
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Fatal(err)
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(f.s.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "each thread to stand still", func() bool { return stopped(t, f.s.PID()) })
	// Equal ones that follow each other are not queued.
	for i := range limit + 1000 {
		mode := os.FileMode(0o644)
		if i%4 < 2 {
			mode = 0o664
		}
		if err := os.Chmod(filepath.Join(f.dir, "lines", []string{"f0.jsonl", "f1.jsonl"}[i%2]), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range f.writers {
		if err := w.Once(); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(f.s.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(t, "the queue to have overflowed", func() bool { return metric(t, f.dir, "caddy_comet_watch_overflows_total") > 0 })
	for _, w := range f.writers { // what nobody told the server of
		if err := w.Heard(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.write(500)()
	f.end(faults.Law{})
}

// stopped reports whether all of a process is: a thread that is not yet reads on.
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads of %d: %v", pid, err)
	}
	for _, thread := range threads {
		b, err := os.ReadFile(thread)
		_, state, _ := strings.Cut(string(b), ") ")
		if err == nil && !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return true
}

// TestLinesOfFilesOverRestarts: what is written while no server runs is no event, and
// who follows is told of a gap, also where a store keeps the history. From when the
// server answers each line is one again.
func TestLinesOfFilesOverRestarts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		more string
		ends []syscall.Signal
	}{
		"memory": {"", []syscall.Signal{syscall.SIGKILL}}, // and the restarts of TestNothingIsLostOnBadDays
		"store":  {"\t\tstore DIR/store\n", []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFire(t, c.more)
			for _, by := range c.ends {
				f.write(100)()
				f.heard()
				stop := f.write(100)
				if err := f.s.Stop(by); err != nil {
					t.Fatal(err)
				}
				target := f.ledger.Certain() + 50
				until(t, "lines that nobody hears", func() bool { return f.ledger.Certain() >= target })
				stop()
				if err := f.s.Start(f.settings); err != nil {
					t.Fatal(err)
				}
				cursor, err := f.s.Cursor()
				if err != nil {
					t.Fatal(err)
				}
				f.ledger.Epoch(cursor)
				f.heard() // the very next lines
			}
			f.write(100)()
			f.end(faults.Law{Restarts: true})
			for _, follower := range f.followers {
				if len(follower.Gaps) < len(c.ends) {
					t.Errorf("%s was told of %d gaps", follower.Name, len(follower.Gaps))
				}
			}
		})
	}
}
