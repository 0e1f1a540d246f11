package caddymodule

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/charmbracelet/x/term"

	"github.com/caddy-comet/caddy-comet/internal/console"
)

// tailRetry is how long tail waits for a server that is away.
const tailRetry = time.Second

func runTail(fl caddycmd.Flags) (int, error) {
	ctx := context.Background()
	var channels []string
	width := 0
	for _, list := range fl.Args() {
		for name := range strings.SplitSeq(list, ",") {
			channels = append(channels, name)
			width = max(width, len(name))
		}
	}
	r, hub, err := target(ctx, fl)
	if err != nil {
		return failed, err
	}
	out := console.EventPrinter{Out: os.Stdout, JSON: fl.Bool("json"), Width: min(width, 30)}
	if !out.JSON {
		out.Out = console.Colours(os.Stdout, os.Environ())
	}
	noteNew(ctx, r, hub, channels)
	since, connected, away := fl.String("since"), false, false
	for {
		answer, err := r.Since(ctx, hub, channels, since)
		switch {
		case err != nil && !connected:
			return failed, err
		case err != nil:
			// Also a 404: a server that starts has its admin endpoint before its hubs.
			if !away {
				fmt.Fprintln(os.Stderr, "the server is away; waiting for it:", err)
			}
			away = true
			time.Sleep(tailRetry)
			continue
		}
		connected, away = true, false
		if answer.Gap {
			fmt.Fprintln(os.Stderr, "events are lost: the server has forgotten what was after", since)
		}
		for _, e := range answer.Events {
			if err := out.Print(e); err != nil {
				return failed, err
			}
		}
		since = answer.Cursor
	}
}

// noteNew says of which channels nothing is known, for a name that is misspelt waits for
// ever.
func noteNew(ctx context.Context, r *console.Remote, hub string, channels []string) {
	list, err := r.Channels(ctx, hub, "latest", maxListed)
	if err != nil || list.More > 0 {
		return
	}
	var known []string
	for _, c := range list.Channels {
		known = append(known, c.Channel)
	}
	for _, c := range channels {
		if slices.Contains(known, c) {
			continue
		}
		others := ""
		if few := known[:min(len(known), 10)]; len(few) > 0 {
			others = didYouMean(c, slices.Clone(few))
		}
		fmt.Fprintf(os.Stderr, "nothing is kept of the channel %q and nobody follows it; waiting for its first event%s\n", c, others)
	}
}

func runHolds(fl caddycmd.Flags) (int, error) {
	ctx := context.Background()
	r, err := remoteOf(fl)
	if err != nil {
		return failed, err
	}
	of := console.Which{Hub: fl.String("hub"), Channel: fl.String("channel"), User: fl.String("user"), Limit: fl.Int("limit")}
	if of.Limit < 0 {
		return failed, errors.New("--limit is to be a number above 0, as in --limit 100")
	}
	buffered := bufio.NewWriter(os.Stdout)
	out := console.HoldPrinter{Out: buffered, JSON: fl.Bool("json")}
	more, err := r.Holds(ctx, of, out.Print)
	if err := errors.Join(err, buffered.Flush()); err != nil {
		return failed, err
	}
	switch {
	case out.Lines() == 0:
		fmt.Fprintln(os.Stderr, "nothing is held"+wherever(of))
	case more > 0:
		fmt.Fprintf(os.Stderr, "%d more are held\n", more)
	}
	return caddy.ExitCodeSuccess, nil
}

// wherever says where somebody looked.
func wherever(of console.Which) string {
	var b strings.Builder
	for _, part := range [][2]string{{"in hub", of.Hub}, {"on the channel", of.Channel}, {"for the user", of.User}} {
		if part[1] != "" {
			fmt.Fprintf(&b, " %s %q", part[0], part[1])
		}
	}
	return b.String()
}

// leastInterval is how often top may look at most.
const leastInterval = 200 * time.Millisecond

func runTop(fl caddycmd.Flags) (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	interval := fl.Duration("interval")
	if interval < leastInterval {
		return failed, fmt.Errorf("--interval is to be %s at least", leastInterval)
	}
	r, err := remoteOf(fl)
	if err != nil {
		return failed, err
	}
	// What is wrong is said before the screen is taken.
	s, err := r.Status(ctx)
	if err == nil {
		err = knownHub(s, fl.String("hub"))
	}
	if err != nil {
		return failed, err
	}
	top := console.NewTop(r, fl.String("hub"), interval)
	if !isTerminal(os.Stdin, os.Stdout) {
		return caddy.ExitCodeSuccess, top.Snapshot(ctx, s, os.Stdout)
	}
	if err := top.Run(ctx); err != nil {
		return failed, err
	}
	return caddy.ExitCodeSuccess, nil
}

// isTerminal reports whether somebody sits before it who can be shown a screen.
func isTerminal(in, out *os.File) bool {
	return term.IsTerminal(in.Fd()) && term.IsTerminal(out.Fd()) && os.Getenv("TERM") != "dumb"
}
