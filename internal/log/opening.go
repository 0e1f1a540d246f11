package log

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// ready opens a file that failed, if it is time to try.
func (k *keeper) ready(now time.Time) (err error) {
	if k.file != nil && k.file.stands() {
		return nil
	}
	if k.file != nil {
		k.store.logger().Error("the store was removed, replaced or cut by somebody else; it is written anew from memory",
			zap.String("store", k.store.Path))
		k.close()
		k.anew = true
	} else if since := now.Sub(k.failedAt); since >= 0 && since < tryAgain {
		return k.failed
	}
	if err := k.fault("open"); err != nil {
		return k.fail(err, now)
	}
	if !k.anew {
		f, err := openFile(k.store.Path, false)
		if err != nil && isDisk(err) {
			return k.fail(err, now)
		}
		if err == nil {
			if epoch, head, err := f.at(); err == nil && epoch == k.log.epoch && head == k.log.seq {
				f.ids = k.ids
				k.works(f)
				return nil
			}
			f.close()
		}
		// Not what we left: the commit that failed may be there, whose events did
		// not happen.
	}
	if err := k.writeAnew(); err != nil {
		return k.fail(err, now)
	}
	return nil
}

// works says that the file takes events again.
func (k *keeper) works(f *file) {
	k.file, k.anew = f, false
	if k.failed != nil {
		k.failed, k.warned = nil, time.Time{}
		k.store.logger().Info("the store works again", zap.String("store", k.store.Path))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stored.Err, k.stored.Bytes = nil, f.size
}

// writeAnew replaces the file by what is in memory.
func (k *keeper) writeAnew() error {
	if err := k.fault("write anew"); err != nil {
		return err
	}
	c := contents{kept: hub.Kept{Epoch: k.log.epoch, Head: k.log.seq}, stamps: make(map[string]hub.StampState)}
	if k.archive != nil {
		merge(&k.owed, k.archive.Dropped()) // it is owed still if this fails
		c.kept = k.archive.Kept()
		c.kept.Epoch, c.kept.Head = k.log.epoch, k.log.seq
	}
	for channel := range c.kept.Floors {
		if s, ok := k.log.stamps.get(channel); ok {
			c.stamps[channel] = s
		}
	}
	k.log.ids.each(func(id publishID, r rememberedID) {
		c.ids = append(c.ids, identified{id, r.seq, r.at})
	})
	f, err := writeFile(k.store.Path, c)
	if err != nil {
		return err
	}
	k.owed = hub.Dropped{}
	k.works(f)
	return nil
}

// begin opens the store; see [Memory.Keep].
func (k *keeper) begin(first bool) error {
	if err := os.MkdirAll(filepath.Dir(k.store.Path), 0o700); err != nil {
		return openError(k.store.Path, err)
	}
	if !first {
		return k.beginAnew()
	}
	err := k.fault("open")
	var f *file
	if err == nil {
		f, err = openFile(k.store.Path, false)
	}
	if err != nil && isDisk(err) && k.read() {
		_ = k.fail(err, k.log.clock.Now())
		return nil
	}
	var c contents
	var ok bool
	if err == nil {
		c, ok, err = f.load()
	}
	var broken *damage
	if errors.As(err, &broken) {
		if f != nil {
			f.close()
		}
		aside := k.store.Path + ".damaged"
		if err := os.Rename(k.store.Path, aside); err != nil {
			return openError(k.store.Path, errors.Join(broken, err))
		}
		k.store.logger().Error("the store is damaged, so the history that it kept is lost: clients are told of the gap, and events are kept from now on; the damaged file is moved aside, for you to examine or delete",
			zap.String("store", k.store.Path), zap.String("moved_to", aside), zap.Error(broken))
		c, ok = contents{}, false
		f, err = openFile(k.store.Path, false)
	}
	if err != nil {
		if f != nil {
			f.close()
		}
		return openError(k.store.Path, err)
	}
	k.works(f)
	now := k.log.clock.Now()
	if !ok {
		err := syncDir(filepath.Dir(k.store.Path))
		if err == nil {
			err = k.commit(&change{epoch: k.log.epoch, head: k.log.seq, now: now})
		}
		if err != nil {
			_ = k.fail(err, now)
			return nil
		}
		if k.archive != nil {
			k.archive.Kept() // and what is dropped from now on
		}
		return nil
	}
	k.adopt(c)
	if f.wasteful() {
		f.close()
		k.file = nil
		if err := k.writeAnew(); err == nil {
			return nil
		}
		if f, err = openFile(k.store.Path, false); err != nil {
			_ = k.fail(err, now)
			return nil
		}
		k.works(f)
	}
	k.store.logger().Info("the history goes on where it ended", zap.String("store", k.store.Path),
		zap.Stringer("cursor", hub.Cursor{Epoch: k.log.epoch, Seq: k.log.seq}), zap.Int("events", len(c.kept.Entries)))
	// What the limits do not allow any more goes, and the number that is left out
	// for a gap must not be given to an event by the next life.
	k.write(work{forget: true})
	return nil
}

// read begins with a file that cannot be written, and reports whether there is one.
func (k *keeper) read() bool {
	f, err := openFile(k.store.Path, true)
	if err != nil {
		return false
	}
	defer f.close()
	c, ok, err := f.load()
	if ok && err == nil {
		k.adopt(c)
	}
	return ok && err == nil
}

// adopt begins with what a file has.
func (k *keeper) adopt(c contents) {
	m := k.log
	m.epoch, m.seq = c.kept.Epoch, c.kept.Head
	for channel, s := range c.stamps {
		m.stamps.set(channel, s)
	}
	for _, i := range c.ids {
		m.ids.set(i.id, rememberedID{i.seq, i.at})
	}
	if k.archive != nil {
		m.seq = k.archive.Restore(c.kept)
	}
}

// beginAnew begins with what is in memory.
func (k *keeper) beginAnew() error {
	// Whose file it is, is seen by its lock.
	f, err := openFile(k.store.Path, false)
	var broken *damage
	if err != nil && !errors.As(err, &broken) {
		return openError(k.store.Path, err)
	}
	if f != nil {
		f.close()
	}
	if err := k.writeAnew(); err != nil {
		return openError(k.store.Path, err)
	}
	return nil
}

func (k *keeper) close() {
	if k.file != nil {
		k.ids = k.file.ids
		k.file.close()
		k.file = nil
	}
}

// leave removes a store that is not used any more; see [Memory.Keep].
func (k *keeper) leave() {
	k.close()
	err := os.Remove(k.store.Path)
	if err == nil {
		err = syncDir(filepath.Dir(k.store.Path))
	}
	if err != nil {
		k.store.logger().Error("a store that is used no more cannot be removed: delete it before you use it again, or clients may miss events",
			zap.String("store", k.store.Path), zap.Error(err))
		return
	}
	k.store.logger().Info("a store that is used no more is removed; the history goes on in memory", zap.String("store", k.store.Path))
}
