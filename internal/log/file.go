package log

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
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
//
// Buckets:
//
//	meta    "state" → JSON: version, epoch, head, floor
//	events  sequence → JSON in one line, then the data
//	floors  channel → sequence
//	stamps  channel → second, nanoseconds: what no event tells
//	ids     sequence → the publisher's ID, hashed, and its time
type file struct {
	path string
	db   *bolt.DB
	// info is that of the file when it was opened, size its least size since.
	info   os.FileInfo
	size   int64
	ids    int
	broken bool
}

var (
	metaBucket   = []byte("meta")
	eventsBucket = []byte("events")
	floorsBucket = []byte("floors")
	stampsBucket = []byte("stamps")
	idsBucket    = []byte("ids")
	stateKey     = []byte("state")
)

// fileVersion is of the layout above.
const fileVersion = 1

type fileState struct {
	Version int       `json:"version"`
	Epoch   hub.Epoch `json:"epoch"`
	Head    uint64    `json:"head"`
	Floor   uint64    `json:"floor"`
}

// record is an event's line.
type record struct {
	Channel     string `json:"channel"`
	Type        string `json:"type,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	Time        int64  `json:"time"`
	Stamp       int64  `json:"stamp"`
	State       bool   `json:"state,omitempty"`
	Source      string `json:"source,omitempty"`
	// Sum is a checksum of the data: bbolt has one of its roots alone.
	Sum uint32 `json:"sum"`
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

// contents is all that a file has.
type contents struct {
	kept   hub.Kept
	stamps map[string]hub.StampState
	ids    []identified
}

// identified is an event whose publisher gave it an ID.
type identified struct {
	id  publishID
	seq uint64
	at  time.Time
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

func readState(tx *bolt.Tx) (s fileState, err error) {
	b := tx.Bucket(metaBucket)
	if b == nil {
		return s, &damage{"it has no meta"}
	}
	if err := json.Unmarshal(b.Get(stateKey), &s); err != nil {
		return s, &damage{err}
	}
	if s.Version != fileVersion {
		err = fmt.Errorf("it was written by another version of this program (%d, not %d); move it away to begin anew", s.Version, fileVersion)
	}
	return s, err
}

func (c *contents) read(tx *bolt.Tx) error {
	s, err := readState(tx)
	if err != nil {
		return err
	}
	c.kept = hub.Kept{Epoch: s.Epoch, Head: s.Head, Floor: s.Floor, Floors: make(map[string]uint64)}
	c.stamps = make(map[string]hub.StampState)
	for _, b := range []struct {
		name []byte
		read func(k, v []byte) error
	}{
		{eventsBucket, c.readEvent},
		{floorsBucket, func(k, v []byte) error {
			if len(v) != 8 {
				return &damage{"a floor"}
			}
			c.kept.Floors[string(k)] = binary.BigEndian.Uint64(v)
			return nil
		}},
		{stampsBucket, func(k, v []byte) error {
			if len(v) != 16 {
				return &damage{"a stamp"}
			}
			c.raiseStamp(string(k), int64(binary.BigEndian.Uint64(v)), time.Unix(0, int64(binary.BigEndian.Uint64(v[8:]))))
			return nil
		}},
		{idsBucket, func(k, v []byte) error {
			if len(k) != 8 || len(v) != len(publishID{})+8 {
				return &damage{"an ID"}
			}
			i := identified{seq: binary.BigEndian.Uint64(k), at: time.Unix(0, int64(binary.BigEndian.Uint64(v[len(publishID{}):])))}
			copy(i.id[:], v)
			c.ids = append(c.ids, i)
			return nil
		}},
	} {
		bucket := tx.Bucket(b.name)
		if bucket == nil {
			return &damage{fmt.Sprintf("it has no %s", b.name)}
		}
		if err := bucket.ForEach(b.read); err != nil {
			return err
		}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (c *contents) readEvent(k, v []byte) error {
	line, data, ok := bytes.Cut(v, []byte{'\n'})
	var r record
	if len(k) != 8 || !ok || json.Unmarshal(line, &r) != nil || crc32.Checksum(data, castagnoli) != r.Sum {
		return &damage{"an event"}
	}
	seq := binary.BigEndian.Uint64(k)
	if seq > c.kept.Head || hub.CheckChannel(r.Channel) != nil {
		return &damage{"an event"}
	}
	e := hub.Entry{
		Draft: hub.Draft{
			Channel: r.Channel, Type: r.Type, ContentType: r.ContentType, Data: bytes.Clone(data),
			State: r.State, Source: r.Source,
		},
		Seq: seq, Time: time.Unix(0, r.Time), Stamp: r.Stamp,
	}
	c.kept.Entries = append(c.kept.Entries, e)
	c.raiseStamp(e.Channel, e.Stamp, e.Time)
	return nil
}

func (c *contents) raiseStamp(channel string, stamp int64, risen time.Time) {
	if stamp > c.stamps[channel].Last {
		c.stamps[channel] = hub.StampState{Last: stamp, Risen: risen}
	}
}

// change is one commit.
type change struct {
	epoch hub.Epoch
	head  uint64
	// entries are new, and ids theirs.
	entries []hub.Entry
	ids     []identified
	dropped hub.Dropped
	stamps  map[string]hub.StampState
	now     time.Time
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

// writer writes to a transaction until something fails.
type writer struct {
	tx  *bolt.Tx
	err error
}

func (w *writer) create(name []byte) {
	if w.err == nil {
		_, w.err = w.tx.CreateBucketIfNotExists(name)
	}
}

func (w *writer) put(bucket, k, v []byte) {
	if w.err != nil {
		return
	}
	b := w.tx.Bucket(bucket)
	if &bucket[0] == &eventsBucket[0] || &bucket[0] == &idsBucket[0] {
		b.FillPercent = 0.9 // they only grow at the end
	}
	w.err = b.Put(k, v)
}

func (w *writer) delete(bucket, k []byte) {
	if w.err == nil {
		w.err = w.tx.Bucket(bucket).Delete(k)
	}
}

func (w *writer) drop(d hub.Dropped) {
	for _, seq := range d.Seqs {
		w.delete(eventsBucket, key(seq))
	}
	for channel := range d.Gone {
		w.delete(floorsBucket, []byte(channel))
		w.delete(stampsBucket, []byte(channel))
	}
	for channel, floor := range d.Floors {
		w.put(floorsBucket, []byte(channel), key(floor))
	}
}

func (w *writer) entry(e *hub.Entry) {
	switch {
	case e.Lost: // the gap must not be forgotten before the hub has noted it
		w.put(floorsBucket, []byte(e.Channel), key(e.Seq))
		return
	case e.StampOnly:
		return
	}
	line, err := json.Marshal(record{
		e.Channel, e.Type, e.ContentType, e.Time.UnixNano(), e.Stamp, e.State, e.Source,
		crc32.Checksum(e.Data, castagnoli),
	})
	if err != nil && w.err == nil {
		w.err = err
	}
	w.put(eventsBucket, key(e.Seq), append(append(line, '\n'), e.Data...))
}

// expire removes IDs that count no more, but not too many at once, and returns how
// many there are.
func (w *writer) expire(n int, now time.Time) int {
	const most = 1000
	if w.err != nil {
		return n
	}
	c := w.tx.Bucket(idsBucket).Cursor()
	for i := 0; i < most; i++ {
		k, v := c.First()
		if len(v) != len(publishID{})+8 {
			break
		}
		at := time.Unix(0, int64(binary.BigEndian.Uint64(v[len(publishID{}):])))
		if n <= 2*maxIDs && now.Sub(at) < rememberIDs {
			break
		}
		w.delete(idsBucket, k)
		n--
	}
	return n
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func pair(a, b uint64) []byte { return binary.BigEndian.AppendUint64(key(a), b) }

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
	size, begin := 0, 0
	for i := range c.kept.Entries {
		if size += len(c.kept.Entries[i].Data) + 256; size < most {
			continue
		}
		ch.entries = c.kept.Entries[begin : i+1]
		if err := f.commit(&ch); err != nil {
			return err
		}
		size, begin = 0, i+1
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
