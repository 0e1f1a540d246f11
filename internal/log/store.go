package log

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// Store is where a log is kept on disk: one file, which belongs to one log of one
// process at a time. The zero Store is none.
type Store struct {
	// Path is the file.
	Path string
	// Logger returns where to tell of trouble now. It may be nil.
	Logger func() *zap.Logger
}

func (s Store) logger() *zap.Logger {
	if s.Logger == nil {
		return zap.NewNop()
	}
	return s.Logger()
}

// Keep has the log kept in another store from now on, or in none. What is in
// memory goes on in any case.
//
// With first, nobody has used the log yet and it takes over what the store has,
// epoch and all. Otherwise memory is what counts, and the store is written anew:
// what a file has that was in use before is older, or of another life. For the
// same reason a store that the log leaves is removed. Were it taken up again it
// would give sequences a second time that the log has given since.
//
// An error means that nothing has changed. That the disk is full, broken or
// read-only is none if this is the first store and can be read: then the log refuses
// to append until the disk is better.
func (m *Memory) Keep(s Store, first bool) error {
	m.keeping.Lock()
	defer m.keeping.Unlock()
	m.mu.Lock()
	old, closed := m.keeper, m.closed
	m.mu.Unlock()
	switch {
	case closed:
		return hub.ErrClosed
	case old == nil && s.Path == "", old != nil && s.Path == old.store.Path:
		return nil
	case s.Path == "":
		old.pause()
		old.leave() // before anything happens that it does not have
		m.unkeep(old)
		return nil
	}
	k := newKeeper(m, s)
	if old != nil {
		old.pause() // appends queue up in it
	} else {
		m.mu.Lock()
		m.keeper = k // or here, from now on
		m.mu.Unlock()
	}
	if err := k.begin(first); err != nil {
		if old != nil {
			old.close()
			old.anew = true // what was dropped meanwhile may have been told to the other
			old.resume()
		} else {
			m.unkeep(k)
		}
		return err
	}
	if old != nil {
		m.mu.Lock()
		k.inherit(old)
		m.keeper = k
		m.mu.Unlock()
		old.leave()
	}
	k.resume()
	return nil
}

// unkeep goes on in memory alone, beginning with what a keeper that rests has in
// its queue.
func (m *Memory) unkeep(k *keeper) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keeper = nil
	if k.archive != nil {
		k.archive.Unkept()
	}
	w := k.take()
	for _, r := range w.requests {
		r.done(m.applyLocked(r), nil)
	}
	for _, done := range w.forgets {
		done(nil)
	}
}

// Forget implements [hub.Forgetter].
func (m *Memory) Forget(done func(error)) {
	m.mu.Lock()
	k := m.keeper
	if k != nil && !m.closed {
		k.forget(done)
		done = nil
	}
	m.mu.Unlock()
	if done != nil {
		done(nil)
	}
}

// Stored is how a log's store is doing.
type Stored struct {
	// Commits are the writes, Events what they took, Failures those that failed.
	Commits, Events, Failures uint64
	// Bytes is the size of the file.
	Bytes int64
	// Err is why the store takes nothing now; nil if it does.
	Err error
}

// Stored returns how the store is doing, and whether there is one.
func (m *Memory) Stored() (Stored, bool) {
	m.mu.Lock()
	k := m.keeper
	m.mu.Unlock()
	if k == nil {
		return Stored{}, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stored, true
}

// CheckStore reports what can be told of a store without opening it.
func CheckStore(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("store %s: not an absolute path; write one as in store /var/lib/comet", dir)
	}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("store %s: it is a file; name a directory, as in store /var/lib/comet", dir)
	}
	return nil
}

// openError says what to do where a store cannot be opened.
func openError(path string, err error) error {
	dir := filepath.Dir(path)
	switch {
	case errors.Is(err, errLocked):
		return fmt.Errorf("store %s is in use by another process; stop that, or give this server another directory", path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("store %s: %w; give the server's user the directory: install -d -m 700 -o <user> %s", path, err, dir)
	case isAny(err, syscall.EROFS):
		return fmt.Errorf("store %s: %w; name a directory that can be written (with systemd, StateDirectory=comet in the unit makes /var/lib/comet one)", path, err)
	default:
		return fmt.Errorf("store %s: %w", path, err)
	}
}
