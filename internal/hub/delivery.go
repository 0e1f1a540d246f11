package hub

import (
	"sync"
	"sync/atomic"
	"time"
)

// Delivery is what a subscription is given at once: events, in order, and the
// position after them. It is shared by all subscriptions that get the same and
// never changes.
type Delivery struct {
	// Events may be empty when Gap is set.
	Events []*Event
	// Cursor is the position to come back with.
	Cursor Cursor
	// Gap says that events before these are lost to this subscription.
	Gap bool

	mu      sync.Mutex
	encoded []encoding
	// shelf counts the encodings where the delivery itself is kept.
	shelf *shelf

	// fanout counts who has not written yet, and tells the hub when all have.
	fanout *fanout
}

type encoding struct {
	class string
	bytes []byte
}

// maxEncodings bounds what a delivery keeps: the encodings in use are few
// (one a dialect and a way of writing), but a class may hold a name that the
// client chose.
const maxEncodings = 8

// Encoded returns the bytes that encode makes of the delivery, made once for
// each class and shared by all who ask: the bytes must not be changed, and two
// encoders of one class must make the same bytes.
func (d *Delivery) Encoded(class string, encode func(*Delivery) []byte) []byte {
	b, kept := d.encodedAs(class, encode)
	d.shelf.put(kept)
	return b
}

// encodedAs returns the bytes, and how many more are kept.
func (d *Delivery) encodedAs(class string, encode func(*Delivery) []byte) (b []byte, kept int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.encoded {
		if e.class == class {
			return e.bytes, 0
		}
	}
	b = encode(d)
	if len(d.encoded) == maxEncodings {
		return b, 0
	}
	d.encoded = append(d.encoded, encoding{class, b})
	return b, cap(b)
}

// Done says that one receiver has written the delivery, or never will. Each
// receiver calls it once; for a nil delivery it does nothing.
func (d *Delivery) Done() {
	d.Receipt().Done()
}

// Receipt is what a receiver needs to call Done and to count: whoever writes for
// long does not keep the events meanwhile.
type Receipt struct {
	Events int
	fanout *fanout
}

// Receipt returns the delivery's, an empty one for nil.
func (d *Delivery) Receipt() Receipt {
	if d == nil {
		return Receipt{}
	}
	return Receipt{len(d.Events), d.fanout}
}

// Done is the delivery's.
func (r Receipt) Done() {
	if r.fanout != nil {
		r.fanout.done()
	}
}

// fanout measures from when the log took an event to the last write of what it woke.
type fanout struct {
	began time.Time
	left  atomic.Int64
	// woken says that anybody was. It is set while the fan-out itself is left.
	woken    bool
	finished func(*fanout)
}

func (f *fanout) done() {
	if f.left.Add(-1) == 0 {
		f.finished(f)
	}
}
