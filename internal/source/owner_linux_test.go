package source

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ownedBy is a watch of the real source for the files of a user.
func (r *real) ownedBy(uid int, glob string, what What) {
	r.t.Helper()
	w := must(ParseWatch(r.path(glob), string(what)))
	w.Owner = strconv.Itoa(uid)
	must(0, r.f.Add("hub", w, r.sink))
}

func TestFilesOfTheOwnerAlone(t *testing.T) {
	for _, what := range []What{Touches, Content, Lines} {
		t.Run(string(what), func(t *testing.T) {
			now := time.Now()
			c := Config{manual: true, now: func() time.Time { return now }}
			ours, theirs := newReal(t, t.TempDir(), c), newReal(t, t.TempDir(), c)
			ours.ownedBy(os.Getuid(), "*.x", what)
			theirs.ownedBy(os.Getuid()+1, "*.x", what)
			for range 3 {
				for _, r := range []*real{ours, theirs} {
					r.append("a.x", "line\n")
					for range 3 { // it has settled then
						r.f.lookAll()
						now = now.Add(time.Second)
					}
				}
			}
			if got := ours.sink.take(); len(got) == 0 {
				t.Error("the owner's file is no event")
			}
			if got := theirs.sink.take(); len(got) > 0 {
				t.Errorf("another's file told %q", got)
			}
			theirs.logs.expect(t, 1, "belongs to another user than the watch's owner")
			theirs.lastError("a.x belongs to " + userName(int64(os.Getuid())) + ", and the watch is for files of " + userName(int64(os.Getuid()+1)))
			ours.lastError("")
			theirs.logs.expect(t, 1, "chown -h "+userName(int64(os.Getuid()+1))+" "+theirs.path("a.x"))
			// Swapped in between the look and the opening.
			d := theirs.f.dirs[theirs.dir]
			d.mu.Lock()
			defer d.mu.Unlock()
			v := &view{d: d, w: d.inbox.watchers[0], now: time.Now(), wall: time.Now()}
			if _, _, err := v.open("a.x"); !errors.Is(err, errForeign) {
				t.Errorf("opened: %v", err)
			}
		})
	}
}

// TestAFileThatChangesHandsIsGoneAndComesBack, with a hard link to another's file in
// its place.
func TestAFileThatChangesHandsIsGoneAndComesBack(t *testing.T) {
	if os.Getuid() != 0 && os.Getenv("CI") == "" {
		t.Skip("this test needs root, to give files away")
	}
	r := newReal(t, t.TempDir(), Config{})
	r.ownedBy(1, "*.x", Content)
	give := func(name string, uid int) { must(0, os.Chown(r.path(name), uid, -1)) }
	r.write("a.tmp", "one")
	give("a.tmp", 1)
	must(0, os.Rename(r.path("a.tmp"), r.path("a.x")))
	r.sink.waitFor(t, "+a=one")
	give("a.x", 2)
	r.sink.waitFor(t, "-a")
	r.lastError("a.x belongs to " + userName(2) + ", and the watch is for files of " + userName(1))
	give("a.x", 1)
	r.sink.waitFor(t, "+a=one")
	r.lastError("")
	r.logs.expect(t, 1, "chown -h daemon "+r.path("a.x"))
	must(0, os.Remove(r.path("a.x")))
	r.sink.waitFor(t, "-a")
	r.write("secret", "another's")
	give("secret", 2)
	must(0, os.Link(r.path("secret"), r.path("link.x")))
	r.write("b.tmp", "after it")
	give("b.tmp", 1)
	must(0, os.Rename(r.path("b.tmp"), r.path("b.x")))
	r.sink.waitFor(t, "+b=after it")
	if got := r.sink.take(); len(got) > 0 {
		t.Errorf("told %q", got)
	}
	r.logs.expect(t, 1, "/link.x")
	r.lastError("link.x belongs to " + userName(2) + ", and the watch is for files of " + userName(1))
	must(0, os.Remove(r.path("link.x")))
	must(0, os.Remove(r.path("b.x")))
	r.sink.waitFor(t, "-b")
	r.lastError("")
}

// lastError checks what is said to be wrong with the watch.
func (r *real) lastError(want string) {
	r.t.Helper()
	if got := r.f.Status()[0].LastError; (got == "") != (want == "") || !strings.HasSuffix(got, want) {
		r.t.Errorf("the last error is %q, want %q", got, want)
	}
}

// TestWhatIsRefusedIsTheLastError until it is mended or gone, beside what else is wrong.
func TestWhatIsRefusedIsTheLastError(t *testing.T) {
	const leaves = " is a symlink that leaves the directory, and is not followed"
	r := newReal(t, t.TempDir(), Config{manual: true})
	r.ownedBy(os.Getuid(), "*.x", Touches)
	r.write("fine.x", "")
	wants := func(want string) {
		t.Helper()
		r.f.lookAll()
		r.lastError(want)
	}
	wants("")
	link := func(name string) { must(0, os.Symlink("/etc/passwd", r.path(name))) }
	remove := func(name string) { must(0, os.Remove(r.path(name))) }
	link("a.x")
	link("other.y") // which is for nobody
	wants("a.x" + leaves)
	link("b.x")
	wants("b.x" + leaves)
	remove("a.x")
	wants("b.x" + leaves)
	remove("b.x")
	wants("")
	link("c.x")
	wants("c.x" + leaves)
	remove("c.x")
	r.write("c.x", "its own")
	wants("")
	link("d.x")
	wants("d.x" + leaves)
	remove("d.x")
	must(0, os.Mkdir(r.path("d.x"), 0o755))
	wants("")
	for i := range 2 * maxFaults {
		link(strconv.Itoa(i) + ".x")
	}
	r.f.lookAll()
	for i := range 2*100 - 1 {
		remove(strconv.Itoa(i) + ".x")
	}
	r.f.lookAll()
	wants(strconv.Itoa(2*maxFaults-1) + ".x" + leaves) // there was no room for it at first
	must(0, os.Rename(r.dir, r.dir+".away"))
	wants("no such file or directory")
	must(0, os.Mkdir(r.dir, 0o755))
	wants("")
}
