package source

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"slices"
	"time"
)

const (
	// A directory is polled every pollEvery, and beside inotify scanned every
	// scanEvery; large and slow ones less often, so that scans take no more
	// than 5 % or 0.5 % of the time.
	pollEvery, pollShare = 250 * time.Millisecond, 20
	scanEvery, scanShare = 10 * time.Second, 200
	// maxFiles is how many files one watch knows.
	maxFiles = 100_000
	// maxLinks bounds the symlinks that are looked at whenever anything changes.
	maxLinks = 64
)

type entry struct {
	name string
	sight
}

// scan looks at every file that somebody watches.
func (d *dir) scan(views []*view, m mail) error {
	began, rests := time.Now(), d.rests
	names, err := d.list(views)
	if err != nil {
		return err
	}
	listed := make(map[string]bool, len(names)) // false: it is there, and no file
	entries := make([]entry, 0, len(names))
	for _, name := range names {
		if d.ctx.Err() != nil {
			return nil
		}
		d.rest()
		s, ok, err := d.stat(name)
		switch {
		case errors.Is(err, fs.ErrPermission):
			return err
		case err != nil:
			ok = false
		}
		if ok {
			entries = append(entries, entry{name, s})
		}
		listed[name] = ok || err != nil // what we cannot look at is not gone
	}
	// What changed first is told first.
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.mtime, b.mtime), cmp.Compare(a.name, b.name))
	})
	for _, v := range views {
		// The deleted go first: they make room.
		v.w.kind.known(func(name string) {
			if !listed[name] {
				// A file that is replaced during a listing can be absent from it.
				v.look(v.w.kind, name)
			}
		})
		for _, e := range entries {
			d.rest()
			_, named := m.set[e.name]
			v.told = named || m.lost
			d.show(v, e)
		}
	}
	d.warned.forget(listed)
	for _, v := range views {
		v.w.forget(func(f fault) bool {
			_, there := listed[f.name]
			return !there && f.name != "."
		})
	}
	d.plan(time.Since(began) - (d.rests - rests))
	return nil
}

// plan sets the time of the next scan.
func (d *dir) plan(took time.Duration) {
	every := max(d.files.poll, pollShare*took)
	if d.mode == inotify {
		every = max(d.files.safety, scanShare*took)
	}
	d.nextScan = d.files.now().Add(every)
}

// lookAt looks at the files that inotify named, and at links, which it cannot
// name.
func (d *dir) lookAt(views []*view, names []string) {
	if len(names) > 0 {
		for link := range d.links {
			if !slices.Contains(names, link) {
				names = append(names, link)
			}
		}
	}
	for _, name := range names {
		d.rest()
		var s sight
		var ok, seen bool
		for _, v := range views {
			if !d.admits(v, name) {
				continue
			}
			if !seen {
				var err error
				if s, ok, err = d.stat(name); err != nil {
					break // the next scan tells, if it lasts
				}
				seen = true
			}
			v.told = true
			if ok {
				d.show(v, entry{name, s})
			} else {
				v.w.kind.missing(v, name)
				d.forgetLink(name)
			}
		}
	}
}

// admits reports whether the watch is for files of this name.
func (d *dir) admits(v *view, name string) bool {
	channel, refused := v.w.watch.match(name)
	if channel != "" && refused != "" {
		d.refusedName(v.now, name, refused)
	}
	return channel != "" && refused == ""
}

// show has a watch see a file, if it is one of its own and there is room.
func (d *dir) show(v *view, e entry) {
	k := v.w.kind
	if _, ok := v.w.watch.Channel(e.name); !ok {
		return
	}
	if v.foreign(e.name, e.sight) {
		k.missing(v, e.name)
		return
	}
	if !k.knows(e.name) && k.count() >= d.files.maxFiles {
		d.full(v.now)
		return
	}
	k.saw(v, e.name, e.sight)
}

// list returns the names that somebody watches. A directory that tenants fill
// without end costs us no more than the limit.
func (d *dir) list(views []*view) ([]string, error) {
	f, err := d.fs.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var names []string
	for d.ctx.Err() == nil {
		some, err := f.Readdirnames(1024)
		for _, name := range some {
			if slices.ContainsFunc(views, func(v *view) bool { return d.admits(v, name) }) {
				names = append(names, name)
			}
		}
		if errors.Is(err, io.EOF) || err == nil && len(some) == 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(names) > d.files.maxFiles*max(1, len(views)) {
			d.full(d.files.now())
			break
		}
	}
	return names, nil
}

// inodes returns the names of the regular files by inode number.
func (d *dir) inodes() map[uint64]string {
	byIno := map[uint64]string{}
	f, err := d.fs.Open(".")
	if err != nil {
		return byIno
	}
	defer f.Close()
	for len(byIno) < maxFiles && d.ctx.Err() == nil {
		some, err := f.Readdirnames(1024)
		for _, name := range some {
			if info, link, err := d.info(name); err == nil && !link && info.Mode().IsRegular() {
				byIno[d.sightOf(info).ino] = name
			}
		}
		if err != nil || len(some) == 0 {
			break
		}
	}
	return byIno
}

func (d *dir) keepLink(name string) {
	if _, ok := d.links[name]; ok || len(d.links) >= maxLinks {
		return // those beyond the limit wait for a scan
	}
	if d.links == nil {
		d.links = map[string]struct{}{}
	}
	d.links[name] = struct{}{}
	d.inbox.setLinks(true)
}

func (d *dir) forgetLink(name string) {
	delete(d.links, name)
	d.inbox.setLinks(len(d.links) > 0)
}

func (d *dir) forgetLinks() {
	d.links = nil
	d.inbox.setLinks(false)
}

func (in *inbox) setLinks(any bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.links = any
}
