package source

import (
	"errors"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

// notifier is the process's one inotify instance. It tells directories what
// happened in them and never waits for one.
type notifier struct {
	logger   func() *zap.Logger
	overflow func()

	// ops orders changes of the watcher. It is not mu, because the reader needs
	// mu: fsnotify can wait for its reader while it holds the lock that Add
	// wants.
	ops     sync.Mutex
	watcher *fsnotify.Watcher
	closed  bool
	done    chan struct{}

	mu   sync.Mutex
	dirs map[string]map[*dir]struct{} // by resolved path
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
		watcher, err := fsnotify.NewWatcher()
		if err != nil {
			return err
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
				n.logger().Warn("inotify reports an error; the regular scans go on", zap.Error(err))
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

// atLimit reports an error that a sysctl mends.
func atLimit(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE)
}
