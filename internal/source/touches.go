package source

import "time"

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
		return &touches{seen: map[string]touch{}, newborn: map[string]time.Time{}}
	}
}

// touches makes events of newer modification times.
type touches struct {
	seen map[string]touch
	// newborn are files that appeared just now, with the time when that is told.
	// touch() makes a file and then sets its time, and whoever copies one does so
	// much later: that is one event, also where our look falls in between.
	newborn map[string]time.Time
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
	due, newborn := t.newborn[name]
	switch {
	case newborn && due.After(v.now):
	case newborn:
		delete(t.newborn, name)
		v.give(name, s, nil, false)
	case !known && v.wasBefore(s):
		v.give(name, s, nil, true)
	case !known:
		t.newborn[name] = v.now.Add(settle)
	case s.ino != old.ino, s.touched(old.sight),
		old.racy && v.told && s == old.sight:
		v.give(name, s, nil, false)
	}
}

func (t *touches) again(v *view) (next time.Time) {
	for name, due := range t.newborn {
		if !due.After(v.now) {
			v.look(t, name)
		}
	}
	for _, due := range t.newborn {
		next = sooner(next, due)
	}
	return next
}

// missing tells of a file that lived too briefly to be looked at twice, too: it
// was touched.
func (t *touches) missing(v *view, name string) {
	if !t.knows(name) {
		return
	}
	if _, ok := t.newborn[name]; ok {
		delete(t.newborn, name)
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
