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

// TestOneTurnIsOnePublishers: many who wait come one behind the other, as many as do
// within the time that is waited, and the others are not refused before. Who goes leaves
// his turn to others.
func TestOneTurnIsOnePublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Publish{quota: access.NewQuota(access.Rate{Events: 100, Per: time.Second, Burst: 1})}
		var taken, refused atomic.Int64
		ration := func(ctx context.Context) {
			if status, _ := p.ration(ctx, http.Header{}, access.Publisher{}, "news"); status == 0 {
				taken.Add(1)
				return
			}
			refused.Add(1)
		}
		for range 20 {
			go ration(t.Context())
		}
		expect := func(already, not int64) {
			t.Helper()
			synctest.Wait()
			if taken.Load() != already || refused.Load() != not {
				t.Errorf("%d of 20 are taken and %d refused, not %d and %d", taken.Load(), refused.Load(), already, not)
			}
		}
		for turn := range int64(5) {
			expect(1+turn, 0)
			time.Sleep(10 * time.Millisecond)
		}
		expect(6, 14)

		gone, cancel := context.WithCancel(t.Context())
		go ration(gone)
		synctest.Wait()
		cancel()
		synctest.Wait()
		go ration(t.Context())
		time.Sleep(10 * time.Millisecond)
		expect(7, 15)
	})
}
