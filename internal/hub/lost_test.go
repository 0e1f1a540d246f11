package hub_test

import (
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// TestWhatIsKeptBeforeALossIsDelivered, also where it does not fit one delivery: the
// gap is told where it is, and once.
func TestWhatIsKeptBeforeALossIsDelivered(t *testing.T) {
	bubble(t, func(r *rig) {
		r.limit(func(l *hub.Limits) { l.HistoryCount = 10 * hub.MaxDeliveryEvents })
		for range hub.MaxDeliveryEvents {
			r.batch("a:before", "b:before")
		}
		lost := r.drafts(hub.Draft{Channel: "a", Lost: true, Source: "test"})[0].Cursor.Seq
		r.batch("b:after", "a:after")
		f := r.subscribe(r.at(0), "a", "b")
		var seq uint64
		gaps := 0
		for d := f.Next(); d != nil; d = f.Next() {
			at := seq
			for _, e := range d.Events {
				if seq++; seq == lost {
					seq++
				}
				if e.Seq != seq {
					t.Fatalf("event %d follows %d", e.Seq, seq-1)
				}
			}
			if d.Gap {
				gaps++
			}
			if crosses := at < lost && d.Cursor.Seq >= lost; d.Gap != crosses {
				t.Errorf("from %d to %d a gap is told: %v", at, d.Cursor.Seq, d.Gap)
			}
		}
		if seq != r.hub.Cursor().Seq || gaps != 1 {
			t.Errorf("it came to %d of %d with %d gaps", seq, r.hub.Cursor().Seq, gaps)
		}
		// Who is told by a position alone gets the rest by it.
		again := r.subscribe(r.at(hub.MaxDeliveryEvents), "a", "b")
		if d := again.Next(); d.Gap || len(d.Events) != hub.MaxDeliveryEvents || d.Events[0].Seq != hub.MaxDeliveryEvents+1 {
			t.Errorf("behind the first delivery come %d events, %v", len(d.Events), d.Gap)
		}
		// Where nothing is kept the gap is all there is.
		r.hub.Delete("a")
		r.drafts(hub.Draft{Channel: "a", Lost: true, Source: "test"})
		if d := r.subscribe(r.at(seq), "a").Next(); d == nil || !d.Gap || len(d.Events) > 0 || d.Cursor != r.hub.Cursor() {
			t.Errorf("got %+v", d)
		}
	})
}
