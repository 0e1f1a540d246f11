package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/access"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// pace is how fast a hub may be told what happens, by all publishers together.
type pace struct {
	inForce atomic.Pointer[paced]
}

type paced struct {
	rate  Rate
	quota *access.Quota
}

// set puts a rate in force, nil for none. One that stays goes on counting.
func (p *pace) set(r *Rate) {
	before := p.inForce.Load()
	switch quota, err := r.quota(); {
	case err != nil || quota == nil: // an error was told at provision
		p.inForce.Store(nil)
	case before == nil || before.rate != *r:
		p.inForce.Store(&paced{*r, quota})
	}
}

// tooFast says that a hub is told more than its rate.
type tooFast struct {
	hub  string
	wait time.Duration
}

func (e *tooFast) seconds() int { return int(math.Ceil(e.wait.Seconds())) }

func (e *tooFast) Error() string {
	return fmt.Sprintf("the hub %s is told of events faster than its max_publish_rate; try again in %d s, or raise it", e.hub, e.seconds())
}

// retryAfter sets the header that goes with the error.
func (e *tooFast) retryAfter(header http.Header) {
	header.Set("Retry-After", strconv.Itoa(e.seconds()))
}

// tell publishes what somebody sends, unless the hub is told too much. Besides the
// hub's errors there are [*tooFast] and [access.ErrNever].
func (s *sharedHub) tell(ctx context.Context, drafts []hub.Draft) ([]hub.Result, error) {
	if p := s.pace.inForce.Load(); p != nil {
		wait, err := p.quota.Take(access.Publisher{}, len(drafts))
		if err != nil {
			return nil, err
		}
		if wait > 0 {
			return nil, &tooFast{s.name, wait}
		}
	}
	return s.Publish(ctx, drafts)
}

// refusedAs is the reason in the metric for an error of tell.
func refusedAs(err error, otherwise string) string {
	switch err.(type) {
	case *tooFast, access.ErrNever:
		return "rate"
	}
	switch {
	case isStoreError(err):
		return "store"
	case errors.Is(err, hub.ErrTooManyChannels), errors.Is(err, hub.ErrTooMuch):
		return "limit"
	}
	return otherwise
}
