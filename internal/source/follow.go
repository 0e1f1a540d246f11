package source

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

// The modes of a directory.
const (
	inotify = "inotify"
	polling = "polling"
)

// follow has inotify tell us of changes in the directory, or finds out why it
// cannot and polls.
func (d *dir) follow(now time.Time) {
	d.unfollow()
	d.mode, d.why, d.fickle, d.retry = polling, "", false, time.Time{}
	dir, ok := d.fs.(OSDir)
	if !ok {
		d.why = "not a directory of the operating system"
		return
	}
	path, err := dir.Path()
	if err != nil {
		d.why = err.Error()
		return
	}
	kind := kindOfFS(path)
	d.fickle = kind.fickle
	switch {
	case kind.poll != "":
		d.why = kind.poll
		return
	case d.files.noInotify:
		d.why = "inotify is switched off"
		return
	}
	d.setPaths(func(in *inbox) { in.path = path })
	if err := d.watch(path); err != nil {
		d.setPaths(func(in *inbox) { in.path = "" })
		d.why = fmt.Sprintf("inotify: %v", err)
		if atLimit(err) {
			d.why = "inotify limit reached"
			d.files.warnLimit(err)
		}
		d.retry = now.Add(limitRetry)
		return
	}
	d.mode, d.why = inotify, "local file system"
}

// watch has inotify tell us of what happens in path. Where there is no instance left
// for us we share one.
func (d *dir) watch(path string) error {
	err := d.notify.watch(path, d)
	if d.notify != d.files.notify && errors.Is(err, errNoInstance) {
		d.notify = d.files.notify
		err = d.notify.watch(path, d)
	}
	return err
}

func (d *dir) unfollow() {
	if path := d.setPaths(func(in *inbox) { in.path = "" }).path; path != "" {
		d.notify.unwatch(path, d)
	}
}

// followParent has inotify tell us when the directory appears or is replaced.
// Its own watch is not enough for that: a deleted directory says so only when
// nobody has it open any more, and we do. It reports whether the parent was not
// watched before.
func (d *dir) followParent() bool {
	if d.files.noInotify {
		return false
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(d.path))
	if err != nil || kindOfFS(parent).poll != "" {
		d.unfollowParent()
		return false // we look once a second anyway
	}
	before := d.setPaths(func(in *inbox) { in.parent = parent }).parent
	if before != "" && before != parent {
		d.notify.unwatch(before, d)
	}
	// Also when it is the same path: it may be another directory.
	if err := d.watch(parent); err != nil {
		d.setPaths(func(in *inbox) { in.parent = "" })
		return false
	}
	return before != parent
}

func (d *dir) unfollowParent() {
	if parent := d.setPaths(func(in *inbox) { in.parent = "" }).parent; parent != "" {
		d.notify.unwatch(parent, d)
	}
}

// paths is what inotify watches for a directory.
type paths struct{ path, parent string }

// setPaths changes them and returns what they were before.
func (d *dir) setPaths(set func(*inbox)) paths {
	d.inbox.mu.Lock()
	defer d.inbox.mu.Unlock()
	before := paths{d.inbox.path, d.inbox.parent}
	set(&d.inbox)
	return before
}

// warnLimit says once per process how to raise inotify's limits.
func (f *Files) warnLimit(err error) {
	f.limitOnce.Do(func() {
		f.logger().Warn("inotify limit reached; directories are polled instead", zap.Error(err),
			zap.Strings("limits", []string{"fs.inotify.max_user_watches", "fs.inotify.max_user_instances"}),
			zap.String("command", "sysctl -w fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=1024"))
	})
}
