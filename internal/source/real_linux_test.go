package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// onDisks runs a test in the temporary directory and on /dev/shm, with inotify.
func onDisks(t *testing.T, test func(t *testing.T, r *real)) {
	dirs := map[string]string{"disk": t.TempDir()}
	if shm, err := os.MkdirTemp("/dev/shm", "comet-test-"); err == nil {
		t.Cleanup(func() { os.RemoveAll(shm) })
		dirs["shm"] = shm
	}
	for name, dir := range dirs {
		t.Run(name, func(t *testing.T) { test(t, newReal(t, dir, Config{})) })
	}
}

// real is the source over real files. The safety scan is an hour away: what
// arrives was told by inotify.
type real struct {
	t    *testing.T
	dir  string
	f    *Files
	sink *fakeSink
	logs *logs
}

func newReal(t *testing.T, dir string, c Config) *real {
	r := &real{t: t, dir: must(filepath.EvalSymlinks(dir)), sink: newSink()}
	c.Logger, r.logs = newLogs()
	c.safety = time.Hour
	r.f = NewFiles(c)
	t.Cleanup(r.f.Close)
	return r
}

func (r *real) path(name string) string { return filepath.Join(r.dir, name) }

func (r *real) write(name, data string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte(data), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *real) append(name, data string) {
	r.t.Helper()
	f := must(os.OpenFile(r.path(name), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644))
	must(f.WriteString(data))
	must(0, f.Close())
}

func (r *real) age(name string) {
	at := time.Now().Add(-day)
	must(0, os.Chtimes(r.path(name), at, at))
}

func (r *real) add(glob string, what What) Watch {
	r.t.Helper()
	w := must(ParseWatch(r.path(glob), string(what)))
	must(0, r.f.Add("hub", w, r.sink))
	return w
}

func TestTouchIsSeenAndChmodIsNot(t *testing.T) {
	onDisks(t, func(t *testing.T, r *real) {
		r.write("a.c", "")
		r.age("a.c")
		r.add("*.c", Touches)
		r.sink.expect(t, "=a")
		if s := r.f.Status()[0]; s.Mode != inotify && kindOfFS(r.dir).poll == "" || s.Files != 1 {
			t.Fatalf("%+v", s)
		}
		must(0, os.Chmod(r.path("a.c"), 0o600))
		r.write("later.c", "")
		r.sink.wait(t, "+later", func(words []string) bool { return slices.Contains(words, "+later") })
		if got := r.sink.take(); slices.Contains(got, "+a") { // what came before it is done
			t.Fatalf("told %q", got)
		}
		now := time.Now()
		must(0, os.Chtimes(r.path("a.c"), now, now))
		r.sink.waitFor(t, "+a")
		must(0, os.Remove(r.path("a.c")))
		r.sink.waitFor(t, "-a")
		r.write("tmp", "")
		must(0, os.Rename(r.path("tmp"), r.path("later.c")))
		r.sink.waitFor(t, "+later")
	})
}

func TestAtomicReplaceIsReadWhole(t *testing.T) {
	onDisks(t, func(t *testing.T, r *real) {
		r.add("*.json", Content)
		for i := range 20 {
			data := fmt.Sprintf(`{"n":%d}`, i)
			r.write("tmp", data)
			must(0, os.Rename(r.path("tmp"), r.path("a.json")))
			r.sink.waitFor(t, "+a="+data)
		}
		r.write("a.json", "") // as file_put_contents does
		r.write("a.json", "[]")
		r.sink.waitFor(t, "+a=[]")
	})
}

func TestMissingDirectoryIsNoticedWhenMade(t *testing.T) {
	onDisks(t, func(t *testing.T, r *real) {
		r.dir = r.path("not/yet")
		r.add("*.c", Touches)
		r.logs.expect(t, 1, "install -d -m 755 -o www-data "+r.dir)
		must(0, os.MkdirAll(r.dir, 0o755))
		r.write("a.c", "")
		r.sink.waitFor(t, "+a")
		for i := range 3 {
			must(0, os.RemoveAll(r.dir))
			must(0, os.Mkdir(r.dir, 0o755))
			name := fmt.Sprint("b", i)
			r.write(name+".c", "")
			r.sink.waitFor(t, "+"+name)
			must(0, os.Rename(r.dir, r.dir+fmt.Sprint(i)))
			must(0, os.Mkdir(r.dir, 0o755))
			r.write("c.c", "")
			r.sink.waitFor(t, "+c")
		}
	})
}

func TestTenThousandFilesCostAStatEach(t *testing.T) {
	onDisks(t, func(t *testing.T, r *real) {
		const n = 10_000
		for i := range n {
			r.write(fmt.Sprintf("%d.c", i), "")
		}
		r.add("*.c", Touches)
		if got := len(r.sink.take()); got != n {
			t.Fatalf("%d files observed", got)
		}
		now := time.Now().Add(time.Second)
		for i := range n {
			must(0, os.Chtimes(r.path(fmt.Sprintf("%d.c", i)), now, now))
		}
		r.sink.wait(t, "all touches", func(words []string) bool { return len(words) >= n })
		slices.Sort(r.sink.words)
		if got := len(slices.Compact(r.sink.take())); got != n {
			t.Fatalf("%d files touched", got)
		}
		for i := range n {
			must(0, os.Remove(r.path(fmt.Sprintf("%d.c", i))))
		}
		r.sink.wait(t, "all gone", func(words []string) bool { return len(words) == n })
		d := r.f.dirs[r.dir]
		d.mu.Lock()
		defer d.mu.Unlock()
		if got := d.inbox.watchers[0].kind.count(); got != 0 {
			t.Fatalf("%d files remembered", got)
		}
	})
}

func TestLinesAreOnceAndInOrderOverRotationAndTruncation(t *testing.T) {
	onDisks(t, func(t *testing.T, r *real) {
		r.append("log", "old\n")
		r.add("log", Lines)
		var want []string
		var rotated *os.File
		for i := range 1000 {
			line := fmt.Sprintf("line %d", i)
			want = append(want, "+log="+line)
			switch {
			case i%100 == 50: // the writer still has it open
				rotated = must(os.OpenFile(r.path("log"), os.O_APPEND|os.O_WRONLY, 0))
				must(0, os.Rename(r.path("log"), r.path("log.1")))
				must(rotated.WriteString(line + "\n"))
				must(0, rotated.Close())
			case i%100 == 99: // copytruncate: what is not read by then nobody can read
				r.append("log", line+"\n")
				r.sink.wait(t, line, func(words []string) bool { return len(words) == len(want) })
				must(0, os.Truncate(r.path("log"), 0))
				if i%200 == 99 {
					r.sink.wait(t, line, func(words []string) bool { return len(words) == len(want) })
				}
			default:
				r.append("log", line[:3])
				r.append("log", line[3:]+"\n")
			}
		}
		r.sink.wait(t, "all lines", func(words []string) bool { return len(words) >= len(want) })
		if got := r.sink.take(); !slices.Equal(got, want) {
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("line %d is %q; %d lines: %s", i, got[i], len(got), brief(got[max(0, i-3):]))
				}
			}
		}
	})
}

func TestRenamedFileIsNotReadTwice(t *testing.T) {
	r := newReal(t, t.TempDir(), Config{})
	var now = time.Now()
	var mu sync.Mutex
	r.f.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	r.add("*.l", Lines)
	r.append("a.l", "one\ntwo\npart")
	r.sink.waitFor(t, "+a=two")
	must(0, os.Rename(r.path("a.l"), r.path("b.l")))
	r.append("b.l", "ial\n") // its writer still means a
	r.sink.waitFor(t, "+a=partial")
	r.append("a.l", "new\n")
	r.sink.waitFor(t, "+a=new")
	mu.Lock()
	now = now.Add(linger)
	mu.Unlock()
	r.append("b.l", "three\n")
	r.sink.wait(t, "three", func(words []string) bool { return len(words) > 0 })
	if got := r.sink.take(); len(got) != 1 || !strings.HasSuffix(got[0], "=three") {
		t.Fatalf("%q", got)
	}
	must(0, os.Remove(r.path("a.l")))
	r.append("c.l", "x\n")
	r.sink.waitFor(t, "+c=x")
	mu.Lock()
	now = now.Add(linger)
	mu.Unlock()
	r.sink.waitFor(t, "-a")
}

func TestRotatedFileWithoutDescriptorIsFound(t *testing.T) {
	r := newReal(t, t.TempDir(), Config{manual: true})
	r.f.descriptors.left.Store(0)
	r.append("log", "one\n")
	r.add("log", Lines)
	r.append("log", "two\n")
	r.f.descriptors.left.Store(1)
	must(0, os.Rename(r.path("log"), r.path("log.1")))
	r.append("log", "three\n")
	r.f.lookAll()
	r.sink.expect(t, "+log=two", "+log=three")
	r.f.Close()
	if left := r.f.descriptors.left.Load(); left != 1 {
		t.Fatalf("%d descriptors left", left)
	}
}

// TestRotatedFilesAreReadThoughDescriptorsAreShort: a thousand logs are rotated at
// once, and their writers go on for a moment.
func TestRotatedFilesAreReadThoughDescriptorsAreShort(t *testing.T) {
	const n = 1000
	r := newReal(t, t.TempDir(), Config{manual: true})
	r.f.descriptors.left.Store(10)
	name := func(i int) string { return fmt.Sprintf("%d.log", i) }
	for i := range n {
		r.append(name(i), "0\n")
	}
	r.add("*.log", Lines)
	for i := range n {
		r.append(name(i), "1\n") // nobody has read it when it is rotated
		must(0, os.Rename(r.path(name(i)), r.path(name(i)+".1")))
		r.append(name(i), "3\n")
	}
	r.f.lookAll()
	for i := range n {
		r.append(name(i)+".1", "2\n") // by a writer that has it open
	}
	r.f.dirs[r.dir].inbox.watchers[0].kind.(*lines).checked = time.Time{}
	r.f.lookAll()
	next := map[string]int{}
	for _, d := range r.sink.drafts {
		order := []string{"1", "3", "2"}
		if got := string(d.Data); got != order[next[d.Channel]] {
			t.Fatalf("channel %s: line %d is %q", d.Channel, next[d.Channel], got)
		}
		next[d.Channel]++
	}
	if got := len(r.sink.take()); got != 3*n {
		t.Fatalf("%d lines of %d", got, 3*n)
	}
	r.f.Close()
	if left := r.f.descriptors.left.Load(); left != 10 {
		t.Fatalf("%d descriptors left", left)
	}
}

// TestAFileWithTheNumberOfADeletedOneIsANewOne: it may begin with the very same
// lines.
func TestAFileWithTheNumberOfADeletedOneIsANewOne(t *testing.T) {
	for _, how := range []string{"directory", "file", "another name"} {
		t.Run(how, func(t *testing.T) {
			r := newReal(t, t.TempDir(), Config{manual: true})
			r.dir = r.path("logs")
			must(0, os.Mkdir(r.dir, 0o755))
			if how != "directory" {
				r.f.descriptors.left.Store(0) // one that is open keeps its number
			}
			now := time.Now()
			r.f.now = func() time.Time { return now }
			r.add("*.log", Lines)
			name, same := "a.log", 0
			for i := range 50 {
				r.append(name, "the same line\n")
				first := must(os.Stat(r.path(name))).Sys().(*syscall.Stat_t).Ino
				r.f.lookAll()
				if got := r.sink.take(); len(got) == 0 || !strings.HasSuffix(got[len(got)-1], "=the same line") {
					t.Fatalf("round %d: told %q", i, got)
				}
				switch how {
				case "directory":
					must(0, os.RemoveAll(r.dir))
					r.f.lookAll() // it lets go of the files
					must(0, os.Mkdir(r.dir, 0o755))
				case "file":
					must(0, os.Remove(r.path(name)))
				case "another name":
					must(0, os.Remove(r.path(name)))
					name = fmt.Sprintf("%d.log", i)
				}
				r.append(name, "the same line\n")
				if second := must(os.Stat(r.path(name))).Sys().(*syscall.Stat_t).Ino; first == second {
					same++
				}
				r.f.lookAll()
				if got := r.sink.take(); !slices.Contains(got, "+"+strings.TrimSuffix(name, ".log")+"=the same line") {
					t.Fatalf("round %d: the new file's line is lost; told %q", i, got)
				}
				must(0, os.Remove(r.path(name)))
				r.f.lookAll()
				now = now.Add(linger)
				r.f.lookAll()
				r.sink.take()
			}
			t.Logf("%d of 50 had the same number", same)
		})
	}
}

func TestLateLineOfARotatedFileComesBeforeTheNewOnes(t *testing.T) {
	r := newReal(t, t.TempDir(), Config{manual: true})
	r.add("log", Lines)
	r.append("log", "one\n")
	r.f.lookAll()
	must(0, os.Rename(r.path("log"), r.path("log.1")))
	r.f.lookAll()
	r.append("log.1", "two\n") // by a writer that has it open
	r.append("log", "three\n")
	r.f.lookAll()
	r.sink.expect(t, "+log=one", "+log=two", "+log=three")
}

func TestLastLineOfARotatedFileNeedsNoNewline(t *testing.T) {
	now := time.Now()
	r := newReal(t, t.TempDir(), Config{manual: true, now: func() time.Time { return now }})
	r.add("log", Lines)
	r.append("log", "one\ntwo")
	r.f.lookAll()
	must(0, os.Rename(r.path("log"), r.path("log.1")))
	r.append("log", "three\n")
	r.f.lookAll()
	r.sink.expect(t, "+log=one", "+log=three")
	now = now.Add(linger)
	r.f.lookAll()
	r.sink.expect(t, "+log=two")
}

// TestAFileThatIsRotatedDuringALongLookLingersAsLong as any other.
func TestAFileThatIsRotatedDuringALongLookLingersAsLong(t *testing.T) {
	now, slow := time.Now(), 0
	r := newReal(t, t.TempDir(), Config{manual: true, now: func() time.Time {
		if slow > 0 {
			slow--
			now = now.Add(linger)
		}
		return now
	}})
	r.add("log", Lines)
	r.append("log", "one\n")
	r.f.lookAll()
	must(0, os.Rename(r.path("log"), r.path("log.1")))
	slow = 2 // steps of this look take so long: its beginning, and its first stat
	r.f.lookAll()
	r.f.lookAll()
	r.append("log.1", "two\n") // by a writer that has it open
	now = now.Add(lingerCheck)
	r.f.lookAll()
	r.sink.expect(t, "+log=one", "+log=two")
}

func TestReloadKeepsItsPlaceUnderAppends(t *testing.T) {
	onDisks(t, func(t *testing.T, r *real) {
		const n = 2000
		r.append("log", "")
		w := r.add("log", Lines)
		var writer sync.WaitGroup
		writer.Go(func() {
			for i := range n {
				r.append("log", fmt.Sprintf("%d\n", i))
			}
		})
		for range 100 {
			r.add("log", Lines)
			r.f.Remove("hub", w)
		}
		writer.Wait()
		r.sink.wait(t, "all lines", func(words []string) bool { return len(words) >= n })
		for i, word := range r.sink.take() {
			if word != fmt.Sprintf("+log=%d", i) {
				t.Fatalf("line %d is %q", i, word)
			}
		}
	})
}

func TestNothingLeadsOutOfTheDirectoryOrBlocks(t *testing.T) {
	onDisks(t, func(t *testing.T, r *real) {
		secret := filepath.Join(t.TempDir(), "secret")
		must(0, os.WriteFile(secret, []byte("secret"), 0o600))
		must(0, os.Symlink(secret, r.path("abs.x")))
		must(0, os.Symlink("../../../../../../etc/passwd", r.path("rel.x")))
		must(0, os.Symlink("nothing", r.path("dangling.x")))
		must(0, unix.Mkfifo(r.path("fifo.x"), 0o666))
		must(0, os.Mkdir(r.path("dir.x"), 0o755))
		r.write("target", "inside")
		r.age("target")
		must(0, os.Symlink("target", r.path("link.x")))
		r.add("*.x", Content)
		r.sink.expect(t, "=link=inside")
		r.logs.expect(t, 1, "/abs.x")
		r.logs.expect(t, 1, "/rel.x")
		r.write("target", "changed") // inotify names only the target
		r.sink.waitFor(t, "+link=changed")
		must(0, os.Remove(r.path("abs.x")))
		r.write("abs.x", "fine")
		r.sink.waitFor(t, "+abs=fine")
		d := r.f.dirs[r.dir]
		d.mu.Lock()
		defer d.mu.Unlock()
		// A FIFO that was swapped in between stat and open.
		v := &view{d: d, w: d.inbox.watchers[0], now: time.Now(), wall: time.Now()}
		if _, _, err := v.open("fifo.x"); !errors.Is(err, errNotRegular) {
			t.Fatal(err)
		}
		if _, _, err := v.open("rel.x"); err == nil {
			t.Fatal("opened /etc/passwd")
		}
	})
}

func TestRootFSIsReadOnly(t *testing.T) {
	root := must(openRoot(t.TempDir()))
	defer root.(OSDir).Close()
	now := time.Now()
	_, create := root.Create("a")
	_, open := root.OpenFile("a", os.O_CREATE|os.O_WRONLY, 0o644)
	for _, err := range []error{
		create, open, root.Mkdir("a", 0o755), root.MkdirAll("a/b", 0o755), root.Remove("a"), root.RemoveAll("a"),
		root.Rename("a", "b"), root.Chmod("a", 0), root.Chown("a", 0, 0), root.Chtimes("a", now, now),
	} {
		if !errors.Is(err, syscall.EROFS) {
			t.Errorf("%v", err)
		}
	}
	if _, err := root.Open("../x"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestOverflowScansEverything(t *testing.T) {
	r := newReal(t, t.TempDir(), Config{})
	r.write("a.c", "")
	r.age("a.c")
	r.add("*.c", Touches)
	r.sink.take()
	d := r.f.dirs[r.dir]
	d.notify.unwatch(r.dir, d) // inotify says nothing from now on
	now := time.Now()
	must(0, os.Chtimes(r.path("a.c"), now, now))
	d.notify.overflow()
	r.sink.waitFor(t, "+a")
	r.logs.expect(t, 1, "queue overflowed")
}

func TestInotifyLimitMeansPolling(t *testing.T) {
	r := newReal(t, t.TempDir(), Config{})
	if !atLimit(&fs.PathError{Err: syscall.ENOSPC}) || !atLimit(fmt.Errorf("x: %w", syscall.EMFILE)) {
		t.Fatal("limits not recognised")
	}
	r.f.instances = maxInstances
	r.f.notify.closed = true // as good as a limit
	r.add("*.c", Touches)
	s := r.f.Status()[0]
	if s.Mode != polling || !strings.HasPrefix(s.Why, "inotify: ") {
		t.Fatalf("%+v", s)
	}
	r.write("a.c", "")
	r.sink.waitFor(t, "+a")
	r.f.warnLimit(syscall.ENOSPC)
	r.f.warnLimit(syscall.ENOSPC)
	r.logs.expect(t, 1, "fs.inotify.max_user_watches")
}

func TestNoInotifyPolls(t *testing.T) {
	r := newReal(t, t.TempDir(), Config{NoInotify: true})
	r.dir = r.path("later")
	r.add("*.c", Touches)
	must(0, os.Mkdir(r.dir, 0o755))
	r.write("a.c", "")
	r.sink.waitFor(t, "+a")
	if s := r.f.Status()[0]; s.Mode != polling {
		t.Fatalf("%+v", s)
	}
}

func TestSymlinkedDirectoriesAreTheOperatorsChoice(t *testing.T) {
	r := newReal(t, t.TempDir(), Config{})
	must(0, os.Mkdir(r.path("real"), 0o755))
	must(0, os.Symlink("real", r.path("link")))
	r.add("real/*.c", Touches)
	r.add("link/*.c", Touches)
	r.write("real/a.c", "")
	r.sink.wait(t, "both", func(words []string) bool { return len(words) >= 2 })
	for _, s := range r.f.Status() {
		if s.Files != 1 {
			t.Fatalf("%+v", s)
		}
	}
}

// hungFS is a network file system whose server went away.
type hungFS struct {
	afero.Fs
	hang chan struct{}
}

func (h hungFS) Open(name string) (afero.File, error) {
	<-h.hang
	return h.Fs.Open(name)
}

func TestHungDirectoryHoldsUpNobody(t *testing.T) {
	hang := make(chan struct{})
	good := t.TempDir()
	r := newReal(t, good, Config{OpenDir: func(dir string) (afero.Fs, error) {
		if dir == "/hung" {
			return hungFS{afero.NewMemMapFs(), hang}, nil
		}
		return openRoot(dir)
	}})
	w := must(ParseWatch("/hung/*", ""))
	hung := newSink()
	must(0, r.f.Add("hub", w, hung))
	r.logs.expect(t, 1, "goes on in the background")
	r.add("*.c", Touches)
	r.write("a.c", "")
	r.sink.waitFor(t, "+a")
	r.f.Remove("hub", w)
	r.logs.expect(t, 1, "does not answer")
	close(hang)
}

func TestNothingIsLeftAfterClose(t *testing.T) {
	before := runtime.NumGoroutine()
	fds := func() int { return len(must(os.ReadDir("/proc/self/fd"))) }
	open := fds()
	r := newReal(t, t.TempDir(), Config{})
	for i := range 20 {
		must(0, os.Mkdir(r.path(fmt.Sprint(i)), 0o755))
		r.append(fmt.Sprintf("%d/a.l", i), "x\n")
		r.add(fmt.Sprintf("%d/*.l", i), Lines)
		r.add(fmt.Sprintf("missing%d/*.l", i), Content)
	}
	for i := range 10 {
		r.f.Remove("hub", must(ParseWatch(r.path(fmt.Sprintf("%d/*.l", i)), "lines")))
	}
	r.f.Close()
	r.f.Close()
	deadline := time.Now().Add(patience)
	for (runtime.NumGoroutine() > before || fds() > open) && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before || fds() > open {
		t.Fatalf("%d goroutines before, %d after; %d and %d descriptors", before, n, open, fds())
	}
}
