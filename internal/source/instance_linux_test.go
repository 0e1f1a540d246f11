package source

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/fsnotify/fsnotify"
)

// siblings watches two directories for touches.
func siblings(t *testing.T, c Config) (r *real, one, other *fakeSink) {
	t.Helper()
	r = newReal(t, local(t), c)
	one, other = newSink(), newSink()
	for name, sink := range map[string]*fakeSink{"one": one, "other": other} {
		must(0, os.Mkdir(r.path(name), 0o755))
		must(0, r.f.Add(name, must(ParseWatch(r.path(name+"/*.c"), "touches")), sink))
	}
	for _, s := range r.f.Status() {
		if s.Mode != inotify {
			t.Fatalf("%+v", s)
		}
	}
	return r, one, other
}

// TestAFloodInOneDirectoryHoldsUpNoOther: nobody comes to the end of what happens in
// one, and its queue overflows, while the other's touch is told.
func TestAFloodInOneDirectoryHoldsUpNoOther(t *testing.T) {
	r, one, other := siblings(t, Config{})
	r.write("one/a.c", "")
	one.waitFor(t, "+a")
	busy := r.f.dirs[r.path("one")].notify
	busy.mu.Lock() // holds the reader up
	free := sync.OnceFunc(busy.mu.Unlock)
	t.Cleanup(free)
	limit := must(strconv.Atoi(strings.TrimSpace(string(must(os.ReadFile("/proc/sys/fs/inotify/max_queued_events"))))))
	r.write("one/b.c", "")
	for i := range limit + 2*4096 {
		touchFile(t, r.path([]string{"one/a.c", "one/b.c"}[i%2]))
	}
	r.write("other/x.c", "")
	other.waitFor(t, "+x")
	free()
	one.waitFor(t, "+b")
}

// TestDirectoriesBeyondTheFirstShareAnInstance, and what is watched no more makes room.
func TestDirectoriesBeyondTheFirstShareAnInstance(t *testing.T) {
	r := newReal(t, local(t), Config{})
	r.f.instances = maxInstances - 1
	var all []Watch
	for _, name := range []string{"a", "b", "c"} {
		must(0, os.Mkdir(r.path(name), 0o755))
		all = append(all, must(ParseWatch(r.path(name+"/*.c"), "touches")))
		must(0, r.f.Add("hub", all[len(all)-1], r.sink))
		r.write(name+"/"+name+".c", "")
		r.sink.waitFor(t, "+"+name)
	}
	for name, owns := range map[string]bool{"a": true, "b": false, "c": false} {
		if d := r.f.dirs[r.path(name)]; d.ownsNotify != owns || (d.notify != r.f.notify) != owns {
			t.Errorf("%s has an instance of its own: %v", name, d.ownsNotify)
		}
	}
	for i, left := range []int{maxInstances - 1, maxInstances - 1, maxInstances - 1} {
		if r.f.Remove("hub", all[i]); r.f.instances != left {
			t.Errorf("%d instances are left, not %d", r.f.instances, left)
		}
	}
}

// TestWithNoInstanceLeftDirectoriesShareOne: the kernel gives a user 128.
func TestWithNoInstanceLeftDirectoriesShareOne(t *testing.T) {
	tries := 0
	r, one, other := siblings(t, Config{inotify: func() (*fsnotify.Watcher, error) {
		if tries++; tries != 2 { // the shared one is second, after a directory's
			return nil, os.NewSyscallError("inotify_init", syscall.EMFILE)
		}
		return fsnotify.NewWatcher()
	}})
	r.write("one/a.c", "")
	one.waitFor(t, "+a")
	r.write("other/x.c", "")
	other.waitFor(t, "+x")
}
