//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/caddy-comet/caddy-comet/bench/load"
)

// upheavals is the case of what a server lives through: how long do a reload, a stop and
// a start take while many wait, what does it cost to keep events on the disk, and how
// fast are lines of files read? That nothing is lost meanwhile is for tests.
type upheavals struct {
	*bench
	*caseResult
	name string
}

const unstored = "in memory"

// keepers are who keeps events, and where.
var keepers = []contender{
	{name: unstored, program: comet{}},
	{name: "with a store", program: comet{stored: true}},
}

const (
	// reloads are for each start, posts one after the other.
	reloads, posts = 5, 200
	// publishers post side by side, each so often.
	publishers, postsEach = 64, 50
	// linesEach is how many lines a file gets.
	linesEach = 100
)

func (u *upheavals) measure(ctx context.Context) error {
	_, names, _ := within(u.name, keepers)
	caption := fmt.Sprintf("%s polls in one channel wait on each server while it is reloaded, gets POSTs and %s lines of %s files, and is stopped and started again. Median of %d rounds.",
		thousands(u.connections), thousands(u.lines), thousands(u.lines/linesEach), u.lives)
	u.caseResult = u.results.begin(u.name, caption, unstored, names)
	for life := range u.lives {
		if err := u.live(ctx, life); err != nil {
			return err
		}
	}
	return nil
}

func (u *upheavals) live(ctx context.Context, life int) error {
	all, err := u.launch(ctx, keepers, load.Target{Channels: 1}, func(s *site) error {
		s.logs = s.path("logs")
		return os.Mkdir(s.logs, 0o755)
	})
	defer stopAll(all)
	if err != nil {
		return err
	}
	for _, r := range all {
		if _, err := r.openAll(ctx, u.connections); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context, *running) error{u.reload, u.post, u.append, u.restart} {
		for _, r := range turns(all, life) {
			if err := step(ctx, r); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
	}
	return ctx.Err()
}

// reload has the server load its configuration anew.
func (u *upheavals) reload(ctx context.Context, r *running) error {
	config, err := os.ReadFile(r.path("Caddyfile"))
	if err != nil {
		return err
	}
	client := adminClient(r.site)
	for range reloads {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/load", strings.NewReader(string(config)))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "text/caddyfile")
		req.Header.Set("Cache-Control", "must-revalidate") // also where nothing has changed
		began := time.Now()
		if _, err := do(client, req); err != nil {
			return err
		}
		u.add(reloadTime, r.name, ms(time.Since(began)))
	}
	return r.holds(ctx, r.open)
}

// post publishes in channels that nobody waits in, alone and as a crowd.
func (u *upheavals) post(ctx context.Context, r *running) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: publishers}}
	defer client.CloseIdleConnections()
	one := func(i int) (time.Duration, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://%s/other%d", r.publish, i), strings.NewReader(`{"id":42}`))
		if err != nil {
			return 0, err
		}
		began := time.Now()
		_, err = do(client, req)
		return time.Since(began), err
	}
	var times []float64
	for range posts {
		took, err := one(0)
		if err != nil {
			return err
		}
		times = append(times, ms(took))
	}
	u.add(postTime, r.name, median(times))
	var crowd sync.WaitGroup
	failed := make([]error, publishers)
	began := time.Now()
	for i := range publishers {
		crowd.Go(func() {
			for range postsEach {
				if _, err := one(i); err != nil {
					failed[i] = err
					return
				}
			}
		})
	}
	crowd.Wait()
	u.add(postRate, r.name, publishers*postsEach/time.Since(began).Seconds())
	return errors.Join(failed...)
}

// append writes lines into many files and waits until all of them are events.
func (u *upheavals) append(ctx context.Context, r *running) error {
	text := []byte(strings.Repeat(`{"id":42,"text":"a line as PHP may write it"}`+"\n", linesEach))
	began := time.Now()
	for i := range u.lines / linesEach {
		if err := os.WriteFile(filepath.Join(r.logs, fmt.Sprintf("line%d.jsonl", i)), text, 0o644); err != nil {
			return err
		}
	}
	err := r.server.until(ctx, "the lines to be events", func() error {
		status, err := statusOf(ctx, r.site)
		if err != nil {
			return err
		}
		if n := status.Hubs[0].Published["file"]; int(n) < u.lines {
			return fmt.Errorf("%d of %d", n, u.lines)
		}
		return nil
	})
	if err == nil {
		u.add(lineRate, r.name, float64(u.lines)/time.Since(began).Seconds())
	}
	return err
}

// restart ends the server, which answers all who wait, and starts it again.
func (u *upheavals) restart(ctx context.Context, r *running) error {
	left := make(chan error, 1)
	go func() {
		report, err := r.visitors.Leave()
		u.faults.add(u.name+", "+r.name, report)
		left <- err
	}()
	began := time.Now()
	r.server.stop()
	u.add(stopTime, r.name, ms(time.Since(began)))
	err := <-left
	if err != nil {
		return err
	}
	began = time.Now()
	if r.server, err = start(caddyCommand(r.site, "run"), r.path("output.log")); err != nil {
		return err
	}
	err = r.server.until(ctx, r.name, func() error {
		res, err := http.Get("http://localhost:" + portOf(r.plain) + "/comet/other0?wait=0")
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
	if err == nil {
		u.add(startTime, r.name, ms(time.Since(began)))
	}
	return err
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }
