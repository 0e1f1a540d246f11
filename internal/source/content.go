package source

import (
	"errors"
	"io"
	"time"
)

const (
	// settle is how long a file must have been left alone before it is read. It
	// is a tick, so that whoever writes after we looked changes the time too;
	// and it lets a writer that needs several writes get to its end.
	settle = tick
	// settleEmpty is the same for an empty file: file_put_contents truncates
	// first and writes then.
	settleEmpty = 50 * time.Millisecond
	// settleMost bounds the wait for a file that is written all the time.
	settleMost = 100 * time.Millisecond
)

// contents makes events of whole files.
type contents struct {
	pages   map[string]page
	waiting map[string]wait
}

// page is a file as it was when it was last read (or refused as too large).
type page struct {
	sight
	racy bool
}

// wait is a changed file that is not yet left alone, or could not be read.
type wait struct {
	sight
	since    time.Time // when it first looked like this
	restless time.Time // when we first saw that it had changed
	due      time.Time // zero: the next look at the directory is early enough
	before   bool      // it was there before we looked: no news
}

var errChanging = errors.New("it changes while it is read")

func (c *contents) saw(v *view, name string, s sight) {
	old, known := c.pages[name]
	polled := v.d.mode != inotify // then nobody tells, and the file's clock may be another machine's
	if known && s.same(old.sight) && !(old.racy && (v.told || polled)) {
		delete(c.waiting, name)
		return
	}
	w, waits := c.waiting[name]
	if !waits {
		w = wait{restless: v.now, before: !known && v.wasBefore(s)}
	}
	if !waits || !w.same(s) {
		// What is written after our first look is news.
		w.before = w.before && !waits
		w.sight, w.since = s, v.now
	}
	quiet := v.now.Sub(w.since)
	if !polled || w.before {
		quiet = max(quiet, s.age(v.wall))
	}
	need := settle
	if s.size == 0 {
		need = settleEmpty
	}
	w.due = time.Time{}
	if !w.before && quiet < need && (s.size == 0 || v.now.Sub(w.restless) < settleMost) {
		w.due = v.now.Add(need - quiet)
		c.waiting[name] = w
		return
	}
	switch data, err := read(v, name, s); {
	case err == nil:
		v.give(name, s, data, w.before)
	case errors.Is(err, errChanging):
		w.due = v.now.Add(settle)
		c.waiting[name] = w
		return
	case errors.Is(err, errTooLarge):
		// Known from now on: it is looked at again when it changes.
	default:
		// Told by open. A chmod wakes us where there is inotify, a scan does
		// elsewhere.
		c.waiting[name] = w
		return
	}
	c.pages[name] = page{sight: s, racy: quiet < settle}
	delete(c.waiting, name)
}

// read returns the content of a file that looks like s from the first byte to
// the last.
func read(v *view, name string, s sight) ([]byte, error) {
	f, before, err := v.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !before.same(s) {
		return nil, errChanging
	}
	if limit := v.maxEvent(); before.size > int64(limit) {
		v.d.tooLarge(v, name, before.size, limit)
		return nil, errTooLarge
	}
	// One byte more than expected shows a file that grew.
	data := make([]byte, before.size+1)
	n, err := io.ReadFull(f, data)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		v.d.unreadable(v, name, err)
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		v.d.unreadable(v, name, err)
		return nil, err
	}
	if int64(n) != before.size || !v.d.sightOf(info).same(before) {
		return nil, errChanging
	}
	return data[:n:n], nil
}

func (c *contents) again(v *view) (next time.Time) {
	for name, w := range c.waiting {
		if !w.due.IsZero() && !w.due.After(v.now) {
			v.look(c, name)
		}
	}
	for _, w := range c.waiting {
		next = sooner(next, w.due)
	}
	return next
}

func (c *contents) missing(v *view, name string) {
	_, published := c.pages[name]
	delete(c.pages, name)
	delete(c.waiting, name)
	if published {
		v.gone(name)
	}
}

func (c *contents) knows(name string) bool {
	_, page := c.pages[name]
	_, waits := c.waiting[name]
	return page || waits
}

func (c *contents) known(f func(string)) {
	for name := range c.pages {
		f(name)
	}
	for name := range c.waiting {
		f(name)
	}
}

// count is exact unless files wait for their first reading beside others that
// were read; it is for a limit.
func (c *contents) count() int    { return max(len(c.pages), len(c.waiting)) }
func (c *contents) suspend(*view) {}
func (c *contents) close()        {}

// sooner is the earlier of two times, of which the zero one is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
