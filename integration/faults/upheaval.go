package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"time"
)

// reload loads one configuration after the other.
func (r *Round) reload(ctx context.Context) {
	d := r.Seed.Source("reloads", 0)
	for n := 0; ctx.Err() == nil; n++ {
		c := r.settings
		want := http.StatusOK
		switch d.IntN(7) {
		case 0: // the same
		case 1:
			c.History = fmt.Sprintf("%d 10m 50MiB", 50000+d.IntN(1000))
			c.Hold = between(d, time.Second, 4*time.Second).Truncate(time.Millisecond)
		case 2:
			c.Lease = !c.Lease
		case 3:
			c.More = fmt.Sprintf("http://other%d.localhost:PLAIN {\n\tbind 127.0.0.1\n\timport comet\n}", n)
		case 4: // fails when it is provisioned
			c.More, want = "https://wrong.localhost:TAKEN {\n\tbind 127.0.0.1\n\ttls /nowhere.pem /nowhere.pem\n}", http.StatusBadRequest
		case 5: // fails when it starts
			c.More, want = "http://wrong.localhost:TAKEN {\n\tbind 192.0.2.1\n}", http.StatusBadRequest
		case 6:
			r.remove(ctx, d)
		}
		status, said, err := r.server.Load(c)
		if err != nil || status != want {
			r.wrong("a reload (want %d) was answered %d %.300s (%v)", want, status, said, err)
		}
		if want == http.StatusOK {
			r.settings = c
		}
		rest(ctx, between(d, 50*time.Millisecond, 3*time.Second))
	}
}

// remove takes comet out of the configuration for a while. A file's lines are
// nobody's then, so none are written.
func (r *Round) remove(ctx context.Context, d *rand.Rand) {
	r.calm.Lock()
	defer r.calm.Unlock()
	if err := r.read(ctx); err != nil {
		r.wrong("%v", err)
	}
	if ctx.Err() != nil {
		return // nobody has waited until all is read
	}
	c := r.settings
	c.Without, c.More = true, ""
	r.removed.Add(1)
	if status, said, err := r.server.Load(c); err != nil || status != http.StatusOK {
		r.wrong("a reload without comet was answered %d %s (%v)", status, said, err)
	}
	rest(ctx, between(d, 10*time.Millisecond, time.Second))
	if status, said, err := r.server.Load(r.settings); err != nil || status != http.StatusOK {
		r.wrong("a reload with comet again was answered %d %s (%v)", status, said, err)
	}
}

// restart ends the server now and then.
func (r *Round) restart(ctx context.Context) {
	d := r.Seed.Source("restarts", 0)
	for {
		rest(ctx, between(d, time.Second, 6*time.Second))
		if ctx.Err() != nil {
			return
		}
		by := []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[d.IntN(2)]
		if err := r.server.Stop(by); err != nil {
			r.wrong("%v", err)
		}
		if err := r.server.Start(r.settings); err != nil {
			r.wrong("starting again: %v", err)
			return
		}
		cursor, err := r.server.Cursor()
		if err != nil {
			r.wrong("after a restart: %v", err)
			return
		}
		r.ledger.Epoch(cursor)
	}
}
