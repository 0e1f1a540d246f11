package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"

	"github.com/caddy-comet/caddy-comet/internal/access"
)

// Rate is how fast events may come.
type Rate struct {
	// So many events …
	Events int `json:"events"`
	// … in that time. Default: 1s.
	Per caddy.Duration `json:"per,omitempty"`
	// How many may come at once after a pause, and how many one request may have.
	// Default: as many as Events.
	Burst int `json:"burst,omitempty"`
}

// maxRate bounds the numbers of a rate.
const maxRate = 1_000_000

// quota checks the rate and returns what counts it, nil where there is none.
func (r *Rate) quota() (*access.Quota, error) {
	if r == nil {
		return nil, nil
	}
	full := access.Rate{Events: r.Events, Per: or(time.Duration(r.Per), time.Second), Burst: or(r.Burst, r.Events)}
	switch {
	case full.Events < 1 || full.Events > maxRate || full.Burst < 1 || full.Burst > maxRate:
		return nil, fmt.Errorf("rate: events and burst go from 1 up to %d", maxRate)
	case full.Per < time.Second || full.Per > time.Hour:
		return nil, fmt.Errorf("rate: the time goes from 1s up to 1h, as in rate 50/s or rate 600/m")
	}
	return access.NewQuota(full), nil
}

func (p *Publish) readLimits() (err error) {
	if p.quota, err = p.Rate.quota(); err != nil {
		return err
	}
	limit := p.use.settings.limits().EventBytes
	switch {
	case p.MaxEvent < 0:
		return errors.New("max_event cannot be negative")
	case p.MaxEvent > limit:
		return fmt.Errorf("max_event %s is more than the %s that the hub takes; raise the hub's max_event, or take the line out here",
			humanize.IBytes(uint64(p.MaxEvent)), humanize.IBytes(uint64(limit)))
	}
	return nil
}

// A publisher who is over his rate waits for his turn, for so long at most, before he is
// refused: who comes again at once, on a few connections, costs hardly anything then. Of
// one endpoint so many wait at most.
const (
	maxTurn  = 50 * time.Millisecond
	maxTurns = 100
)

// ration reports why a publisher may not come with that many channels now.
func (p *Publish) ration(ctx context.Context, header http.Header, who access.Publisher, names string) (int, error) {
	return p.rationEvents(ctx, header, who, strings.Count(names, ",")+1)
}

func (p *Publish) rationEvents(ctx context.Context, header http.Header, who access.Publisher, events int) (int, error) {
	if p.quota == nil || events == 0 {
		return 0, nil
	}
	wait, err := p.quota.Take(who, events)
	if err == nil && wait > 0 {
		wait = p.awaitTurn(ctx, who, events, wait)
	}
	if err != nil {
		return http.StatusRequestEntityTooLarge, err
	}
	if wait > 0 {
		seconds := int(math.Ceil(wait.Seconds()))
		header.Set("Retry-After", strconv.Itoa(seconds))
		return http.StatusTooManyRequests, fmt.Errorf("this publisher publishes faster than its rate; try again in %d s, or raise the rate of comet_publish", seconds)
	}
	return 0, nil
}

// awaitTurn waits for a publisher's turn, or for as long as anybody does. It returns how
// long there still is to wait, 0 if it was his turn.
func (p *Publish) awaitTurn(ctx context.Context, who access.Publisher, events int, wait time.Duration) time.Duration {
	defer p.turns.Add(-1)
	if p.turns.Add(1) > maxTurns {
		return wait
	}
	wait, giveBack, _ := p.quota.TakeWithin(who, events, maxTurn) // Take would have refused it
	select {
	case <-ctx.Done():
		if giveBack != nil {
			giveBack()
		}
	case <-time.After(min(wait, maxTurn)):
		if giveBack != nil {
			return 0
		}
	}
	return wait
}

var rateText = regexp.MustCompile(`^([0-9]{1,7})/([smh])$`)

// rateOption reads `rate 50/s` and `rate 50/s burst 200`.
func rateOption(v **Rate) option {
	return option{read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, "a rate and perhaps a burst, as in rate 50/s burst 200", 1, 3)
		if err != nil {
			return err
		}
		m := rateText.FindStringSubmatch(a[0])
		if m == nil {
			return d.Errf("%q is no rate; write one as in 50/s, 600/m or 1000/h", a[0])
		}
		r := &Rate{Per: caddy.Duration(map[string]time.Duration{"s": 0, "m": time.Minute, "h": time.Hour}[m[2]])}
		r.Events, _ = strconv.Atoi(m[1])
		if len(a) > 1 {
			if len(a) != 3 || a[1] != "burst" {
				return d.Errf("rate: after %s comes nothing, or burst and a number, as in burst 200", a[0])
			}
			if r.Burst, err = strconv.Atoi(a[2]); err != nil || r.Burst < 1 {
				return d.Errf("rate: %q is no number of events at one go", a[2])
			}
		}
		if _, err := r.quota(); err != nil {
			return d.WrapErr(err)
		}
		*v = r
		return nil
	}}
}
