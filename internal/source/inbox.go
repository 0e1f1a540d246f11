package source

import "sync"

// maxNames is how many changed names are worth more than one scan.
const maxNames = 8192

// inbox is what others leave for a directory's goroutine, which may be busy or
// stuck: nobody ever waits for it.
type inbox struct {
	mu       sync.Mutex
	watchers []*watcher // replaced, never changed
	dead     []*watcher // to be closed
	path     string     // what inotify watches for us: the directory …
	parent   string     // … or its parent
	links    bool       // there are symlinks: any name's change may be one of a watched name
	hurry    bool       // somebody waits for the next look, which is a new watch's first
	mail
	wake chan struct{}
}

// mail is what is new since the last look.
type mail struct {
	names []string // in the order in which inotify named them
	set   map[string]struct{}
	scan  bool // look at everything
	lost  bool // inotify forgot names: each of them may be meant
	self  bool // the directory was deleted or moved
}

func (in *inbox) post(write func(*mail)) {
	in.mu.Lock()
	write(&in.mail)
	in.mu.Unlock()
	in.knock()
}

func (in *inbox) knock() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

func (in *inbox) take() (ws, dead []*watcher, m mail) {
	in.mu.Lock()
	defer in.mu.Unlock()
	ws, dead, m = in.watchers, in.dead, in.mail
	in.dead, in.mail, in.hurry = nil, mail{}, false
	return ws, dead, m
}

// awaited reports whether somebody waits for the next look.
func (in *inbox) awaited() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.hurry
}

// heardSelf is told that the directory itself was deleted or moved.
func (d *dir) heardSelf() { d.inbox.post(func(m *mail) { m.self = true }) }

// heard is told that something happened to a name in a directory that we watch.
func (d *dir) heard(where, name string) {
	in := &d.inbox
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case where == in.path && in.wants(name):
		if len(in.names) >= maxNames {
			in.names, in.set, in.lost = nil, nil, true
		}
		if _, dup := in.set[name]; !dup && !in.lost {
			if in.set == nil {
				in.set = map[string]struct{}{}
			}
			in.set[name] = struct{}{}
			in.names = append(in.names, name)
		}
	case where == in.parent && name == d.base:
		in.scan = true
	default:
		return
	}
	in.knock()
}

func (in *inbox) wants(name string) bool {
	if in.links {
		return true
	}
	for _, w := range in.watchers {
		if channel, _ := w.watch.match(name); channel != "" {
			return true
		}
	}
	return false
}
