package source

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/spf13/afero"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

const (
	// firstLook is how long Add waits for a slow file system.
	firstLook = 2 * time.Second
	// lastLook is how long Remove and Close wait for one.
	lastLook = 2 * time.Second
)

// ErrClosed is what Add returns after Close.
var ErrClosed = errors.New("file source is closed")

// Config is what [NewFiles] needs. Its zero value is ready to use.
type Config struct {
	// OpenDir opens a directory as the root of a file system: "." lists it. By
	// default nothing leads out of it (see [os.Root]). Where the result is an
	// [OSDir] it can be watched by inotify; else it is polled.
	OpenDir func(dir string) (afero.Fs, error)
	// Logger is the first logger; see [Files.SetLogger].
	Logger *zap.Logger
	// NoInotify has every directory polled.
	NoInotify bool

	// For tests.
	now      func() time.Time
	step     func() time.Duration // by how much the machine's clock was set since
	poll     time.Duration
	safety   time.Duration
	maxFiles int
	manual   bool // no goroutines: look by lookAll
	inotify  func() (*fsnotify.Watcher, error)
}

// Files watches files for all hubs of the process.
type Files struct {
	openDir   func(string) (afero.Fs, error)
	noInotify bool
	now       func() time.Time
	step      func() time.Duration
	poll      time.Duration
	safety    time.Duration
	maxFiles  int
	manual    bool
	inotify   func() (*fsnotify.Watcher, error)

	log         atomic.Pointer[zap.Logger]
	notify      *notifier // for those that have none of their own
	descriptors budget
	limitOnce   sync.Once
	overflows   atomic.Int64
	overflowLog atomic.Int64 // Unix nanoseconds of the last warning

	mu        sync.Mutex
	closed    bool
	dirs      map[string]*dir
	instances int // of directories
}

// NewFiles makes a source that watches nothing yet. It opens nothing either:
// that is for the first Add.
func NewFiles(c Config) *Files {
	f := &Files{
		openDir:   c.OpenDir,
		noInotify: c.NoInotify,
		now:       c.now,
		step:      c.step,
		poll:      c.poll,
		safety:    c.safety,
		maxFiles:  c.maxFiles,
		manual:    c.manual,
		dirs:      map[string]*dir{},
	}
	if f.openDir == nil {
		f.openDir = openRoot
	}
	if f.now == nil {
		f.now = time.Now
	}
	if f.step == nil {
		f.step = func() time.Duration { return 0 }
	}
	if f.poll == 0 {
		f.poll = pollEvery
	}
	if f.safety == 0 {
		f.safety = scanEvery
	}
	if f.maxFiles == 0 {
		f.maxFiles = maxFiles
	}
	f.SetLogger(c.Logger)
	f.descriptors.left.Store(maxHeld)
	if f.inotify = c.inotify; f.inotify == nil {
		f.inotify = fsnotify.NewWatcher
	}
	f.notify = f.newNotifier(func() { f.overflowed(nil) })
	return f
}

// SetLogger replaces the logger: loggers belong to a config generation and end
// with it.
func (f *Files) SetLogger(l *zap.Logger) {
	if l == nil {
		l = zap.NewNop()
	}
	f.log.Store(l)
}

// wall is what the machine's clock shows. A [time.Time] of the system tells both
// how late it is and how long something takes; the tests' tells one only.
func (f *Files) wall(now time.Time) time.Time { return now.Add(f.step()) }

func (f *Files) logger() *zap.Logger { return f.log.Load() }

// Add has the sink told of what happens to the files that match. The key is the
// hub's name: adding the same watch for the same key again only counts (and
// from now on tells the new sink), so that a new config generation that adds
// before the old one removes loses nothing and hears nothing twice.
//
// Add returns after the first look at the files, or after two seconds.
func (f *Files) Add(key string, w Watch, sink Sink) error {
	w, err := w.checked()
	if err != nil {
		return err
	}
	added, d, err := f.add(key, w, sink)
	if err != nil || added == nil {
		return err
	}
	if f.manual {
		d.look()
		return nil
	}
	d.inbox.knock()
	late := time.NewTimer(firstLook)
	defer late.Stop()
	select {
	case <-added.first:
	case <-late.C:
		f.logger().Warn("looking at watched files for the first time takes long; it goes on in the background",
			zap.String("hub", key), zap.String("glob", w.Glob))
	}
	return nil
}

// add returns nil for a watch that is there already.
func (f *Files) add(key string, w Watch, sink Sink) (*watcher, *dir, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, nil, ErrClosed
	}
	d := f.dirs[w.Dir()]
	if d == nil {
		d = f.newDir(w.Dir())
		if !f.manual {
			defer func() { go d.run() }()
		}
	}
	in := &d.inbox
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, old := range in.watchers {
		if old.key == key && old.watch == w {
			old.refs++
			old.redirect(sink)
			return nil, d, nil
		}
	}
	added := &watcher{
		key: key, watch: w, refs: 1, sink: sink, added: f.now(),
		first: make(chan struct{}), owner: w.owner(), kind: newKind(w.What, &f.descriptors),
	}
	in.watchers = append(in.watchers[:len(in.watchers):len(in.watchers)], added)
	in.hurry = true
	return added, d, nil
}

func (f *Files) newDir(path string) *dir {
	d := &dir{files: f, path: path, base: filepath.Base(path), effort: newEffort(), done: make(chan struct{})}
	d.inbox.wake = make(chan struct{}, 1)
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.notify = f.notify
	if f.instances < maxInstances {
		d.notify, d.ownsNotify = f.newNotifier(func() { f.overflowed(d) }), true
		d.notify.pace = rate.NewLimiter(newsPerSecond, newsAtOnce)
		f.instances++
	}
	f.dirs[path] = d
	return d
}

// Remove takes back one Add. After the last one the sink hears nothing more.
func (f *Files) Remove(key string, w Watch) {
	w, err := w.checked()
	if err != nil {
		return // it was never added
	}
	if d := f.remove(key, w); d != nil {
		d.stop(lastLook)
	}
}

// remove returns the directory if nobody watches it any more.
func (f *Files) remove(key string, w Watch) *dir {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.dirs[w.Dir()]
	if d == nil {
		return nil
	}
	in := &d.inbox
	in.mu.Lock()
	defer in.mu.Unlock()
	for i, old := range in.watchers {
		if old.key != key || old.watch != w {
			continue
		}
		if old.refs--; old.refs > 0 {
			return nil
		}
		old.remove()
		in.watchers = append(in.watchers[:i:i], in.watchers[i+1:]...)
		in.dead = append(in.dead, old)
		in.knock()
		if len(in.watchers) > 0 {
			return nil
		}
		delete(f.dirs, w.Dir())
		if d.ownsNotify {
			f.instances--
		}
		return d
	}
	return nil
}

// stop ends the goroutine. One that is stuck in a dead network file system ends
// when the kernel lets it.
func (d *dir) stop(patience time.Duration) {
	d.cancel()
	if d.files.manual {
		d.shut()
		return
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-d.done:
	case <-late.C:
		d.logger().Warn("file system does not answer; no longer waiting for it")
	}
}

// Close stops everything. The sinks hear nothing more.
func (f *Files) Close() {
	f.mu.Lock()
	f.closed = true
	dirs := f.dirs
	f.dirs = map[string]*dir{}
	for _, d := range dirs {
		d.inbox.mu.Lock()
		for _, w := range d.inbox.watchers {
			w.remove()
		}
		d.inbox.mu.Unlock()
		d.cancel()
	}
	f.mu.Unlock()
	for _, d := range dirs {
		d.stop(lastLook)
	}
	f.notify.close()
}
