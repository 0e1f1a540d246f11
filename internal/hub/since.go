package hub

// Since says from where a subscription begins. The zero value is now.
type Since struct {
	all    bool
	after  bool
	cursor Cursor
	// cursors: there is one for each channel.
	cursors []Cursor
	// stamped: the stamps count, and there is one for each channel.
	stamped bool
	stamps  []int64
	// each: one event at a time, with its data.
	each bool
}

// All begins with everything that the history holds.
func All() Since { return Since{all: true} }

// After begins behind a cursor that an earlier answer gave. A cursor of another
// epoch, or older than the history, begins with a gap. A cursor of this epoch
// that lies ahead of the hub waits until the hub is there.
func After(c Cursor) Since { return Since{after: true, cursor: c} }

// AfterEach begins behind a cursor for each channel, in the channels' order, each as
// with [After]. There must be as many as channels.
func AfterEach(cursors []Cursor) Since { return Since{cursors: cursors} }

// AfterStamps begins behind a stamp for each channel, in the channels' order. A
// stamp up to the channel's newest is exact; 0 and everything above mean now,
// because the clocks of clients run ahead. There must be as many as channels.
func AfterStamps(stamps []int64) Since { return Since{stamped: true, stamps: stamps} }

// EachAfterStamp begins behind a stamp in one channel and delivers the events
// themselves, one at a time, so that the reader gets all of them by naming each
// one's stamp in turn. Where several have one stamp, the last of them stands for
// all. A stamp up to the channel's newest is exact, 0 begins with the newest
// event itself, and everything above means now.
func EachAfterStamp(stamp int64) Since {
	return Since{stamped: true, stamps: []int64{stamp}, each: true}
}

// Of is the same for those of the subscription's channels that are kept, by their
// place.
func (s Since) Of(kept func(i int) bool) Since {
	if s.stamped {
		var stamps []int64
		for i, stamp := range s.stamps {
			if kept(i) {
				stamps = append(stamps, stamp)
			}
		}
		s.stamps = stamps
	}
	return s
}
