package caddymodule

import (
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// The life of a hold is three lines at level debug: it begins, it is parked, it ends.
// They have its number in common. None says who holds or on which channels: names may be
// secrets. At any other level they cost a look at the level, for this is where thousands
// come by at once; the number is given with the first line.

var holdNumbers atomic.Uint64

func (b *book) logBegin(leased bool) {
	if entry := logs().holds.Check(zapcore.DebugLevel, "held request begins"); entry != nil {
		b.number = holdNumbers.Add(1)
		entry.Write(b.id(), zap.String("hub", b.page.hub), zap.String("dialect", b.page.dialect), zap.String("transport", b.page.transport),
			zap.Int32("channels", b.channels), zap.Bool("leased", leased))
	}
}

func (b *book) logPark() {
	if entry := logs().holds.Check(zapcore.DebugLevel, "held request is parked"); entry != nil {
		entry.Write(b.id(), zap.String("hub", b.page.hub), zap.Duration("waited", b.took()))
	}
}

func (b *book) logEnd(r hold.Report) {
	if entry := logs().holds.Check(zapcore.DebugLevel, "held request ended"); entry != nil {
		entry.Write(b.id(), zap.String("hub", b.page.hub), zap.String("dialect", b.page.dialect), zap.String("transport", b.page.transport),
			zap.String("outcome", string(r.Outcome)), zap.Bool("parked", b.parked),
			zap.Int32("channels", b.channels), zap.Int("events", r.Events), zap.Duration("waited", b.took()))
	}
}

// id is left out where the hold began before the level was debug.
func (b *book) id() zap.Field {
	if b.number == 0 {
		return zap.Skip()
	}
	return zap.Uint64("hold", b.number)
}
