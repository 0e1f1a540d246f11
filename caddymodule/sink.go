package caddymodule

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/source"
)

// fileSink brings what happens to files into a hub: at once, or where a disk has to
// be waited for, by way of its feeder.
type fileSink struct{ hub *sharedHub }

// Publish implements [source.Sink].
func (s *fileSink) Publish(drafts []hub.Draft) {
	for i := range drafts {
		drafts[i].Kept = true
	}
	s.bring(drafts)
}

// Observe implements [source.Sink]: what has no content is only a stamp.
func (s *fileSink) Observe(drafts []hub.Draft) {
	for i := range drafts {
		drafts[i].Kept = true
		drafts[i].Quiet = true
		drafts[i].StampOnly = drafts[i].ContentType == ""
	}
	s.bring(drafts)
}

func (s *fileSink) bring(drafts []hub.Draft) {
	if f := s.hub.feeder(); f != nil {
		f.bring(drafts)
		return
	}
	_ = s.hub.take(drafts)
}

// take publishes a batch; where the hub has no room for all of it, what fits. The
// error is that of a store, and then nothing was published.
func (s *sharedHub) take(drafts []hub.Draft) error {
	_, err := s.Publish(context.Background(), drafts)
	switch {
	case err == nil || errors.Is(err, hub.ErrClosed):
		return nil
	case isStoreError(err):
		return err
	}
	lost := 0
	for i := range drafts {
		if _, failed := s.Publish(context.Background(), drafts[i:i+1]); failed != nil {
			err = failed
			lost++
			metrics().denied.WithLabelValues(s.name, "file_event").Inc()
		}
	}
	if all := s.losses.add(time.Now(), lost); all > 0 {
		logs().files.Warn("events from files are lost", zap.String("hub", s.name), zap.Int("events", all), zap.Error(err))
	}
	return nil
}

// losses bounds how often the log tells that events are lost: whoever may write files
// must not be able to fill it.
type losses struct {
	mu     sync.Mutex
	untold int
	next   time.Time
}

// lossesEvery is the least time between two such lines of a hub.
const lossesEvery = time.Minute

// add returns how many were lost since the last line, or 0 where it is too early for
// another.
func (l *losses) add(now time.Time, events int) (tell int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.untold += events
	if l.untold == 0 || now.Before(l.next) {
		return 0
	}
	tell, l.untold, l.next = l.untold, 0, now.Add(lossesEvery)
	return tell
}

// Gone implements [source.Sink].
func (s *fileSink) Gone(channel string) {
	if f := s.hub.feeder(); f != nil {
		f.gone(channel)
		return
	}
	s.hub.Gone(channel)
}

// MaxEvent implements [source.Sink].
func (s *fileSink) MaxEvent() int { return s.hub.Limits().EventBytes }

// Interface guards
var _ source.Sink = (*fileSink)(nil)
