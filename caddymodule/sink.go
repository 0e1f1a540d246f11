package caddymodule

import (
	"context"
	"errors"

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
		if _, err = s.Publish(context.Background(), drafts[i:i+1]); err != nil {
			lost++
			metrics().denied.WithLabelValues(s.name, "file_event").Inc()
		}
	}
	if lost > 0 {
		logs().files.Warn("events from files are lost", zap.String("hub", s.name), zap.Int("events", lost), zap.Error(err))
	}
	return nil
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
