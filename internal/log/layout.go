package log

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// The buckets:
//
//	meta    "state" → JSON: version, epoch, head, floor
//	events  sequence → JSON in one line, then the data
//	floors  channel → sequence
//	stamps  channel → second, nanoseconds: what no event tells
//	ids     sequence → the publisher's ID, hashed, and its time
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
	ID          string `json:"id,omitempty"`
	Forms       []byte `json:"forms,omitempty"`
	// Sum is a checksum of the data: bbolt has one of its roots alone.
	Sum uint32 `json:"sum"`
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
			State: r.State, Source: r.Source, ID: r.ID, Forms: r.Forms,
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
		e.Channel, e.Type, e.ContentType, e.Time.UnixNano(), e.Stamp, e.State, e.Source, e.ID, e.Forms,
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
