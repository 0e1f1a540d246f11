package log

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// file is a store's file: a bbolt database. bbolt, because it is what etcd rests
// on and Caddy's modules bring it along already; because a commit is there as a
// whole or not at all, whenever the power goes (it writes to free pages and then
// turns over one of two checksummed roots), so that there is no tail to repair; and
// because space is used again where history is dropped from the middle, which a
// log of segments does only when all of a segment is old.
type file struct {
	path string
	db   *bolt.DB
	// info is that of the file when it was opened, size its least size since.
	info   os.FileInfo
	size   int64
	ids    int
	broken bool
}

// lockTime is how long another process may take to let go of the file.
const lockTime = 2 * time.Second

// openFile opens the file, an empty one if there is none.
func openFile(path string, readOnly bool) (*file, error) {
	f := &file{path: path}
	var opened *os.File
	err := guarded(func() (err error) {
		f.db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout: lockTime, ReadOnly: readOnly, FreelistType: bolt.FreelistMapType,
			OpenFile: func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
				opened, err = os.OpenFile(name, flag, mode)
				return opened, err
			},
		})
		if err != nil {
			return err
		}
		f.db.AllocSize = 1 << 20 // by default 16 MiB at a time
		return f.look()
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		err = errLocked
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch),
		err != nil && strings.HasPrefix(err.Error(), "file size too small"):
		err = &damage{err}
	}
	if err != nil {
		f.noticed(err)
		f.close()
		if f.db == nil && opened != nil {
			_ = opened.Close() // where bbolt panicked
		}
		return nil, err
	}
	return f, nil
}

// look notes what the file looks like.
func (f *file) look() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	f.info, f.size = info, info.Size()
	return nil
}

// stands reports whether the file is still the one at its path, and whole: to
// delete it is no way to empty a store, and must not go unnoticed.
func (f *file) stands() bool {
	info, err := os.Stat(f.path)
	if err != nil || !os.SameFile(info, f.info) || info.Size() < f.size {
		return false
	}
	f.size = info.Size()
	return true
}

// noticed remembers that bbolt panicked: its locks may be held for ever.
func (f *file) noticed(err error) error {
	var broken *damage
	f.broken = f.broken || errors.As(err, &broken)
	return err
}

func (f *file) close() {
	switch {
	case f.db == nil:
	case f.broken:
		go func() { _ = guarded(f.db.Close) }()
	default:
		_ = guarded(f.db.Close)
	}
}

// wasteful reports whether most of the file is free and it is worth writing anew:
// bbolt uses space again, but never gives it back.
func (f *file) wasteful() bool {
	s := f.db.Stats()
	free := int64(s.FreePageN+s.PendingPageN) * int64(f.db.Info().PageSize)
	return free > 16<<20 && free > f.size/2
}

// load reads the file. ok is false for one that is new.
func (f *file) load() (c contents, ok bool, err error) {
	err = guarded(func() error {
		return f.db.View(func(tx *bolt.Tx) error {
			if tx.Bucket(metaBucket) == nil {
				return nil
			}
			ok = true
			return c.read(tx)
		})
	})
	f.ids = len(c.ids)
	return c, ok, f.noticed(err)
}

// at returns the position of the last commit.
func (f *file) at() (epoch hub.Epoch, head uint64, err error) {
	err = guarded(func() error {
		return f.db.View(func(tx *bolt.Tx) error {
			s, err := readState(tx)
			epoch, head = s.Epoch, s.Head
			return err
		})
	})
	return epoch, head, f.noticed(err)
}

// commit writes a change. It is on the disk when it returns.
func (f *file) commit(c *change) error {
	ids := f.ids
	err := guarded(func() error {
		return f.db.Update(func(tx *bolt.Tx) error {
			w := writer{tx: tx}
			for _, name := range [][]byte{metaBucket, eventsBucket, floorsBucket, stampsBucket, idsBucket} {
				w.create(name)
			}
			if w.err != nil {
				return w.err
			}
			w.drop(c.dropped)
			for i := range c.entries {
				w.entry(&c.entries[i])
			}
			for channel, s := range c.stamps {
				w.put(stampsBucket, []byte(channel), pair(uint64(s.Last), uint64(s.Risen.UnixNano())))
			}
			for _, i := range c.ids {
				w.put(idsBucket, key(i.seq), append(i.id[:len(i.id):len(i.id)], key(uint64(i.at.UnixNano()))...))
			}
			ids = w.expire(f.ids+len(c.ids), c.now)
			state, err := json.Marshal(fileState{fileVersion, c.epoch, c.head, c.dropped.Floor})
			if err != nil {
				return err
			}
			w.put(metaBucket, stateKey, state)
			return w.err
		})
	})
	if err == nil {
		f.ids = ids
	}
	return f.noticed(err)
}

// writeFile makes the file at path one that has c, and nothing else: a new one
// takes the place of the old one when it is whole.
func writeFile(path string, c contents) (*file, error) {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f, err := openFile(next, false)
	if err != nil {
		return nil, err
	}
	err = f.fill(c)
	f.close()
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		_ = os.Remove(next)
		return nil, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err = openFile(path, false)
	if err == nil {
		f.ids = len(c.ids)
	}
	return f, err
}

// fill writes in commits of a bearable size. Only the last has to be safe.
func (f *file) fill(c contents) error {
	const most = 4 << 20
	ch := change{epoch: c.kept.Epoch, head: c.kept.Head, now: time.Unix(0, 0)}
	ch.dropped.Floor = c.kept.Floor
	f.db.NoSync = true
	filled, begin := 0, 0
	for i := range c.kept.Entries {
		if filled += size(&c.kept.Entries[i].Draft); filled < most {
			continue
		}
		ch.entries = c.kept.Entries[begin : i+1]
		if err := f.commit(&ch); err != nil {
			return err
		}
		filled, begin = 0, i+1
	}
	f.db.NoSync = false
	ch.entries, ch.ids, ch.stamps = c.kept.Entries[begin:], c.ids, c.stamps
	ch.dropped.Floors = maps.Clone(c.kept.Floors)
	if err := f.commit(&ch); err != nil {
		return err
	}
	return f.db.Sync()
}

// syncDir has a rename on the disk. Not every system can.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && isDisk(err) {
		return err
	}
	return nil
}
