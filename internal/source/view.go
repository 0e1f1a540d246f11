package source

import (
	"errors"
	"time"

	"github.com/spf13/afero"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

var (
	errTooLarge   = errors.New("larger than an event may be")
	errNotRegular = errors.New("not a regular file")
	errForeign    = errors.New("another user's file")
)

// view is one look at a directory on behalf of one watch.
type view struct {
	d   *dir
	w   *watcher
	now time.Time
	// wall is what the machine's clock shows, which files have their times from. It
	// may be set: how long something takes is for now to say.
	wall time.Time
	// first: this watch never saw the directory before.
	first bool
	// told: inotify named the file that is looked at.
	told bool
	out  batch
	// inodes are the names of the directory's files, if somebody asked.
	inodes map[uint64]string
	// limit is what MaxEvent said when it was first asked.
	limit int
}

// wasBefore tells what was there before we looked from news. Where the
// directory was there at the time of Add, all that precedes the first look was
// before; that it came later means that things in it may be new.
func (v *view) wasBefore(s sight) bool {
	if !v.first {
		return false
	}
	// By the clock as it was then, and as it is set now: what is newer by either is
	// news.
	added := min(v.w.added.UnixNano(), v.wall.Add(-v.now.Sub(v.w.added)).UnixNano())
	if v.w.late {
		// A file's time comes from a clock that may be a tick behind ours.
		return s.mtime < added-int64(tick)
	}
	return s.mtime <= added
}

// give adds a draft. The data must be the caller's to give away.
func (v *view) give(name string, s sight, data []byte, before bool) {
	channel, ok := v.w.watch.Channel(name)
	if !ok {
		return
	}
	d := hub.Draft{Channel: channel, Data: data, Changed: s.changed(), Source: hub.FileSource}
	if v.w.watch.What != Touches {
		d.State = v.w.watch.What == Content
		d.ContentType = contentType(name, data)
	}
	v.out.add(d, before, v.flush)
}

func (v *view) gone(name string) {
	if channel, ok := v.w.watch.Channel(name); ok {
		v.flush()
		v.w.tell(func(sink Sink) { sink.Gone(channel) })
	}
}

func (v *view) flush() {
	if len(v.out.drafts) == 0 {
		return
	}
	out := v.out
	v.out = batch{}
	v.w.tell(func(sink Sink) {
		if out.observe {
			sink.Observe(out.drafts)
		} else {
			sink.Publish(out.drafts)
		}
	})
	if len(out.drafts) >= manyDrafts {
		v.d.rest()
	}
}

// manyDrafts are those after which there is a rest: short lines are many in what is read
// at one go, and to hand them over is more work than to read them.
const manyDrafts = 256

// defaultMaxEvent stands in for a sink without a limit: we do need one.
const defaultMaxEvent = 1 << 20

func (v *view) maxEvent() int {
	if v.limit == 0 {
		v.limit = defaultMaxEvent
		v.w.tell(func(sink Sink) {
			if n := sink.MaxEvent(); n > 0 {
				v.limit = n
			}
		})
	}
	return v.limit
}

// look has k look at one file.
func (v *view) look(k kind, name string) {
	switch s, ok, err := v.d.stat(name); {
	case err != nil: // not known to be there, nor to be gone
	case ok && !v.foreign(name, s):
		k.saw(v, name, s)
	default:
		k.missing(v, name)
	}
}

// both reports whether two names are links to that file, which says that it has one
// name: by symlinks, or where the file system does not count. A file that is renamed
// all the time may be seen under both, but not again and again.
func (v *view) both(one, other string, ino uint64) bool {
	for range 8 {
		for _, name := range []string{one, other} {
			if s, ok, err := v.d.stat(name); err == nil && (!ok || s.ino != ino) {
				return false
			}
		}
	}
	return true
}

// open opens a regular file. Its errors are told.
func (v *view) open(name string) (afero.File, sight, error) {
	f, err := v.d.fs.Open(name)
	if err != nil {
		v.d.unreadable(v, name, err)
		return nil, sight{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular // it was swapped in since the stat; the next one ignores it
	}
	if err != nil {
		f.Close()
		return nil, sight{}, err
	}
	s := v.d.sightOf(info)
	if v.foreign(name, s) { // it was swapped in, too
		f.Close()
		return nil, sight{}, errForeign
	}
	v.d.readable(v, name)
	return f, s, nil
}

// foreign reports, and tells, that a file belongs to another user than the watch is
// for: it counts as none.
func (v *view) foreign(name string, s sight) bool {
	if v.w.owner == anyOwner {
		return false
	}
	if s.owner == v.w.owner {
		v.d.warned.mended(name, causeForeign)
		v.w.mend(name, causeForeign)
		return false
	}
	v.d.foreign(v, name, s.owner)
	return true
}

// stopped says that nobody wants the answer any more.
func (v *view) stopped() bool { return v.d.ctx.Err() != nil || v.w.isRemoved() }
