package source

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// kind is what a watch does with what is seen of files. A directory's goroutine
// calls it, one call at a time.
type kind interface {
	// saw is told how a matching regular file looks now.
	saw(v *view, name string, s sight)
	// missing is told that there is no such file (any more).
	missing(v *view, name string)
	// again does what was put off and is due, and says when to be called next
	// at the latest; the zero time is never.
	again(v *view) time.Time
	// knows reports whether the name was seen and is not missing.
	knows(name string) bool
	// known calls f for all such names; f may call missing.
	known(f func(name string))
	count() int
	// suspend lets go of descriptors: the directory is gone or another one
	// stands in its place. What is known stays, for comparison.
	suspend(v *view)
	close()
}

func newKind(what What, descriptors *budget) kind {
	switch what {
	case Content:
		return &contents{pages: map[string]page{}, waiting: map[string]wait{}}
	case Lines:
		return &lines{tails: map[string]*tail{}, byIno: map[uint64]*tail{}, descriptors: descriptors}
	default:
		return &touches{seen: map[string]touch{}, early: map[string]early{}}
	}
}

// touches makes events of newer modification times.
type touches struct {
	seen  map[string]touch
	early map[string]early
}

// early is a touch of which it is too early to tell, for one of two reasons.
// touch() makes a file and then sets its time, and whoever copies one does so much
// later: that is one event, also where our look falls in between. And where files
// are polled nobody tells of a second touch in the same tick, which leaves no trace.
type early struct {
	due   time.Time
	mtime int64
}

type touch struct {
	sight
	// racy: at our last look the touch was so fresh that another one could
	// leave no trace in the inode.
	racy bool
}

func (t *touches) saw(v *view, name string, s sight) {
	old, known := t.seen[name]
	now := touch{sight: s}
	// Only a touch sets both clocks to the same time; after a chmod or
	// `touch -d` they differ, and inotify's word would mean nothing.
	now.racy = s.mtime == s.ctime && s.racy(v.wall)
	t.seen[name] = now
	e, early := t.early[name]
	switch {
	case early && e.due.After(v.now):
	case early:
		delete(t.early, name)
		if s.mtime != e.mtime && v.d.mode != inotify { // this one is as early again
			t.putOff(v, name, s, settleMost)
		}
		v.give(name, s, nil, false)
	case !known && v.wasBefore(s):
		v.give(name, s, nil, true)
	case !known:
		t.putOff(v, name, s, settle)
	case s.ino != old.ino, s.touched(old.sight):
		if v.told {
			v.give(name, s, nil, false)
		} else {
			t.putOff(v, name, s, settle)
		}
	case old.racy && v.told && s == old.sight:
		v.give(name, s, nil, false)
	}
}

func (t *touches) putOff(v *view, name string, s sight, by time.Duration) {
	t.early[name] = early{v.now.Add(by), s.mtime}
}

func (t *touches) again(v *view) (next time.Time) {
	due := slices.SortedFunc(maps.Keys(t.early), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.early[a].mtime, t.early[b].mtime), cmp.Compare(a, b))
	})
	for _, name := range due {
		if !t.early[name].due.After(v.now) {
			v.d.rest()
			v.look(t, name)
		}
	}
	for _, e := range t.early {
		next = sooner(next, e.due)
	}
	return next
}

// missing tells of a file that lived too briefly to be looked at twice, too: it
// was touched.
func (t *touches) missing(v *view, name string) {
	if !t.knows(name) {
		return
	}
	if _, ok := t.early[name]; ok {
		delete(t.early, name)
		v.give(name, t.seen[name].sight, nil, false)
	}
	delete(t.seen, name)
	v.gone(name)
}

func (t *touches) known(f func(string)) {
	for name := range t.seen {
		f(name)
	}
}

func (t *touches) knows(name string) bool { _, ok := t.seen[name]; return ok }
func (t *touches) count() int             { return len(t.seen) }
func (t *touches) suspend(*view)          {}
func (t *touches) close()                 {}
