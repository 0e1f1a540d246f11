package source

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

const (
	// maxInstances is how many directories have an inotify instance of their own, of
	// the 128 that Linux gives a user. Those beyond share one.
	maxInstances = 32
	// newsPerSecond is how many of inotify's events are read for a directory that has
	// an instance, and newsAtOnce how many after a pause. What is more the kernel
	// merges, or drops: then everything is looked at, and whoever floods pays for it.
	newsPerSecond, newsAtOnce = 50_000, 16_384
	// overflowQuiet is the least time between two warnings of lost events, and between
	// two of other errors of inotify.
	overflowQuiet = time.Minute
)

// notifier is an inotify instance, of one directory or of several. It tells
// directories what happened in them and never waits for one.
type notifier struct {
	logger   func() *zap.Logger
	overflow func()
	open     func() (*fsnotify.Watcher, error)
	// pace bounds how fast it is read. It is nil where several directories share it.
	pace *rate.Limiter

	// ops orders changes of the watcher. It is not mu, because the reader needs
	// mu: fsnotify can wait for its reader while it holds the lock that Add
	// wants.
	ops     sync.Mutex
	watcher *fsnotify.Watcher
	closed  bool
	done    chan struct{}

	// errors bounds what is logged of them.
	errors rate.Sometimes

	mu   sync.Mutex
	dirs map[string]map[*dir]struct{} // by resolved path
}

// errNoInstance is for a notifier that the kernel gives no instance.
var errNoInstance = errors.New("no instance")

func (f *Files) newNotifier(overflow func()) *notifier {
	return &notifier{
		logger: f.logger, overflow: overflow, open: f.inotify, dirs: map[string]map[*dir]struct{}{},
		errors: rate.Sometimes{First: 1, Interval: overflowQuiet},
	}
}

// watch has d told of what happens in path, a path without symlinks (fsnotify
// knows two paths of one directory by the first one only).
func (n *notifier) watch(path string, d *dir) error {
	n.ops.Lock()
	defer n.ops.Unlock()
	if n.closed {
		return fsnotify.ErrClosed
	}
	if n.watcher == nil {
		watcher, err := n.open()
		if err != nil {
			return fmt.Errorf("%w: %w", errNoInstance, err)
		}
		n.watcher, n.done = watcher, make(chan struct{})
		go n.read(watcher)
	}
	n.mu.Lock()
	if n.dirs[path] == nil {
		n.dirs[path] = map[*dir]struct{}{}
	}
	n.dirs[path][d] = struct{}{}
	n.mu.Unlock()
	// Also when it is watched: it may have become another directory, and the
	// kernel drops a watch together with its directory.
	if err := n.watcher.Add(path); err != nil {
		n.forget(path, d)
		return err
	}
	return nil
}

func (n *notifier) unwatch(path string, d *dir) {
	n.ops.Lock()
	defer n.ops.Unlock()
	if n.forget(path, d) && n.watcher != nil {
		_ = n.watcher.Remove(path) // it is gone already when the directory is
	}
}

// forget reports whether d was the last.
func (n *notifier) forget(path string, d *dir) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.dirs[path][d]; !ok {
		return false
	}
	delete(n.dirs[path], d)
	if len(n.dirs[path]) > 0 {
		return false
	}
	delete(n.dirs, path)
	return true
}

func (n *notifier) read(watcher *fsnotify.Watcher) {
	defer close(n.done)
	for {
		select {
		case event, ok := <-watcher.Events:
			if !ok {
				return
			}
			if n.pace != nil {
				if wait := n.pace.Reserve().Delay(); wait > time.Millisecond {
					time.Sleep(wait) // for some fifty at a time
				}
			}
			n.dispatch(event)
		case err, ok := <-watcher.Errors:
			switch {
			case !ok:
				return
			case errors.Is(err, fsnotify.ErrEventOverflow):
				n.overflow()
			case errors.Is(err, syscall.EINVAL):
				// fsnotify ended a watch that the kernel had ended already: the
				// directory was moved and deleted.
			default:
				n.errors.Do(func() {
					n.logger().Warn("inotify reports an error; the regular scans go on", zap.Error(err))
				})
			}
		}
	}
}

func (n *notifier) dispatch(event fsnotify.Event) {
	path := filepath.Clean(event.Name)
	parent, base := filepath.Dir(path), filepath.Base(path)
	n.mu.Lock()
	defer n.mu.Unlock()
	for d := range n.dirs[path] {
		if event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename) {
			d.heardSelf()
		}
	}
	for d := range n.dirs[parent] {
		d.heard(parent, base)
	}
}

func (n *notifier) close() {
	n.ops.Lock()
	watcher := n.watcher
	n.closed = true
	n.ops.Unlock()
	if watcher != nil {
		watcher.Close()
		<-n.done
	}
}

// overflowed is told that inotify lost events of a directory, or with nil of all that
// share an instance: then everything in them is looked at.
func (f *Files) overflowed(only *dir) {
	f.overflows.Add(1)
	now := f.now().UnixNano()
	if last := f.overflowLog.Load(); now-last >= int64(overflowQuiet) && f.overflowLog.CompareAndSwap(last, now) {
		f.logger().Warn("inotify queue overflowed; scanning the directories that it was for",
			zap.Int64("overflows", f.overflows.Load()),
			zap.String("command", "sysctl -w fs.inotify.max_queued_events=131072"))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.dirs {
		if only == nil || only == d {
			d.inbox.post(func(m *mail) { m.lost = true })
		}
	}
}

// atLimit reports an error that a sysctl mends.
func atLimit(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE)
}
