package source

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// tally is a sink for very many events. Lines are "<writer> <count>": each writer's
// must come once and in order. Of what has no data it keeps the newest time.
type tally struct {
	mu      sync.Mutex
	next    map[string]int
	changed map[string]time.Time
	wrong   []string
	news    chan struct{}
}

func newTally() *tally {
	return &tally{next: map[string]int{}, changed: map[string]time.Time{}, news: make(chan struct{})}
}

func (s *tally) Publish(drafts []hub.Draft) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range drafts {
		if len(d.Data) == 0 {
			s.changed[d.Channel] = d.Changed
			continue
		}
		writer, n, _ := strings.Cut(string(d.Data), " ")
		if n != strconv.Itoa(s.next[writer]) && len(s.wrong) < 5 {
			s.wrong = append(s.wrong, fmt.Sprintf("%.60q on %s, not line %d", d.Data, d.Channel, s.next[writer]))
		}
		s.next[writer]++
	}
	close(s.news)
	s.news = make(chan struct{})
}

func (s *tally) Observe([]hub.Draft) {}
func (s *tally) Gone(string)         {}
func (s *tally) MaxEvent() int       { return 1 << 16 }

// await waits for a condition under the lock.
func (s *tally) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		s.mu.Lock()
		good, news, wrong := ok(), s.news, s.wrong
		s.mu.Unlock()
		if len(wrong) > 0 {
			t.Fatalf("told %s", strings.Join(wrong, "; "))
		}
		if good {
			return
		}
		select {
		case <-news:
		case <-late.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// heard waits until so many lines of a writer have come.
func (s *tally) heard(t *testing.T, writer string, n int) {
	t.Helper()
	s.await(t, fmt.Sprintf("line %d of %s", n, writer), func() bool { return s.next[writer] >= n })
}

// settled waits until the newest event of each file has the time of its last touch.
func (s *tally) settled(t *testing.T, dir string, names []string) {
	t.Helper()
	for _, name := range names {
		mtime := must(os.Stat(filepath.Join(dir, name))).ModTime()
		channel := strings.TrimSuffix(name, filepath.Ext(name))
		s.await(t, "the last touch of "+name, func() bool { return s.changed[channel].Equal(mtime) })
	}
}

// local is a directory in which inotify works.
func local(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	why := kindOfFS(dir).poll
	if why == "" {
		return dir
	}
	shm, err := os.MkdirTemp("/dev/shm", "comet-test-")
	if err != nil {
		t.Fatalf("inotify does not work in %s (%s), and /dev/shm cannot be used: %v", dir, why, err)
	}
	t.Cleanup(func() { os.RemoveAll(shm) })
	return shm
}

// under has a tally told of what is in the directory.
func (r *real) under(glob string, what What) *tally {
	r.t.Helper()
	s := newTally()
	must(0, r.f.Add("hub", must(ParseWatch(r.path(glob), string(what))), s))
	return s
}

// touchFile is touch(): both times are the kernel's.
func touchFile(t *testing.T, path string) {
	t.Helper()
	now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, now, 0); err != nil {
		t.Error(err)
	}
}

// logger is a writer of one log, which others rotate.
type logger struct {
	t    *testing.T
	path string
	name string
	n    int
}

// lines are the next ones.
func (w *logger) lines(count int) []byte {
	var b []byte
	for range count {
		b = fmt.Appendf(b, "%s %d\n", w.name, w.n)
		w.n++
	}
	return b
}

func (w *logger) to(f *os.File, count int) { must(f.Write(w.lines(count))) }

func (w *logger) open() *os.File {
	return must(os.OpenFile(w.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644))
}

// append is one file_put_contents.
func (w *logger) append(count int) {
	f := w.open()
	w.to(f, count)
	must(0, f.Close())
}

// TestAHundredThousandLinesOverRotationsAndTruncations: ten logs with ten thousand
// lines each, a hundred rotations by rename with unread lines, and a hundred
// truncations, after which the logs are at once longer than they were. All the time
// the clock is set.
func TestAHundredThousandLinesOverRotationsAndTruncations(t *testing.T) {
	const logs, each, every = 10, 10_000, 500
	r := newReal(t, local(t), Config{})
	var step atomic.Int64
	r.f.step = func() time.Duration { return time.Duration(step.Load()) }
	told := r.under("*.log", Lines)
	var writing sync.WaitGroup
	for i := range logs {
		writing.Go(func() {
			w := &logger{t: t, name: strconv.Itoa(i)}
			w.path = r.path(w.name + ".log")
			random := rand.New(rand.NewPCG(uint64(i), 0))
			for round := 0; w.n < each; round++ {
				end := w.n + every
				w.append(1)
				told.heard(t, w.name, w.n) // the file has been looked at
				if round%2 == 1 {
					w.append(60) // more than were truncated
				}
				for w.n < end-20 {
					w.append(min(1+random.IntN(20), end-20-w.n))
				}
				if step.Add(int64(-time.Hour)); round%3 == 0 {
					step.Add(random.Int64N(int64(2 * time.Hour)))
				}
				f := w.open()
				w.to(f, 10)
				if round%2 == 0 {
					must(0, os.Rename(w.path, fmt.Sprintf("%s.%d", w.path, round)))
					w.to(f, 10) // its writer has it open yet
				} else {
					w.to(f, 10)
					told.heard(t, w.name, w.n) // what is truncated nobody can read
					must(0, f.Truncate(0))
					w.to(f, 1)
					told.heard(t, w.name, w.n)
					must(0, f.Truncate(0))
				}
				must(0, f.Close())
			}
			told.heard(t, w.name, w.n)
			if w.n < each {
				t.Errorf("%d lines", w.n)
			}
		})
	}
	writing.Wait()
	told.await(t, "the end", func() bool { return true }) // nothing was wrong
	told.mu.Lock()
	defer told.mu.Unlock()
	sum := 0
	for _, n := range told.next {
		sum += n
	}
	if len(told.next) != logs || sum < logs*each {
		t.Errorf("%d lines of %d logs", sum, len(told.next))
	}
	t.Logf("%d lines", sum)
}

// TestAThousandTouchesASecond over a thousand files, for five seconds: after the last
// one of each, its channel has an event of it.
func TestAThousandTouchesASecond(t *testing.T) {
	const files, seconds = 1000, 5
	r := newReal(t, local(t), Config{})
	told := r.under("*.c", Touches)
	names := make([]string, files)
	for i := range names {
		names[i] = fmt.Sprintf("%d.c", i)
		r.write(names[i], "") // all are made at once
	}
	told.settled(t, r.dir, names)
	random := rand.New(rand.NewPCG(1, 0))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	touches := 0
	for range 100 * seconds {
		<-tick.C
		for range 10 {
			name := names[touches%files]
			if touches++; touches%10 == 0 {
				name = names[random.IntN(files)] // some twice, and soon after each other
			}
			touchFile(t, r.path(name))
		}
	}
	told.settled(t, r.dir, names)
	if touches != files*seconds {
		t.Errorf("%d touches", touches)
	}
}

// stalled runs f while nobody reads inotify's queue, and fills that first: what f
// does inotify tells nobody.
func (r *real) stalled(f func()) {
	r.t.Helper()
	text := strings.TrimSpace(string(must(os.ReadFile("/proc/sys/fs/inotify/max_queued_events"))))
	limit := must(strconv.Atoi(text))
	for _, name := range []string{"fill.1", "fill.2"} {
		r.write(name, "")
	}
	before := r.f.overflows.Load()
	for _, d := range r.f.dirs {
		d.notify.mu.Lock() // holds the reader up
	}
	// Those that follow an equal one are not queued. The reader has some thousands
	// in its hands.
	for i := range limit + 2*4096 {
		touchFile(r.t, r.path([]string{"fill.1", "fill.2"}[i%2]))
	}
	f()
	for _, d := range r.f.dirs {
		d.notify.mu.Unlock()
	}
	deadline := time.Now().Add(patience)
	for r.f.overflows.Load() == before {
		if time.Now().After(deadline) {
			r.t.Fatalf("inotify's queue did not overflow by more events than fs.inotify.max_queued_events, which is %d", limit)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestNothingIsLostWhenTheQueueOverflows: inotify's queue is full, and whatever
// happens then it does not tell: lines, rotations, touches, a new file, another
// directory in the place of one.
func TestNothingIsLostWhenTheQueueOverflows(t *testing.T) {
	const logs = 20
	r := newReal(t, local(t), Config{})
	must(0, os.Mkdir(r.path("other"), 0o755))
	lines, touches, content := r.under("*.log", Lines), r.under("*.c", Touches), newSink()
	other := r.under("other/*.log", Lines)
	must(0, r.f.Add("hub", must(ParseWatch(r.path("*.txt"), "content")), content))
	var writers []*logger
	var names []string
	for i := range logs {
		names = append(names, fmt.Sprintf("%d.c", i))
		w := &logger{t: t, name: strconv.Itoa(i)}
		w.path = r.path(w.name + ".log")
		writers = append(writers, w)
	}
	moved := &logger{t: t, path: r.path("other/0.log"), name: "moved"}
	for round := range 3 {
		for i, w := range writers {
			w.append(1)
			r.write(names[i], "")
		}
		moved.append(1)
		for _, w := range writers {
			lines.heard(t, w.name, w.n)
		}
		other.heard(t, moved.name, moved.n)
		touches.settled(t, r.dir, names)
		r.stalled(func() {
			for i, w := range writers {
				w.append(100)
				if i%2 == 0 {
					must(0, os.Rename(w.path, w.path+".1"))
					w.append(100)
				}
				touchFile(t, r.path(names[i]))
			}
			moved.append(10)
			must(0, os.Rename(r.path("other"), r.path(fmt.Sprint("old", round))))
			must(0, os.Mkdir(r.path("other"), 0o755))
			moved.append(10)
			r.write("a.txt", fmt.Sprint("round ", round))
		})
		for _, w := range writers {
			lines.heard(t, w.name, w.n)
		}
		touches.settled(t, r.dir, names)
		other.heard(t, moved.name, moved.n)
		content.waitFor(t, fmt.Sprint("+a=round ", round))
	}
	if got := r.f.Status()[0].Overflows; got < 3 {
		t.Errorf("%d overflows", got)
	}
	r.logs.expect(t, 1, "queue overflowed")
}

// TestADirectoryIsReplacedUnderLoad fifty times, by deletion or by a move: files that
// had been looked at are read to their end.
func TestADirectoryIsReplacedUnderLoad(t *testing.T) {
	const logs, rounds = 5, 50
	r := newReal(t, local(t), Config{})
	r.dir = r.path("run")
	must(0, os.Mkdir(r.dir, 0o755))
	told, touches := r.under("*.log", Lines), r.under("*.c", Touches)
	var writers []*logger
	for i := range logs {
		w := &logger{t: t, name: strconv.Itoa(i)}
		w.path = r.path(w.name + ".log")
		writers = append(writers, w)
	}
	for round := range rounds {
		var load sync.WaitGroup
		for _, w := range writers {
			load.Go(func() {
				f := w.open()
				w.to(f, 1)
				told.heard(t, w.name, w.n)
				for range 20 {
					w.to(f, 2)
				}
				must(0, f.Close())
			})
		}
		r.write("a.c", "")
		touchFile(t, r.path("a.c"))
		load.Wait()
		touches.settled(t, r.dir, []string{"a.c"})
		if round%2 == 0 {
			must(0, os.RemoveAll(r.dir))
		} else {
			must(0, os.Rename(r.dir, fmt.Sprint(r.dir, round)))
		}
		must(0, os.Mkdir(r.dir, 0o755))
	}
	for _, w := range writers {
		told.heard(t, w.name, rounds*41)
	}
}

// TestRenamesInAStormLoseNoLine: two logs change their names with each other all the
// time, while their writers have them open.
func TestRenamesInAStormLoseNoLine(t *testing.T) {
	const rounds = 500
	r := newReal(t, local(t), Config{})
	told := r.under("*.log", Lines)
	a := &logger{t: t, path: r.path("a.log"), name: "a"}
	b := &logger{t: t, path: r.path("b.log"), name: "b"}
	fa, fb := a.open(), b.open()
	defer fa.Close()
	defer fb.Close()
	a.to(fa, 1)
	b.to(fb, 1)
	told.heard(t, "a", 1)
	told.heard(t, "b", 1)
	for range rounds {
		a.to(fa, 3)
		must(0, unix.Renameat2(unix.AT_FDCWD, a.path, unix.AT_FDCWD, b.path, unix.RENAME_EXCHANGE))
		b.to(fb, 3)
	}
	told.heard(t, "a", a.n)
	told.heard(t, "b", b.n)
}

// TestDirectoriesThatChangeNamesAreStillHeard: inotify knows a directory by its
// inode, and so by its name of before.
func TestDirectoriesThatChangeNamesAreStillHeard(t *testing.T) {
	r := newReal(t, local(t), Config{})
	var told []*tally
	dirs := []string{"one", "two"}
	for _, dir := range dirs {
		must(0, os.Mkdir(r.path(dir), 0o755))
		told = append(told, r.under(dir+"/*.c", Touches))
	}
	for range 100 {
		must(0, unix.Renameat2(unix.AT_FDCWD, r.path("one"), unix.AT_FDCWD, r.path("two"), unix.RENAME_EXCHANGE))
		for i, dir := range dirs {
			r.write(dir+"/a.c", "")
			touchFile(t, r.path(dir+"/a.c"))
			told[i].settled(t, r.path(dir), []string{"a.c"})
		}
	}
}

// TestNothingIsLostWhileInotifyHasNoRoom: where its limits are reached files are
// polled, and when there is room again lines come by inotify, while they are written
// all the time.
func TestNothingIsLostWhileInotifyHasNoRoom(t *testing.T) {
	r := newReal(t, local(t), Config{poll: time.Millisecond})
	var ahead atomic.Int64
	r.f.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	full := func(is bool) {
		r.f.notify.ops.Lock()
		defer r.f.notify.ops.Unlock()
		r.f.notify.closed = is
	}
	r.f.instances = maxInstances
	full(true) // as good as a limit
	told, touches := r.under("*.log", Lines), r.under("*.c", Touches)
	w := &logger{t: t, path: r.path("a.log"), name: "a"}
	write := func(until func(Status) bool) {
		t.Helper()
		for end := time.Now().Add(patience); !until(r.f.Status()[0]); {
			if time.Now().After(end) {
				t.Fatalf("%+v", r.f.Status())
			}
			w.append(5)
			r.write("a.c", "")
			touchFile(t, r.path("a.c"))
		}
		told.heard(t, w.name, w.n)
		touches.settled(t, r.dir, []string{"a.c"})
	}
	write(func(s Status) bool { return s.Mode == polling && w.n >= 500 })
	full(false)
	ahead.Add(int64(limitRetry))
	write(func(s Status) bool { return s.Mode == inotify })
	n := w.n
	write(func(Status) bool { return w.n >= n+500 })
}
