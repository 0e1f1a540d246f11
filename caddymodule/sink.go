package caddymodule

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/source"
)

// fileSink brings what happens to files into a hub.
type fileSink struct{ hub *sharedHub }

// Publish implements [source.Sink].
func (s *fileSink) Publish(drafts []hub.Draft) {
	for i := range drafts {
		drafts[i].Kept = true
	}
	s.take(drafts)
}

// Observe implements [source.Sink]: what has no content is only a stamp.
func (s *fileSink) Observe(drafts []hub.Draft) {
	for i := range drafts {
		drafts[i].Kept = true
		drafts[i].Quiet = true
		drafts[i].StampOnly = drafts[i].ContentType == ""
	}
	s.take(drafts)
}

// take publishes a batch; where the hub has no room for all of it, what fits.
func (s *fileSink) take(drafts []hub.Draft) {
	_, err := s.hub.Publish(context.Background(), drafts)
	if err == nil || errors.Is(err, hub.ErrClosed) {
		return
	}
	lost := 0
	for i := range drafts {
		if _, err = s.hub.Publish(context.Background(), drafts[i:i+1]); err != nil {
			lost++
			metrics().denied.WithLabelValues(s.hub.name, "file_event").Inc()
		}
	}
	if lost > 0 {
		logs().files.Warn("events from files are lost", zap.String("hub", s.hub.name), zap.Int("events", lost), zap.Error(err))
	}
}

// Gone implements [source.Sink].
func (s *fileSink) Gone(channel string) { s.hub.Gone(channel) }

// MaxEvent implements [source.Sink].
func (s *fileSink) MaxEvent() int { return s.hub.Limits().EventBytes }

// Interface guards
var _ source.Sink = (*fileSink)(nil)
