package caddymodule

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-comet/caddy-comet/internal/access"
)

// TestWhoIsOverHisRateWaitsForHisTurn, if it comes soon; else he is refused, but not at
// once, so that to come again and again is of no use. Only so many wait.
func TestWhoIsOverHisRateWaitsForHisTurn(t *testing.T) {
	for _, c := range []struct {
		name    string
		rate    Rate
		already int32
		took    time.Duration
		status  int
	}{
		{name: "soon", rate: Rate{Events: 100, Burst: 1}, took: 10 * time.Millisecond},
		{name: "late", rate: Rate{Events: 1, Per: caddy.Duration(time.Hour)}, took: maxTurn, status: http.StatusTooManyRequests},
		{name: "in a crowd", rate: Rate{Events: 100, Burst: 1}, already: maxTurns, status: http.StatusTooManyRequests},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &Publish{}
				var err error
				if p.quota, err = c.rate.quota(); err != nil {
					t.Fatal(err)
				}
				p.turns.Store(c.already)
				header := http.Header{}
				publish := func(ctx context.Context) (int, time.Duration) {
					began := time.Now()
					status, _ := p.ration(ctx, header, access.Publisher{}, "news")
					return status, time.Since(began)
				}
				if status, took := publish(t.Context()); status != 0 || took != 0 {
					t.Errorf("the first gets %d after %s", status, took)
				}
				if status, took := publish(t.Context()); status != c.status || took != c.took {
					t.Errorf("the second gets %d after %s, not %d after %s", status, took, c.status, c.took)
				}
				gone, cancel := context.WithCancel(t.Context())
				cancel()
				if status, took := publish(gone); status != http.StatusTooManyRequests || took != 0 || header.Get("Retry-After") == "" {
					t.Errorf("who has gone gets %d after %s, with %v", status, took, header)
				}
				if left := p.turns.Load(); left != c.already {
					t.Errorf("%d wait in the end", left)
				}
			})
		})
	}
}

// TestOneTurnIsOnePublishers: of many who wait for it.
func TestOneTurnIsOnePublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Publish{quota: access.NewQuota(access.Rate{Events: 100, Per: time.Second, Burst: 1})}
		var taken atomic.Int64
		for range 20 {
			go func() {
				if status, _ := p.ration(t.Context(), http.Header{}, access.Publisher{}, "news"); status == 0 {
					taken.Add(1)
				}
			}()
		}
		time.Sleep(10*time.Millisecond + 1)
		synctest.Wait()
		if n := taken.Load(); n != 2 {
			t.Errorf("%d of 20 are taken in the time of two", n)
		}
		time.Sleep(time.Second)
	})
}
