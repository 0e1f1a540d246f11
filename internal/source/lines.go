package source

import (
	"sync/atomic"
	"time"

	"github.com/spf13/afero"
)

const (
	// linger is how long a file that was rotated away or deleted is still read:
	// its writer has it open.
	linger      = 5 * time.Second
	lingerCheck = 250 * time.Millisecond
	// maxLingering bounds the files of a watch that are gone and still read.
	maxLingering = 1024
	// maxHeld bounds the descriptors of one process, but for files that linger.
	// Beyond it a file is opened for each look, and found by its inode when it was
	// rotated.
	maxHeld = 512
)

// budget counts descriptors.
type budget struct{ left atomic.Int64 }

func (b *budget) take() bool {
	if b.left.Add(-1) >= 0 {
		return true
	}
	b.left.Add(1)
	return false
}

func (b *budget) give() { b.left.Add(1) }

// lines makes events of lines that are appended to files.
type lines struct {
	tails map[string]*tail
	// byIno has every file that is read, also one that lingers: a file that
	// appears under a new name may be an old one that was renamed.
	byIno       map[uint64]*tail
	lingering   []*tail
	checked     time.Time
	unfinished  map[string]struct{} // names to look at again without being asked
	descriptors *budget
	buf         []byte
}

// tail is how far a file has been read.
type tail struct {
	name string
	ino  uint64
	born int64      // with the inode's number it names the file for ever; 0: not known
	file afero.File // nil: opened for each look

	offset int64    // everything before it was handed over or skipped
	print  []byte   // the last bytes before offset, by which a rewritten file shows
	split  splitter //

	begin int64 // ≥ 0: not begun; begins after the last newline before this size
	last  sight // as of the last reading
	racy  bool  //
	more  bool  // the last reading stopped before the end

	adrift bool // its directory went away; the file cannot be in the next one

	after *tail     // the same file under its old name, under which it still lingers
	heir  *tail     // the reverse: who goes on with this file
	until time.Time // when it stops lingering; zero: it does not
	ended bool
}

func (l *lines) saw(v *view, name string, s sight) {
	t := l.tails[name]
	if t != nil && t.ino != s.ino {
		l.retire(v, t)
		t = nil
	}
	if t == nil {
		if t = l.arrive(v, name, s); t == nil {
			return
		}
	}
	if t.after != nil {
		if !t.after.ended {
			return
		}
		l.inherit(t)
	}
	if s == t.last && !t.racy && !t.more && !v.told {
		return
	}
	l.read(v, t)
}

// arrive makes a tail for a name that is new, or that another file has now. It returns
// nil where the file has lost the name again meanwhile; then we look once more.
func (l *lines) arrive(v *view, name string, s sight) *tail {
	t := &tail{name: name, ino: s.ino, begin: -1}
	if v.first && (!v.w.late || v.wasBefore(s)) {
		t.begin = s.size
	}
	if old := l.byIno[s.ino]; old != nil && l.isNew(v, name, old) {
		delete(l.byIno, s.ino)
	}
	if old := l.byIno[s.ino]; old != nil && old.until.IsZero() {
		// We know this file by another name. Look there first: it was renamed
		// (then it lingers), or both names are links to it.
		v.look(l, old.name)
		if still := l.byIno[s.ino]; still == old && old.until.IsZero() {
			if s.links == 1 && !v.both(name, old.name, s.ino) {
				l.later(t)
				return nil
			}
			t.born, t.offset, t.print, t.split, t.begin = old.born, old.offset, old.print, old.split, old.begin
			l.tails[name] = t
			return t
		}
	}
	if old := l.byIno[s.ino]; old != nil {
		t.after, t.begin, old.heir = old, -1, t
	} else if s.ino != 0 {
		l.byIno[s.ino] = t
	}
	l.tails[name] = t
	return t
}

// isNew reports that a file is another than the one that had its inode number. Who
// keeps that one open keeps its number.
func (l *lines) isNew(v *view, name string, old *tail) bool {
	if old.file != nil || old.born == 0 {
		return false
	}
	f, s, err := v.open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	return s.ino == old.ino && born(f) != old.born
}

// inherit goes on where the file was left under its old name.
func (l *lines) inherit(t *tail) {
	old := t.after
	t.after = nil
	t.born, t.offset, t.print, t.split, t.begin = old.born, old.offset, old.print, old.split, old.begin
	t.last, t.more = sight{}, true
	if t.ino != 0 && l.byIno[t.ino] == nil {
		l.byIno[t.ino] = t
	}
}

// retire reads what a file still has that lost its name, and lets it linger.
func (l *lines) retire(v *view, t *tail) {
	delete(l.tails, t.name)
	if t.after != nil { // the old name's tail does the reading
		if t.after.heir == t {
			t.after.heir = nil
		}
		return
	}
	l.find(v, t)
	l.drain(v, t)
	t.until = v.d.files.now().Add(linger) // the look may have begun long ago
	l.lingering = append(l.lingering, t)
	if len(l.lingering) > maxLingering {
		l.end(v, l.lingering[0])
		l.lingering = l.lingering[1:]
	}
}

// find opens a renamed file whose descriptor we did not hold.
func (l *lines) find(v *view, t *tail) {
	if t.file != nil || t.ino == 0 || t.adrift {
		return
	}
	if v.inodes == nil {
		v.inodes = v.d.inodes()
	}
	name, ok := v.inodes[t.ino]
	if !ok {
		return
	}
	f, s, err := v.open(name)
	if err != nil {
		return
	}
	if s.ino != t.ino || t.born != 0 && t.born != born(f) {
		f.Close()
		return
	}
	l.descriptors.left.Add(-1) // not take: nobody else will ever open it
	t.file = f
}

// drain reads a file without a name to its present end.
func (l *lines) drain(v *view, t *tail) {
	for t.file != nil {
		if l.read(v, t); !t.more || v.stopped() {
			return
		}
	}
}

func (l *lines) missing(v *view, name string) {
	if t := l.tails[name]; t != nil {
		l.retire(v, t)
	}
}

func (l *lines) again(v *view) (next time.Time) {
	if len(l.lingering) > 0 && v.now.Sub(l.checked) >= lingerCheck {
		l.checked = v.now
		stay := l.lingering[:0]
		for _, t := range l.lingering {
			l.drain(v, t)
			if v.now.Before(t.until) {
				stay = append(stay, t)
			} else {
				l.end(v, t)
			}
		}
		clear(l.lingering[len(stay):])
		l.lingering = stay
	}
	todo := l.unfinished
	l.unfinished = nil
	for name := range todo {
		v.d.rest()
		v.look(l, name)
	}
	if len(l.unfinished) > 0 {
		return v.now
	}
	if len(l.lingering) > 0 {
		return l.checked.Add(lingerCheck)
	}
	return time.Time{}
}

// later has a file looked at again without being asked.
func (l *lines) later(t *tail) {
	if l.unfinished == nil {
		l.unfinished = map[string]struct{}{}
	}
	l.unfinished[t.name] = struct{}{}
}

// end is the end of lingering: the last line will not get its newline.
func (l *lines) end(v *view, t *tail) {
	t.ended = true
	if t.heir == nil {
		l.lastLine(v, t)
	} else {
		l.later(t.heir)
	}
	l.drop(t)
	if l.byIno[t.ino] == t {
		delete(l.byIno, t.ino)
	}
	if l.tails[t.name] == nil {
		v.gone(t.name)
	}
}

func (l *lines) drop(t *tail) {
	if t.file != nil {
		t.file.Close()
		t.file = nil
		l.descriptors.give()
	}
}

func (l *lines) suspend(v *view) {
	for _, t := range l.lingering {
		l.drain(v, t)
		l.end(v, t)
	}
	l.lingering = nil
	for _, t := range l.tails {
		l.drain(v, t)
		l.drop(t)
		t.adrift = true
	}
}

func (l *lines) close() {
	for _, t := range l.lingering {
		l.drop(t)
	}
	for _, t := range l.tails {
		l.drop(t)
	}
}

func (l *lines) known(f func(string)) {
	for name := range l.tails {
		f(name)
	}
}

func (l *lines) knows(name string) bool { return l.tails[name] != nil }
func (l *lines) count() int             { return len(l.tails) }
