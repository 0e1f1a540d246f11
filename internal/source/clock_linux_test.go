package source

import (
	"io/fs"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/afero"
)

// inodeFS gives files in memory what only inodes have: the time of
// their last change, which is the modification time's unless it is in ctimes.
type inodeFS struct {
	afero.Fs
	ctimes map[string]time.Time
}

type inodeInfo struct {
	fs.FileInfo
	st syscall.Stat_t
}

func (i inodeInfo) Sys() any { return &i.st }

func (i inodeFS) Stat(name string) (fs.FileInfo, error) {
	info, err := i.Fs.Stat(name)
	if err != nil {
		return nil, err
	}
	changed, ok := i.ctimes[name]
	if !ok {
		changed = info.ModTime()
	}
	st := syscall.Stat_t{Ctim: syscall.NsecToTimespec(changed.UnixNano())}
	return inodeInfo{info, st}, nil
}

// steppedEngine is an engine whose machine's clock may be set: all times of files
// are by e.step.
func steppedEngine(t *testing.T) (e *engine, step func(time.Duration), ctimes map[string]time.Time) {
	e = newEngine(t)
	var off time.Duration
	ctimes = map[string]time.Time{}
	open := e.f.openDir
	e.f.openDir = func(dir string) (afero.Fs, error) {
		d, err := open(dir)
		if err != nil {
			return nil, err
		}
		return inodeFS{d, ctimes}, nil
	}
	e.f.step = func() time.Duration { return off }
	return e, func(by time.Duration) { off += by }, ctimes
}

// steps are what NTP, an operator and a clock of the hardware in local time do.
var steps = []time.Duration{-time.Hour, time.Hour, -300 * time.Millisecond, -5 * time.Millisecond, 20 * time.Millisecond, -24 * time.Hour}

// TestATouchIsSeenHoweverTheClockIsSet: the file's time may be older than before.
func TestATouchIsSeenHoweverTheClockIsSet(t *testing.T) {
	e, step, ctimes := steppedEngine(t)
	e.write("a.c", "", day)
	e.add("/d/*.c", Touches)
	e.sink.expect(t, "=a")
	var off time.Duration
	touch := func() { e.touch("a.c", -off) } // by the clock as it is set
	for _, by := range steps {
		e.later(time.Minute)
		touch()
		e.soon("+a")
		step(by)
		off += by
		e.later(time.Minute)
		touch()
		ctimes["a.c"] = e.now.Add(off + time.Millisecond) // and chmod
		e.soon("+a")
		delete(ctimes, "a.c")
		e.later(time.Second)
	}
	e.touch("a.c", day-off)
	ctimes["a.c"] = e.now.Add(off) // touch -d
	e.later(time.Second)
}

// TestALateDirectoryIsNewsHoweverTheClockIsSet: what is in a directory that came
// after its watch is news unless it is older than that, and the clock that says so
// was set meanwhile.
func TestALateDirectoryIsNewsHoweverTheClockIsSet(t *testing.T) {
	for _, by := range steps {
		for what, want := range map[What]string{Touches: "+a", Content: "+a=one\n", Lines: "+a=one"} {
			for _, first := range []bool{true, false} { // the step, or the file
				e, step, _ := steppedEngine(t)
				must(0, e.mem.RemoveAll("/d"))
				e.add("/d/*.x", what)
				e.later(time.Minute)
				e.now = e.now.Add(time.Minute)
				if first {
					step(by)
					e.write("a.x", "one\n", -by)
				} else {
					e.write("a.x", "one\n", 0)
					step(by)
				}
				e.f.lookAll()
				e.now = e.now.Add(time.Second)
				e.f.lookAll()
				e.sink.expect(t, want)
			}
		}
	}
}

// TestContentAndLinesAreSeenHoweverTheClockIsSet: each change is an event, also of
// the same size.
func TestContentAndLinesAreSeenHoweverTheClockIsSet(t *testing.T) {
	e, step, _ := steppedEngine(t)
	e.write("a.txt", "0", day)
	e.write("a.log", "0\n", day)
	e.add("/d/*.txt", Content)
	e.add("/d/*.log", Lines)
	e.sink.take()
	var off time.Duration
	log := "0\n"
	for i, by := range steps {
		step(by)
		off += by
		digit := string(rune('1' + i))
		log += digit + "\n"
		e.write("a.txt", digit, -off)
		e.write("a.log", log, -off)
		e.f.lookAll()
		e.now = e.now.Add(time.Second)
		e.f.lookAll()
		got := e.sink.take()
		if len(got) != 2 || !(got[0] == "+a="+digit && got[1] == "+a="+digit) {
			t.Fatalf("after a step by %v told %q", by, got)
		}
	}
}
