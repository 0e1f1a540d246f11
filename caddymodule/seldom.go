package caddymodule

import (
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// seldom bounds what the log tells of troubles that come with requests: whoever may
// send those, or PHP that has a mistake on each page, must not be able to fill the disk.
// Of each trouble it tells a few times in full; then once a minute, for as long as it
// goes on, how often there was more of it, with the last one as the example. The zero
// value is ready.
type seldom struct {
	mu   sync.Mutex
	told map[trouble]*telling
}

// trouble is what is bounded together. A hub's trouble does not hide another's. No part
// of it is from outside, so that there are few.
type trouble struct{ hub, message string }

// telling is what was said of a trouble lately, and what was not.
type telling struct {
	lines, more int
	last        []zap.Field
}

const (
	seldomLines = 5
	seldomEvery = time.Minute
)

// tell has it written, now or in sum.
func (s *seldom) tell(what trouble, write func(...zap.Field), fields []zap.Field) {
	s.mu.Lock()
	t := s.told[what]
	if t == nil {
		if s.told == nil {
			s.told = make(map[trouble]*telling)
		}
		t = new(telling)
		s.told[what] = t
		time.AfterFunc(seldomEvery, func() { s.sum(what, write) })
	}
	if t.lines == seldomLines {
		t.more++
		t.last = fields
		s.mu.Unlock()
		return
	}
	t.lines++
	s.mu.Unlock()
	write(fields...)
}

// sum tells of what was not told, and forgets the trouble when there was no more.
func (s *seldom) sum(what trouble, write func(...zap.Field)) {
	s.mu.Lock()
	t := s.told[what]
	if t.more == 0 {
		delete(s.told, what)
		s.mu.Unlock()
		return
	}
	fields := append(slices.Clip(t.last), zap.Int("more", t.more), zap.Duration("within", seldomEvery))
	t.more, t.last = 0, nil
	time.AfterFunc(seldomEvery, func() { s.sum(what, write) })
	s.mu.Unlock()
	write(fields...)
}

// The loggers that troubles are told by.
func ofHolds(l *loggers) *zap.Logger   { return l.holds }
func ofBackend(l *loggers) *zap.Logger { return l.backend }
func ofFiles(l *loggers) *zap.Logger   { return l.files }

// warn logs a trouble that may come with each request. hub may be empty.
func warn(of func(*loggers) *zap.Logger, hub, message string, fields ...zap.Field) {
	logTrouble(zapcore.WarnLevel, of, hub, message, fields)
}

// fail is warn for what keeps somebody from what he came for.
func fail(of func(*loggers) *zap.Logger, hub, message string, fields ...zap.Field) {
	logTrouble(zapcore.ErrorLevel, of, hub, message, fields)
}

func logTrouble(level zapcore.Level, of func(*loggers) *zap.Logger, hub, message string, fields []zap.Field) {
	if hub != "" {
		fields = append([]zap.Field{zap.String("hub", hub)}, fields...)
	}
	logs().seldom.tell(trouble{hub, message}, func(fields ...zap.Field) {
		of(logs()).Log(level, message, fields...) // by then a newer configuration's, perhaps
	}, fields)
}
