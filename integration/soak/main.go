// Command soak does one round of package faults after the other: clients that
// follow, proxies that cut, a server that reloads and restarts. It ends with
// status 1 if the server lost, doubled or reordered anything.
//
//	go run ./integration/soak -for 1h
//	go run ./integration/soak -seed 123 -kind reloads -for 0    # one round again
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddy-comet/caddy-comet/integration/faults"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run() error {
	long := flag.Duration("for", time.Minute, "begin rounds for so long; 0 is one round")
	seed := flag.Uint64("seed", 0, "the first round's seed; 0 is another each time")
	kind := flag.String("kind", "", "fair, reloads, gaps or restarts; the seed chooses if it is empty")
	park := flag.String("park", "", "on or off: whether connections are parked; the seed chooses if it is empty")
	each := flag.Duration("each", 15*time.Second, "how long a round publishes")
	binary := flag.String("caddy", "", "the server; empty builds it, with the race detector")
	keep := flag.Bool("keep", false, "keep the directory of a round that failed")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	top, err := os.MkdirTemp("", "comet-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(top)
	if *binary == "" {
		*binary = filepath.Join(top, "caddy")
		build := exec.CommandContext(ctx, "go", "build", "-race", "-o", *binary, "./cmd/caddy")
		build.Stdout, build.Stderr = os.Stdout, os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building the server: %w", err)
		}
	}
	first := faults.Seed(*seed)
	if first == 0 {
		first = faults.Seed(rand.Uint64() >> 12)
	}
	failed := 0
	began := time.Now()
	for n := 0; ctx.Err() == nil && (n == 0 || time.Since(began) < *long); n++ {
		s := first.Round(n)
		dir, err := os.MkdirTemp("/tmp", "soak-")
		if err != nil {
			return err
		}
		r := faults.Round{Seed: s, Kind: faults.Kind(*kind), For: *each, Binary: *binary, Dir: dir, Log: os.Stdout}
		parked := cmp.Or(*park, "on")
		if *park == "" && s.Source("park", 0).IntN(4) == 0 {
			parked = "off"
		}
		r.Env = []string{"COMET_PARK=" + parked}
		verdicts, err := r.Do(ctx)
		if err != nil {
			return fmt.Errorf("round %d: %w", n, err)
		}
		if len(verdicts) > 0 {
			failed++
			fmt.Printf("FAILED; again by: go run ./integration/soak -seed %d -kind %s -park %s -each %s -for 0\n\t%s\n", s, r.Kind, parked, *each, strings.Join(verdicts, "\n\t"))
		}
		if *keep && len(verdicts) > 0 {
			fmt.Println("\tits directory is", dir)
			continue
		}
		_ = os.RemoveAll(dir)
	}
	fmt.Printf("%s, %d rounds failed\n", time.Since(began).Round(time.Second), failed)
	if failed > 0 {
		return errors.New("the server did not keep what it promises")
	}
	return nil
}
