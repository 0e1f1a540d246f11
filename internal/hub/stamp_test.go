package hub_test

import (
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func TestNextStamp(t *testing.T) {
	const noon = 1_700_000_000
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	last := func(stamp, risen int64) hub.StampState { return hub.StampState{Last: stamp, Risen: at(risen)} }
	for name, c := range map[string]struct {
		last    hub.StampState
		taken   bool
		changed int64 // 0: not known
		now     time.Time
		want    int64
	}{
		"the first is the second in which it happened": {now: at(noon), want: noon},
		"a file's own time counts":                     {changed: noon - 100, now: at(noon), want: noon - 100},
		"a first one is exact though taken":            {taken: true, changed: noon - 100, now: at(noon), want: noon - 100},
		"no stamp is 0, however old the file":          {changed: -5, now: at(noon), want: 1},
		"two touches in one second merge unread":       {last: last(noon, noon), now: at(noon), want: noon},
		"two touches in one second are two if read":    {last: last(noon, noon), taken: true, now: at(noon), want: noon + 1},
		"the clock has gone on":                        {last: last(noon, noon), taken: true, now: at(noon + 1), want: noon + 1},
		"an older file time merges unread":             {last: last(noon, noon), changed: noon - 9, now: at(noon), want: noon},
		"an older file time is later if read":          {last: last(noon, noon), taken: true, changed: noon - 9, now: at(noon), want: noon + 1},
		"a file time 5 s ahead counts":                 {changed: noon + 5, now: at(noon), want: noon + 5},
		"a file time beyond counts as now":             {changed: noon + 6, now: at(noon), want: noon},
		"5 s ahead is allowed at once":                 {last: last(noon+4, noon), taken: true, now: at(noon), want: noon + 5},
		"beyond that touches merge":                    {last: last(noon+5, noon), taken: true, now: at(noon), want: noon + 5},
		"… until the pause is over":                    {last: last(noon+5, noon), taken: true, now: at(noon).Add(999 * time.Millisecond), want: noon + 5},
		"… and then it rises":                          {last: last(noon+9, noon), taken: true, now: at(noon + 1), want: noon + 10},
		"a clock set back by an hour silences nobody":  {last: last(noon, noon), taken: true, now: at(noon - 3600), want: noon + 1},
		"… but merges while nobody read":               {last: last(noon, noon), now: at(noon - 3600), want: noon},
		"… and has the pause":                          {last: last(noon, noon-3600), taken: true, now: at(noon - 3600), want: noon},
	} {
		t.Run(name, func(t *testing.T) {
			var changed time.Time
			if c.changed != 0 {
				changed = at(c.changed)
			}
			got := hub.NextStamp(c.last, c.taken, changed, c.now)
			if got.Last != c.want {
				t.Errorf("got %+d, want %+d", got.Last-noon, c.want-noon)
			}
			risen := c.now
			if got.Last == c.last.Last {
				risen = c.last.Risen
			}
			if !got.Risen.Equal(risen) {
				t.Errorf("risen at %v, want %v", got.Risen, risen)
			}
		})
	}
}
