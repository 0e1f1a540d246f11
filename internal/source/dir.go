package source

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/afero"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

const (
	// gather is how long we wait after inotify woke us: touch(1) of a new file
	// is two events, file_put_contents three.
	gather = time.Millisecond
	// missingPoll is how often we look for a directory that is not there.
	missingPoll = time.Second
	// limitRetry is how often inotify's limits are tried again.
	limitRetry = time.Minute
)

// dir is one directory and all that is watched in it. Its goroutine alone looks
// at it; others write to its inbox.
type dir struct {
	files  *Files
	path   string
	base   string
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	inbox  inbox
	// notify tells of changes. A directory that owns it neither waits behind the
	// changes of another one, nor loses its own to the queue that those fill.
	notify     *notifier
	ownsNotify bool // under Files.mu

	// mu is held during a look. It is there for tests, which look by hand.
	mu       sync.Mutex
	fs       afero.Fs // nil: the directory is missing
	fickle   bool     // inode numbers mean nothing here
	mode     string
	why      string
	retry    time.Time // when to try inotify again
	nextScan time.Time
	rested   time.Time     // when this look began, or went on after a rest
	rests    time.Duration // all that it ever rested
	effort   *rate.Limiter
	first    bool // somebody waits for this look: it does not rest
	links    map[string]struct{}
	warned   warnings
	views    []*view // of the look that is going on
}

// run looks whenever inotify or the time says so.
func (d *dir) run() {
	defer close(d.done)
	defer d.shut()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait := max(d.look().Sub(d.files.now()), gather)
		timer.Reset(wait)
		select {
		case <-d.ctx.Done():
			return
		case <-timer.C:
		case <-d.inbox.wake:
			timer.Reset(gather)
			select {
			case <-d.ctx.Done():
				return
			case <-timer.C:
			}
		}
	}
}

// look does what there is to do and says when to look again at the latest.
func (d *dir) look() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	ws, dead, m := d.inbox.take()
	for _, w := range dead {
		w.kind.close()
	}
	now := d.files.now()
	d.rested, d.first = time.Now(), false
	views := make([]*view, len(ws))
	for i, w := range ws {
		d.first = d.first || !w.looked
		views[i] = &view{d: d, w: w, now: now, wall: d.files.wall(now), first: !w.looked}
		m.scan = m.scan || !w.looked
	}
	d.views = views
	defer func() { d.views = nil }()
	m.scan = m.scan || m.lost || !now.Before(d.nextScan)
	if d.fs != nil && (m.self || m.scan && d.moved()) {
		d.leave(views)
	}
	if d.fs == nil {
		m.scan = true
		d.enter(now, ws)
	}
	if d.fs == nil {
		return d.wait(now, ws)
	}
	if d.mode == polling && !d.retry.IsZero() && !now.Before(d.retry) {
		d.follow(now)
		m.scan = m.scan || d.mode == inotify
	}
	d.announce(ws)
	var err error
	if m.scan {
		err = d.scan(views, m)
	} else {
		d.lookAt(views, m.names)
	}
	if err != nil {
		d.leave(views)
		d.absent(now, ws, err)
		return d.wait(now, ws)
	}
	d.present(ws)
	return d.finish(views)
}

// finish has the kinds do what they put off, and hands everything over.
func (d *dir) finish(views []*view) time.Time {
	next := d.nextScan
	for _, v := range views {
		v.told = false
		next = sooner(next, v.w.kind.again(v))
		v.flush()
		v.w.looked = true
		v.w.mu.Lock()
		v.w.files = v.w.kind.count()
		v.w.mu.Unlock()
		v.w.ready()
	}
	return next
}

// wait is what a look ends with where there is nothing to look at.
func (d *dir) wait(now time.Time, ws []*watcher) time.Time {
	for _, w := range ws {
		w.late = w.late || !w.looked
		w.ready()
	}
	d.nextScan = now.Add(missingPoll)
	return d.nextScan
}

func (d *dir) moved() bool {
	os, ok := d.fs.(OSDir)
	return ok && os.Moved()
}

// enter opens the directory, and before anything is read of it has inotify tell
// of what will change.
func (d *dir) enter(now time.Time, ws []*watcher) {
	var err error
	for range 3 { // it may be replaced between the steps
		news := d.followParent()
		if d.fs, err = d.files.openDir(d.path); err != nil {
			d.fs = nil
			if news {
				continue // it may have come before the parent was watched
			}
			break
		}
		d.follow(now)
		if !d.moved() {
			return
		}
		d.leave(nil)
		err = fs.ErrNotExist
	}
	d.absent(now, ws, err)
}

// leave lets go of a directory that is not the one at our path any more.
func (d *dir) leave(views []*view) {
	for _, v := range views {
		v.w.kind.suspend(v)
		v.flush()
	}
	d.unfollow()
	d.forgetLinks()
	if c, ok := d.fs.(OSDir); ok {
		c.Close()
	}
	d.fs = nil
}

// announce says once per watch, and when it changes, how it is watched.
func (d *dir) announce(ws []*watcher) {
	for _, w := range ws {
		if said := d.mode + d.why; w.logged != said {
			w.logged = said
			d.logger().Info("watching files", zap.String("hub", w.key), zap.String("glob", w.watch.Glob),
				zap.String("what", string(w.watch.What)), zap.String("mode", d.mode), zap.String("why", d.why))
		}
		w.mu.Lock()
		w.mode, w.why = d.mode, d.why
		w.mu.Unlock()
	}
}

// shut closes everything at the end of the goroutine.
func (d *dir) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	ws, dead, _ := d.inbox.take()
	for _, w := range append(dead, ws...) {
		w.kind.close()
		w.ready()
	}
	d.unfollow()
	d.unfollowParent()
	if d.notify != d.files.notify {
		d.notify.close()
	}
	if c, ok := d.fs.(OSDir); ok {
		c.Close()
	}
}

// sightOf is sightOf without the inode number where that means nothing.
func (d *dir) sightOf(info fs.FileInfo) sight {
	s := sightOf(info)
	if d.fickle {
		s.ino = 0
	}
	return s
}

// stat looks at one name. ok is false for what is no regular file, or none that
// we may read; an error means that we cannot know.
func (d *dir) stat(name string) (s sight, ok bool, err error) {
	now := d.files.now()
	info, link, err := d.info(name)
	switch {
	case err == nil:
		d.warned.mended(name, causeOutside)
		if !info.Mode().IsRegular() {
			d.mended(name, "")
			return d.sightOf(info), false, nil
		}
		d.mended(name, causeOutside)
		return d.sightOf(info), true, nil
	case errors.Is(err, fs.ErrNotExist):
		d.mended(name, "")
		return sight{}, false, nil
	case link:
		d.outside(now, name, err)
		return sight{}, false, nil
	case errors.Is(err, fs.ErrPermission):
		// The directory lists but cannot be entered: r without x.
		err = &fs.PathError{Op: "stat", Path: filepath.Join(d.path, name), Err: fs.ErrPermission}
	}
	return sight{}, false, err
}

// info follows symlinks, and keeps in mind which names are any: inotify tells
// of the name that was written to, not of the links to it.
func (d *dir) info(name string) (info fs.FileInfo, link bool, err error) {
	if l, ok := d.fs.(afero.Lstater); ok {
		info, _, err = l.LstatIfPossible(name)
		if err != nil {
			return nil, false, err
		}
		if link = info.Mode()&fs.ModeSymlink != 0; !link {
			return info, false, nil
		}
		d.keepLink(name)
	}
	info, err = d.fs.Stat(name)
	return info, link, err
}
