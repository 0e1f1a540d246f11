package source

import (
	"slices"
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
	faults []fault

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

// fault is what is wrong with the directory (".") or one of its files, until it is
// mended or gone.
type fault struct{ name, cause, text string }

// maxFaults bounds the faults that are remembered of a watch: that there are some is
// what matters.
const maxFaults = 100

// fail has the text be the last error. For faults of files there may be no room.
func (w *watcher) fail(name, cause, text string) {
	f := fault{name, cause, text}
	if slices.Contains(w.faults, f) {
		return
	}
	w.faults = slices.DeleteFunc(w.faults, func(f fault) bool { return f.name == name })
	if len(w.faults) < maxFaults || name == "." {
		w.faults = append(w.faults, f)
	}
	w.tellFault()
}

// faulty reports whether fail for this would say nothing new.
func (w *watcher) faulty(name, cause string) bool {
	return len(w.faults) >= maxFaults ||
		slices.ContainsFunc(w.faults, func(f fault) bool { return f.name == name && f.cause == cause })
}

// mend takes a fault back, whatever its cause for "".
func (w *watcher) mend(name, cause string) {
	if len(w.faults) > 0 {
		w.forget(func(f fault) bool { return f.name == name && (cause == "" || f.cause == cause) })
	}
}

// forget takes those faults back for which over says so.
func (w *watcher) forget(over func(fault) bool) {
	before := len(w.faults)
	if w.faults = slices.DeleteFunc(w.faults, over); len(w.faults) < before {
		w.tellFault()
	}
}

func (w *watcher) tellFault() {
	last := ""
	if n := len(w.faults); n > 0 {
		last = w.faults[n-1].text
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastErr = last
}

// ready lets Add return.
func (w *watcher) ready() {
	select {
	case <-w.first:
	default:
		close(w.first)
	}
}
