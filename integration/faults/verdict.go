package faults

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// read waits until somebody has heard what was written last.
func (r *Round) read(ctx context.Context) error {
	for _, w := range r.writers {
		if err := w.Heard(ctx); err != nil {
			return err
		}
	}
	return nil
}

// finish publishes a last event on each channel, until all have one.
func (r *Round) finish(all context.Context) error {
	if r.law.Restarts { // what was written while no server ran is no news to the next
		for _, w := range r.writers {
			if err := w.Once(); err != nil {
				return err
			}
		}
	}
	if err := r.read(all); err != nil {
		return err
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for n := 0; ; n++ {
		for _, channel := range r.channels {
			p := &Poster{
				Channel: channel, Name: LastPublisher, Client: direct, Base: "http://127.0.0.1:" + r.server.Ports.Publish,
				Ledger: r.ledger, Chance: r.Seed.Source("last", 0),
			}
			p.Publish(all, Token(channel, LastPublisher, n))
		}
		// Whoever comes back to a new server late is told of a gap up to now, and
		// needs another end.
		again := time.NewTimer(2 * time.Second)
		for _, f := range r.followers {
			select {
			case <-f.Finished:
				continue
			case <-again.C:
			case <-all.Done():
				return all.Err()
			case <-limit.C:
				r.unfinished()
				return nil
			}
			break
		}
		if again.Stop() {
			return nil
		}
	}
}

// look leaves in the round's directory what everybody is doing.
func (r *Round) look(why string) {
	var found bytes.Buffer
	fmt.Fprintf(&found, "%s: %s\n", time.Now().Format(time.TimeOnly), why)
	for name, p := range r.proxies {
		fmt.Fprintln(&found, name, p.sockets())
	}
	if b, err := os.ReadFile("/proc/net/tcp"); err == nil {
		found.Write(b)
	}
	b, err := r.server.Goroutines()
	fmt.Fprintf(&found, "the server (%v):\n%s\n", err, b)
	stacks := make([]byte, 16<<20)
	fmt.Fprintf(&found, "the clients:\n%s\n", stacks[:runtime.Stack(stacks, true)])
	if err := os.WriteFile(filepath.Join(r.Dir, "looked"), found.Bytes(), 0o644); err != nil {
		r.wrong("looking around: %v", err)
	}
}

// unfinished says who is not at the end.
func (r *Round) unfinished() {
	r.looked.Do(func() { r.look("not all are at the end") })
	for _, f := range r.followers {
		select {
		case <-f.Finished:
		default:
			r.wrong("%s is not at the end after %s; it last asked for %v", f.Name, patience, f.asked.Load())
		}
	}
}

func (r *Round) judge() {
	var records []*Record
	answers, cut, gaps := 0, 0, 0
	for _, f := range r.followers {
		records = append(records, &f.Record)
		answers, cut, gaps = answers+f.Answers, cut+f.Cut, gaps+len(f.Gaps)
	}
	for _, v := range r.ledger.Judge(r.law, records) {
		r.wrong("%s", v)
	}
	told := 0
	for _, l := range slices.Concat(r.novcomets, r.chats, r.bells) {
		for _, c := range l.Complaints() {
			r.wrong("%s: %s", l.Name, c)
		}
		answers, cut, told = answers+l.answers, cut+l.cut, told+l.times
	}
	r.logf("  %d events, %d followers, %d answers, %d cut, %d gaps, %d told otherwise; %v",
		r.ledger.Certain(), len(records), answers, cut, gaps, told, r.tally.Counts())
}
