package source

// Status is how one watch is doing.
type Status struct {
	// Hub is the key given to Add.
	Hub  string `json:"hub"`
	Glob string `json:"glob"`
	What What   `json:"what"`
	// Mode is "inotify" or "polling"; it is empty while the directory was never
	// there.
	Mode string `json:"mode"`
	// Why says why it is that mode.
	Why string `json:"why"`
	// Files is how many files are known.
	Files int `json:"files"`
	// LastError is the last thing that went wrong and was not mended since.
	LastError string `json:"last_error,omitempty"`
	// Overflows is how often inotify lost events, in the whole process. Each
	// time everything was scanned instead.
	Overflows int64 `json:"overflows"`
}

// Status returns how each watch is doing, in no particular order.
func (f *Files) Status() []Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []Status
	for _, d := range f.dirs {
		d.inbox.mu.Lock()
		for _, w := range d.inbox.watchers {
			w.mu.Lock()
			all = append(all, Status{
				Hub: w.key, Glob: w.watch.Glob, What: w.watch.What, Mode: w.mode, Why: w.why,
				Files: w.files, LastError: w.lastErr, Overflows: f.overflows.Load(),
			})
			w.mu.Unlock()
		}
		d.inbox.mu.Unlock()
	}
	return all
}
