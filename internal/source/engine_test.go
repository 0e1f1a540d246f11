package source

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/spf13/afero"
)

// engine is the source over files in memory, with a clock that stands still and
// looks only when told to.
type engine struct {
	t    *testing.T
	mem  afero.Fs
	deny map[string]error
	now  time.Time
	f    *Files
	sink *fakeSink
	logs *logs
}

const day = 24 * time.Hour

func newEngine(t *testing.T) *engine {
	e := &engine{t: t, mem: afero.NewMemMapFs(), deny: map[string]error{}, now: time.Now(), sink: newSink()}
	logger, logs := newLogs()
	e.logs = logs
	e.f = NewFiles(Config{
		Logger: logger,
		manual: true,
		now:    func() time.Time { return e.now },
		OpenDir: func(dir string) (afero.Fs, error) {
			if ok, _ := afero.DirExists(e.mem, dir); !ok {
				return nil, fs.ErrNotExist
			}
			return denyFS{afero.NewBasePathFs(e.mem, dir), e.deny}, nil
		},
	})
	t.Cleanup(e.f.Close)
	must(0, e.mem.MkdirAll("/d", 0o755))
	return e
}

// denyFS refuses to open some names.
type denyFS struct {
	afero.Fs
	deny map[string]error
}

func (d denyFS) Open(name string) (afero.File, error) {
	if err := d.deny[name]; err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return d.Fs.Open(name)
}

// write makes a file that was changed this long ago.
func (e *engine) write(name, data string, age time.Duration) {
	e.t.Helper()
	must(0, afero.WriteFile(e.mem, "/d/"+name, []byte(data), 0o644))
	e.touch(name, age)
}

func (e *engine) append(name, data string) {
	old, _ := afero.ReadFile(e.mem, "/d/"+name)
	e.write(name, string(old)+data, 0)
}

func (e *engine) touch(name string, age time.Duration) {
	at := e.now.Add(-age)
	must(0, e.mem.Chtimes("/d/"+name, at, at))
}

func (e *engine) add(glob string, what What) Watch {
	e.t.Helper()
	w := must(ParseWatch(glob, string(what)))
	if err := e.f.Add("hub", w, e.sink); err != nil {
		e.t.Fatal(err)
	}
	return w
}

// lookAll looks at every directory now, as a scan would.
func (f *Files) lookAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.dirs {
		d.inbox.post(func(m *mail) { m.scan = true })
		d.look()
	}
}

// later lets time pass and looks.
func (e *engine) later(d time.Duration, want ...string) {
	e.t.Helper()
	e.now = e.now.Add(d)
	e.f.lookAll()
	e.sink.expect(e.t, want...)
}

// soon looks twice: what is polled must have been left alone for a tick.
func (e *engine) soon(want ...string) {
	e.t.Helper()
	e.later(0)
	e.later(settle, want...)
}

// told looks by name, as after an inotify event.
func (e *engine) told(name string, want ...string) {
	e.t.Helper()
	d := e.f.dirs["/d"]
	d.mode, d.inbox.path = inotify, "/d"
	d.heard("/d", name)
	d.look()
	e.sink.expect(e.t, want...)
}

func TestTouchesAreNewerTimes(t *testing.T) {
	e := newEngine(t)
	e.write("old.c", "", day)
	e.write("other", "", day)
	w := e.add("/d/*.c", Touches)
	e.sink.expect(t, "=old")
	e.later(time.Second)
	e.touch("old.c", 0)
	e.soon("+old")
	e.later(time.Second)
	e.write("new.c", "x", 0)
	e.later(0)
	e.later(settle, "+new")
	e.write("mv.c", "x", day) // as `mv` or `cp -p` do
	e.later(0)
	e.later(settle, "+mv")
	e.touch("old.c", day)
	e.later(0)
	e.touch("old.c", day-time.Second) // newer than that
	e.soon("+old")
	must(0, e.mem.Remove("/d/new.c"))
	e.later(0, "-new")
	e.later(time.Second)
	e.touch("old.c", 0)
	e.touch("mv.c", time.Millisecond)
	e.soon("+mv", "+old") // in the order of their times
	e.f.Remove("hub", w)
	e.touch("old.c", 0)
	e.later(time.Second)
}

// TestATouchThatMakesTheFileIsOneEvent: touch() makes the file and then sets its
// time, and a look may fall in between.
func TestATouchThatMakesTheFileIsOneEvent(t *testing.T) {
	e := newEngine(t)
	e.add("/d/*.c", Touches)
	e.later(time.Second)
	e.write("a.c", "", time.Millisecond)
	e.told("a.c")
	e.touch("a.c", 0)
	e.told("a.c")
	e.later(settle, "+a")
	e.later(time.Second)
	e.touch("a.c", 0)
	e.told("a.c", "+a")

	// A file that is gone before we look again was touched all the same.
	e.write("b.c", "", 0)
	e.told("b.c")
	must(0, e.mem.Remove("/d/b.c"))
	e.told("b.c", "+b", "-b")
}

func TestDraftSaysWhenAndWhence(t *testing.T) {
	e := newEngine(t)
	e.write("a.c", "", time.Hour)
	e.add("/d/*.c", Touches)
	d := e.sink.drafts[0]
	if !d.Changed.Equal(e.now.Add(-time.Hour)) || d.Source != "file" || d.ContentType != "" || len(d.Data) != 0 {
		t.Fatalf("%+v", d)
	}
}

func TestSecondTouchInOneTickIsNotLost(t *testing.T) {
	// Only inode data can show this; the kind is asked without a file system.
	d := &dir{files: NewFiles(Config{})}
	sink := newSink()
	w := &watcher{watch: Watch{Glob: "/d/*", What: Touches}, sink: sink}
	now := time.Now()
	k := newKind(Touches, nil)
	saw := func(s sight, at time.Time, told bool) {
		v := &view{d: d, w: w, now: at, wall: at, told: told}
		k.saw(v, "a", s)
		v.flush()
	}
	long := now.Add(-time.Hour)
	s := sight{mtime: long.UnixNano(), ctime: long.UnixNano(), ino: 1}
	saw(s, long, true)
	saw(s, long.Add(settle), true)
	sink.expect(t, "+a")
	s.mtime, s.ctime = now.UnixNano(), now.UnixNano()
	saw(s, now.Add(time.Millisecond), true)
	sink.expect(t, "+a")
	saw(s, now.Add(2*time.Millisecond), true) // touched again in the same tick
	sink.expect(t, "+a")
	saw(s, now.Add(3*time.Millisecond), false) // a scan proves nothing
	sink.expect(t)
	saw(s, now.Add(fresh+time.Millisecond), true) // the last look was still too early to be sure
	sink.expect(t, "+a")
	saw(s, now.Add(fresh+2*time.Millisecond), true) // but now it was late enough
	sink.expect(t)
	s.ctime += int64(time.Second)
	saw(s, now.Add(time.Second), true) // chmod
	saw(s, now.Add(time.Second), true)
	sink.expect(t)
	s.ino = 2
	saw(s, now.Add(time.Second), true)
	sink.expect(t, "+a")
}

func TestContentIsTheData(t *testing.T) {
	e := newEngine(t)
	e.write("a.txt", "one", day)
	e.add("/d/*.txt", Content)
	e.sink.expect(t, "=a=one")
	e.write("a.txt", "two", 0)
	e.later(0) // it may not be written to its end
	e.later(settle, "+a=two")
	e.later(time.Second)
	e.write("a.txt", "two", 0)
	e.soon("+a=two") // the same again is an event
	e.write("b.txt", "new", day)
	e.soon("+b=new")
	must(0, e.mem.Remove("/d/b.txt"))
	e.later(0, "-b")
}

func TestEmptyContentCountsOnlyWhenLeftAlone(t *testing.T) {
	e := newEngine(t)
	e.write("a.txt", "one", day)
	e.add("/d/*.txt", Content)
	e.sink.take()
	e.write("a.txt", "", 0)
	e.later(0)
	e.later(40 * time.Millisecond)
	e.write("a.txt", "two", 0)
	e.soon("+a=two")
	e.write("a.txt", "", 0)
	e.later(0)
	e.later(49 * time.Millisecond)
	e.later(time.Millisecond, "+a")
	e.later(time.Second)
}

func TestContentThatNeverRestsIsReadNonetheless(t *testing.T) {
	e := newEngine(t)
	e.add("/d/*.txt", Content)
	for i := range 30 {
		e.write("a.txt", fmt.Sprint(i), 0)
		e.now = e.now.Add(5 * time.Millisecond)
		e.f.lookAll()
	}
	if len(e.sink.take()) == 0 {
		t.Fatal("starved")
	}
}

func TestContentTypeIsProven(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"a.json", `{"a":1}`, "application/json"},
		{"a.JSONL", `1`, "application/json"},
		{"a.ndjson", `[]`, "application/json"},
		{"a.json", `{"a":`, "text/plain; charset=utf-8"},
		{"a.txt", `{"a":1}`, "text/plain; charset=utf-8"},
		{"a.txt", "\xff", "application/octet-stream"},
		{"a.json", "\"\xff", "application/octet-stream"},
		{"a", "", "text/plain; charset=utf-8"},
	} {
		if got := contentType(c.name, []byte(c.data)); got != c.want {
			t.Errorf("%s %q: %s", c.name, c.data, got)
		}
	}
}

func TestTooLargeContentIsWarnedOfOnce(t *testing.T) {
	e := newEngine(t)
	e.sink.max = 3
	e.write("a.txt", "1234", day)
	e.add("/d/*.txt", Content)
	e.later(time.Second)
	e.write("a.txt", "12345", day)
	e.later(time.Second)
	e.logs.expect(t, 1, "larger than an event")
	e.write("a.txt", "123", 0)
	e.later(time.Second, "+a=123")
}

func TestLinesAreEventsOnceComplete(t *testing.T) {
	e := newEngine(t)
	e.write("a.l", "old\npar", day)
	e.add("/d/*.l", Lines)
	e.later(0)
	e.append("a.l", "tial")
	e.later(0)
	e.append("a.l", "\r\ntwo\n\nth")
	e.later(0, "+a=partial", "+a=two")
	e.append("a.l", "ree\n")
	e.later(0, "+a=three")
	e.write("b.l", "from\nthe beginning\n", 0)
	e.later(0, "+b=from", "+b=the beginning")
	if e.sink.batches > 1 {
		t.Fatal("not one batch")
	}
}

func TestTruncatedLinesBeginAnew(t *testing.T) {
	e := newEngine(t)
	e.write("a.l", "one\ntwo\n", day)
	e.add("/d/*.l", Lines)
	e.write("a.l", "x\n", 0)
	e.later(0, "+a=x")
	e.write("a.l", "rewritten to beyond\n", 0)
	e.later(time.Second, "+a=rewritten to beyond")
	e.write("a.l", "rewritten to BEYOND\n", 0) // the same size
	e.later(time.Second, "+a=rewritten to BEYOND")
}

func TestLineOverTheLimitIsSkippedAlone(t *testing.T) {
	e := newEngine(t)
	e.sink.max = 10
	e.add("/d/*.l", Lines)
	e.write("a.l", "one\n"+strings.Repeat("x", 300_000), 0)
	e.later(0, "+a=one")
	e.append("a.l", strings.Repeat("x", 300_000)+"\ntwo\n"+strings.Repeat("y", 11)+"\nthree\n")
	e.later(0, "+a=two", "+a=three")
	e.logs.expect(t, 1, "line is longer")
	if n := cap(e.kind("/d").(*lines).buf); n > 2*chunk {
		t.Fatalf("a buffer of %d bytes", n)
	}
	// A start amid such a line.
	e.write("b.l", strings.Repeat("x", 300_000), day)
	e.f.Remove("hub", must(ParseWatch("/d/*.l", "lines")))
	e.add("/d/*.l", Lines)
	e.append("b.l", "xx\nb\n")
	e.later(0, "+b=b")
}

func (e *engine) kind(dir string) kind { return e.f.dirs[dir].inbox.watchers[0].kind }

func TestManyLinesComeInBoundedBatches(t *testing.T) {
	e := newEngine(t)
	e.add("/d/*.l", Lines)
	e.write("a.l", strings.Repeat("x\n", maxBatch+1), 0)
	e.f.lookAll()
	if len(e.sink.words) != maxBatch+1 || e.sink.batches != 2 {
		t.Fatalf("%d lines in %d batches", len(e.sink.words), e.sink.batches)
	}
}

func TestDirectoryThatAppearsLater(t *testing.T) {
	e := newEngine(t)
	must(0, e.mem.RemoveAll("/d"))
	e.add("/d/*.c", Touches)
	e.logs.expect(t, 1, "install -d -m 755 -o www-data /d")
	e.later(time.Second)
	e.write("was.c", "", day)
	e.write("new.c", "", 0)
	e.later(0, "=was")
	e.later(settle, "+new")
	e.logs.expect(t, 1, "install -d")
	e.logs.expect(t, 1, "watching files")
}

func TestReturnedDirectoryIsComparedWithWhatWasKnown(t *testing.T) {
	e := newEngine(t)
	for _, name := range []string{"a.c", "b.c", "gone.c"} {
		e.write(name, "", day)
	}
	e.add("/d/*.c", Touches)
	e.sink.take()
	must(0, e.mem.Rename("/d", "/away"))
	e.later(time.Second)
	must(0, e.mem.Rename("/away", "/d"))
	must(0, e.mem.Remove("/d/gone.c"))
	e.touch("b.c", 0)
	e.later(time.Second, "-gone")
	e.later(settle, "+b")
}

func TestUnreadableFileIsWarnedOfAndMended(t *testing.T) {
	for _, what := range []What{Content, Lines} {
		e := newEngine(t)
		e.deny["it's.x"] = fs.ErrPermission
		e.write("it's.x", "old\n", day)
		e.add("/d/*.x", what)
		e.later(time.Second)
		e.later(time.Second)
		e.logs.expect(t, 1, "setfacl -RP -m u:"+ourUser()+`:r '/d/it'\''s.x'`)
		if got := e.f.Status()[0].LastError; got == "" {
			t.Fatal("no last error")
		}
		e.append("it's.x", "new\n")
		e.later(time.Second)
		delete(e.deny, "it's.x")
		want := "+it's=new"
		if what == Content {
			want = "+it's=old\nnew\n"
		}
		e.later(time.Second, want)
		e.logs.expect(t, 1, "readable again")
		if got := e.f.Status()[0].LastError; got != "" {
			t.Errorf("the last error is %q", got)
		}
		e.later(time.Second)
	}
}

func TestUnreadableDirectoryIsWarnedOfAndMended(t *testing.T) {
	e := newEngine(t)
	e.write("a.c", "", day)
	e.deny["."] = fs.ErrPermission
	e.add("/d/*.c", Touches)
	e.later(time.Second)
	e.logs.expect(t, 1, "setfacl -m u:"+ourUser()+":rx /d")
	delete(e.deny, ".")
	e.later(time.Second, "=a")
	e.logs.expect(t, 1, "there and readable")
}

func TestFloodOfNamesIsBounded(t *testing.T) {
	e := newEngine(t)
	e.f.maxFiles = 10
	for i := range 12 {
		e.write(fmt.Sprintf("%d.c", i), "", day)
		e.write(fmt.Sprintf("%d\x01.c", i), "", day)
		e.write(fmt.Sprintf("%d.l", i), "", day)
	}
	e.add("/d/*.c", Touches)
	e.sink.take()
	e.later(time.Second)
	e.later(time.Second)
	if got := e.f.Status()[0]; got.Files != 10 || got.Mode != polling {
		t.Fatalf("%+v", got)
	}
	e.logs.expect(t, 1, "too many files")
	e.logs.expect(t, 12, "cannot be a channel")

	ws := &warnings{}
	said := 0
	for i := range 10_000 {
		if ws.once(e.now.Add(time.Duration(i)*time.Second), fmt.Sprint(i), causeName) {
			said++
		}
	}
	if said != maxWarned || len(ws.said) != maxWarned {
		t.Fatalf("%d warnings, %d remembered", said, len(ws.said))
	}
}

func TestReloadKeepsItsPlace(t *testing.T) {
	for _, what := range []What{Touches, Content, Lines} {
		e := newEngine(t)
		e.write("a.x", "one\n", day)
		w := e.add("/d/*.x", what)
		e.sink.take()
		e.append("a.x", "two\n")
		e.add("/d/*.x", what)
		e.f.Remove("hub", w)
		e.f.lookAll()
		e.now = e.now.Add(time.Second)
		e.f.lookAll()
		if got := e.sink.take(); len(got) != 1 || got[0][0] != '+' {
			t.Fatalf("%s: %q", what, got)
		}
		e.f.Remove("hub", w)
		if len(e.f.dirs) != 0 || len(e.f.Status()) != 0 {
			t.Fatal("not removed")
		}
	}
}

func TestClosedSourceTakesNothing(t *testing.T) {
	e := newEngine(t)
	e.f.Close()
	if err := e.f.Add("hub", must(ParseWatch("/d/*", "")), e.sink); err != ErrClosed {
		t.Fatal(err)
	}
	if err := e.f.Add("hub", Watch{Glob: "x"}, e.sink); err == nil {
		t.Fatal("took a relative glob")
	}
}

func TestNamedFilesAloneAreLookedAt(t *testing.T) {
	e := newEngine(t)
	e.write("a.c", "", day)
	e.write("b.c", "", day)
	e.add("/d/*.c", Touches)
	e.sink.take()
	e.touch("a.c", 0)
	e.touch("b.c", 0)
	e.told("a.c", "+a")
	must(0, e.mem.Remove("/d/a.c"))
	e.told("a.c", "-a")
	e.f.overflowed(nil)
	e.later(0, "+b") // any name may be meant, so none is waited with
	if e.f.Status()[0].Overflows != 1 {
		t.Fatal("overflow not counted")
	}
	e.logs.expect(t, 1, "overflowed")
}

// TestWhatIsPolledLosesNoSecondTouchInATick: its file looks as it did at the last
// look, and nobody tells of it.
func TestWhatIsPolledLosesNoSecondTouchInATick(t *testing.T) {
	e := newEngine(t)
	e.write("a.c", "", day)
	e.add("/d/*.c", Touches)
	e.sink.take()
	// The promise is a time: some event came no earlier than the last touch.
	touched, tick := e.now, e.now
	touch := func() { touched = e.now; must(0, e.mem.Chtimes("/d/a.c", tick, tick)) }
	told := e.now
	look := func(after time.Duration) {
		e.now = e.now.Add(after)
		e.f.lookAll()
		if len(e.sink.take()) > 0 {
			told = e.now
		}
	}
	for _, again := range []bool{false, true} { // a touch while another is put off
		e.now = e.now.Add(time.Minute)
		tick = e.now
		touch()
		look(time.Millisecond)
		if again {
			e.now = e.now.Add(settle - 2*time.Millisecond)
			tick = e.now
			touch()
			look(2 * time.Millisecond)
		}
		e.now = e.now.Add(time.Millisecond)
		touch() // leaves no trace
		look(settleMost)
		look(time.Minute)
		if told.Before(touched) {
			t.Fatalf("touched %s after it was told (%t)", touched.Sub(told), again)
		}
		for range 3 { // and then it is quiet
			look(time.Minute)
		}
		if quiet := e.now.Sub(told); quiet < 2*time.Minute {
			t.Fatalf("told again and again, %s ago", quiet)
		}
	}
}

// TestWhatIsPolledLosesNoSecondContentInATick: the same, of content of the same
// size, by a clock of the files' that is behind ours.
func TestWhatIsPolledLosesNoSecondContentInATick(t *testing.T) {
	e := newEngine(t)
	e.write("a.txt", "one", day)
	e.add("/d/*.txt", Content)
	e.sink.take()
	for range 2 {
		e.now = e.now.Add(time.Minute)
		tick := e.now.Add(-time.Hour)
		put := func(data string) {
			e.write("a.txt", data, 0)
			must(0, e.mem.Chtimes("/d/a.txt", tick, tick))
		}
		put("two")
		e.later(time.Millisecond)
		put("six")
		e.later(settle, "+a=six")
		e.later(time.Minute)
	}
	// One that is written all the time is not waited for.
	e.now = e.now.Add(time.Minute)
	for n := 0; len(e.sink.take()) == 0; n++ {
		e.now = e.now.Add(5 * time.Millisecond)
		e.write("a.txt", fmt.Sprintf("%03d", n), 0)
		e.f.lookAll()
	}
	tick := e.now
	e.write("a.txt", "end", 0)
	must(0, e.mem.Chtimes("/d/a.txt", tick, tick))
	e.later(time.Minute)
	e.later(settle, "+a=end")
	e.later(time.Minute)
}

// hookFS calls a function ahead of each read.
type hookFS struct {
	afero.Fs
	ahead func(off int64)
}

type hookFile struct {
	afero.File
	ahead func(off int64)
}

func (h hookFS) Open(name string) (afero.File, error) {
	f, err := h.Fs.Open(name)
	if err != nil {
		return nil, err
	}
	return hookFile{f, h.ahead}, nil
}

func (h hookFile) ReadAt(b []byte, off int64) (int, error) {
	h.ahead(off)
	return h.File.ReadAt(b, off)
}

// TestAFileThatIsTruncatedWhileItIsReadGivesWholeLines: its writer truncates it and
// goes on, at once to beyond where we are, between any two calls of ours.
func TestAFileThatIsTruncatedWhileItIsReadGivesWholeLines(t *testing.T) {
	for name, c := range map[string]struct{ read, first string }{
		"short lines":    {"0\n", "1 one\n1 two\n1 three\n"},
		"a long line":    {"", "1 " + strings.Repeat("x", 3*chunk) + "\n"},
		"behind another": {"0\n", "1 one\n1 " + strings.Repeat("x", 3*chunk) + "\n"},
	} {
		first := c.first
		second := strings.Repeat("22 "+strings.Repeat("y", len(first)/8)+"\n", 9)
		calls := 1 << 10
		for at := 0; at < calls; at++ { // the writer comes ahead of this read
			e := newEngine(t)
			e.sink.max = 1 << 20
			call, armed := 0, false
			e.f.openDir = func(dir string) (afero.Fs, error) {
				return hookFS{afero.NewBasePathFs(e.mem, dir), func(int64) {
					if !armed {
						return
					}
					if call++; call == at+1 {
						armed = false
						e.write("a.l", second, 0)
						armed = true
					}
				}}, nil
			}
			e.add("/d/*.l", Lines)
			e.append("a.l", c.read)
			e.f.lookAll()
			e.sink.take()
			e.append("a.l", first)
			armed = true
			e.f.lookAll()
			calls = call
			e.f.lookAll()
			e.f.lookAll()
			var got []string
			for _, word := range e.sink.take() {
				got = append(got, strings.TrimPrefix(word, "+a="))
			}
			all := strings.Join(got, "\n") + "\n"
			if !strings.HasSuffix(all, second) || !strings.HasPrefix(first, strings.TrimSuffix(all, second)) {
				t.Fatalf("%s, truncated ahead of read %d: told %.60q", name, at, got)
			}
		}
		if calls < 2 {
			t.Fatal("nothing was read")
		}
	}
}
