//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"
)

const (
	sampleEvery = time.Second
	// homeCap is when a visitor would have gone, and we stop looking.
	homeCap = 5 * time.Second
	// With nobody at the page for so long, sampling pauses: the demo then does nothing at all.
	idleAfter = 5 * time.Second
)

// stats is what the page shows.
type stats struct {
	Now  time.Time             `json:"now"`
	Side map[string]*sideStats `json:"side"`
}

type sideStats struct {
	Port     string     `json:"port"`
	Visitors int        `json:"visitors"`
	Max      int        `json:"max"`
	Held     int        `json:"held"` // polls that caddy-comet holds, or on the other side a PHP worker
	FPM      *fpmStatus `json:"fpm"`  // null while php-fpm gives no status
	Woken    *wave      `json:"woken"`
	home
}

// home is the latest look at the home page. Ms is null when it took more than homeCap or failed; WaitingMs is how long
// the look that is under way has waited so far.
type home struct {
	Ms        *float64 `json:"home_ms"`
	TimedOut  bool     `json:"home_timed_out"`
	WaitingMs float64  `json:"home_waiting_ms"`
}

// sampler looks at both sides once a second while somebody looks at the page.
type sampler struct {
	sides   map[string]*side
	fpm     map[string]fpmProbe
	publish string

	mu       sync.Mutex
	asked    time.Time
	held     int
	statuses map[string]*fpmStatus
	homes    map[string]home
	began    map[string]time.Time // looks at a home page that are under way
}

func (s *sampler) run(ctx context.Context) {
	for ticker := time.NewTicker(sampleEvery); ; {
		select {
		case <-ctx.Done():
			ticker.Stop()
			return
		case <-ticker.C:
		}
		if s.watched() {
			s.sample(ctx)
		}
	}
}

func (s *sampler) watched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.asked) < idleAfter
}

func (s *sampler) sample(ctx context.Context) {
	s.count(ctx)
	// This comes last, or the worker that answers it would be counted as busy.
	for name := range s.sides {
		s.lookAtHome(ctx, name)
	}
}

func (s *sampler) count(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sampleEvery)
	defer cancel()
	held, heldErr := s.readHeld(ctx)
	statuses := map[string]*fpmStatus{}
	for name, probe := range s.fpm {
		statuses[name], _ = probe.read(ctx) // null on the page: a restart is under way
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statuses = statuses
	if heldErr == nil {
		s.held = held
	}
}

// lookAtHome starts a look unless one is still waiting: a clogged site gets one visitor of this kind, not one a second.
func (s *sampler) lookAtHome(ctx context.Context, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.began[name].IsZero() {
		return
	}
	if s.began == nil {
		s.began, s.homes = map[string]time.Time{}, map[string]home{}
	}
	began := time.Now()
	s.began[name] = began
	go func() {
		ctx, cancel := context.WithTimeout(ctx, homeCap)
		defer cancel()
		_, err := get(ctx, s.sides[name].base+"/")
		took := float64(time.Since(began).Microseconds()) / 1000

		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.began, name)
		s.homes[name] = home{TimedOut: errors.Is(err, context.DeadlineExceeded)}
		if err == nil {
			s.homes[name] = home{Ms: &took}
		}
	}()
}

// readHeld asks comet_publish how many polls the hub holds.
func (s *sampler) readHeld(ctx context.Context) (int, error) {
	body, err := get(ctx, s.publish+"/")
	if err != nil {
		return 0, err
	}
	return parseHeld(body)
}

func parseHeld(body []byte) (int, error) {
	var hub struct {
		Held *int `json:"held"`
	}
	if err := json.Unmarshal(body, &hub); err != nil {
		return 0, err
	}
	if hub.Held == nil {
		return 0, errors.New("comet_publish tells no number of held polls")
	}
	return *hub.Held, nil
}

// read gives the numbers as they stand, and keeps the sampling going.
func (s *sampler) read(ctx context.Context) stats {
	if !s.watched() {
		s.count(ctx) // what was seen before the pause is old
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.asked = now
	out := stats{Now: now, Side: map[string]*sideStats{}}
	for name, side := range s.sides {
		one := &sideStats{
			Port:     side.port(),
			Visitors: side.count(),
			Max:      side.room,
			FPM:      s.statuses[name],
			Woken:    side.lastWave(),
			home:     s.homes[name],
		}
		if began := s.began[name]; !began.IsZero() {
			one.WaitingMs = float64(now.Sub(began).Milliseconds())
		}
		switch {
		case name == "with":
			one.Held = s.held
		case one.FPM != nil:
			// What PHP holds are the polls that it works on; the others stand in the queue.
			one.Held = min(one.FPM.Active, int(side.waiting.Load()))
		}
		out.Side[name] = one
	}
	return out
}
