package source

import (
	"sync"
	"time"
)

// watcher is one Watch of one hub: where its events go, and what it knows.
type watcher struct {
	key   string
	watch Watch
	refs  int // under Files.mu
	added time.Time
	owner int64         // whose files count, or anyOwner
	first chan struct{} // closed after the first look, or when there is nothing to look at

	// These belong to the goroutine of the directory.
	kind   kind
	looked bool // has seen the directory
	late   bool // the directory was not there, or not readable, at first
	logged string

	mu      sync.Mutex
	sink    Sink
	removed bool
	files   int
	mode    string
	why     string
	lastErr string
}

// tell calls the sink unless the watch is removed: after Remove returned, a sink
// hears nothing more, even if a look is stuck in the file system.
func (w *watcher) tell(f func(Sink)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.removed {
		f(w.sink)
	}
}

func (w *watcher) remove() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.removed = true
}

func (w *watcher) isRemoved() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.removed
}

func (w *watcher) redirect(sink Sink) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sink = sink
}

func (w *watcher) fail(err string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastErr = err
}

// ready lets Add return.
func (w *watcher) ready() {
	select {
	case <-w.first:
	default:
		close(w.first)
	}
}
