package caddymodule

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/source"
)

// generation is an App's life between Start and Stop.
type generation struct {
	// retire is closed when the generation ends.
	retire   chan struct{}
	stopOnce sync.Once
	// ready is closed when the watches of this generation see what happens, or when
	// it will not come to that.
	ready     chan struct{}
	readyOnce sync.Once
	// started says that hubs were in use, so that they linger.
	started bool
	// added are the watches that this generation added, by hub. Only those are
	// its to remove: the same ones of another generation must stay.
	added map[string][]source.Watch
}

// onShutdown has all holds answered when the process ends, on the servers that
// hold some. Only a server's own hook comes in time: the http app waits for held
// requests before it stops, and apps stop in no order.
func (a *App) onShutdown(ctx caddy.Context, comet bool) {
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	known, ok := a.servers[srv]
	a.servers[srv] = known || comet
	if comet && !known {
		srv.RegisterConnContext(welcome)
	}
	if ok {
		return
	}
	a.policies[srv] = policiesOf(srv)
	srv.RegisterOnShutdown(func() {
		if caddy.Exiting() {
			stopHolds()
		}
		a.retireHome(srv)
	})
	srv.RegisterOnStop(func(ctx context.Context) error {
		if h := a.retireHome(srv); h != nil && caddy.Exiting() {
			h.end(ctx)
		}
		return nil
	})
}

// retireHome ends the home of a server that ends, if it has one, and sees to it
// that it does not get one any more.
func (a *App) retireHome(srv *caddyhttp.Server) *home {
	a.mu.Lock()
	h := a.homes[srv]
	if h == nil {
		a.homes[srv] = nil
	}
	a.mu.Unlock()
	if h != nil {
		h.retire()
	}
	return h
}

// warnOfWriteTimeouts says where Caddy would cut what is held.
func (a *App) warnOfWriteTimeouts() {
	for srv, comet := range a.servers {
		if comet && srv.WriteTimeout > 0 {
			a.logger.Warn("the server's write timeout cuts held requests; a hold must be shorter, or leave \"timeouts { write }\" unset",
				zap.Duration("write_timeout", time.Duration(srv.WriteTimeout)), zap.Strings("listen", srv.Listen))
		}
	}
}

// Start puts this generation's settings in force, opens stores and watches files. The
// generation before it still runs, so that no watch has a gap.
func (a *App) Start() error {
	process.mu.Lock()
	if process.files == nil {
		process.files = source.NewFiles(source.Config{})
	}
	files := process.files
	process.running = append(process.running, a)
	setLoggerLocked()
	process.mu.Unlock()

	a.started = true
	a.follow()
	a.added = make(map[string][]source.Watch)
	for name, use := range a.uses {
		use.serve()
		if err := use.hub.keepIn(use.store()); err != nil {
			_ = a.Stop()
			return fmt.Errorf("hub %s: %w", name, err)
		}
		for _, w := range use.watches {
			if err := files.Add(name, w, &fileSink{use.hub}); err != nil {
				_ = a.Stop() // Caddy stops only apps that started
				return fmt.Errorf("hub %s: %w", name, err)
			}
			a.added[name] = append(a.added[name], w)
		}
	}
	if use := a.uses[defaultHub]; use != nil && len(a.Hubs) == 0 && len(use.directives) > 1 {
		a.logger.Info("all comet directives share one hub; declare hubs in the global options to keep sites apart",
			zap.String("hub", defaultHub), zap.Strings("directives", use.directives))
	}
	a.setReady()
	a.warnOfRewrites()
	a.warnOfWriteTimeouts()
	return nil
}

// awaitReady has a request wait until the watches are there. Caddy starts apps in
// random order, so the server may be first: and what happened to a file before its
// watch is no news, though a client already had a cursor from before it.
func (a *App) awaitReady(ctx context.Context) {
	select {
	case <-a.ready:
	default:
		select {
		case <-a.ready:
		case <-ctx.Done():
		}
	}
}

func (a *App) setReady() { a.readyOnce.Do(func() { close(a.ready) }) }

// Stop ends the generation: streams that it holds come to their end, and the
// settings of the generation that goes on (a newer one, or the old one when a
// start failed) are in force.
func (a *App) Stop() error {
	a.stopOnce.Do(a.stop)
	return nil
}

func (a *App) stop() {
	close(a.retire)
	a.setReady()
	a.retireHomes()
	if !a.started {
		return
	}
	a.unfollow()
	process.mu.Lock()
	files := process.files
	process.running = slices.DeleteFunc(process.running, func(b *App) bool { return a == b })
	running := slices.Clone(process.running)
	setLoggerLocked()
	process.mu.Unlock()

	for name, watches := range a.added {
		for _, w := range watches {
			files.Remove(name, w)
		}
	}
	for name := range a.uses {
		for _, b := range slices.Backward(running) {
			if other := b.uses[name]; other != nil {
				other.serve()
				if err := other.hub.keepIn(other.store()); err != nil {
					a.logger.Error("the hub's store is not changed back", zap.String("hub", name), zap.Error(err))
				}
				break
			}
		}
	}
	switch {
	case caddy.Exiting():
		stopHolds()
		drainParked()
	case !hooked():
		go awaitExit(a.sharedHubs())
	}
}

// Cleanup gives the references to the hubs back. It also ends what Caddy does
// not stop: a generation whose own app never started, while its server already
// held requests, and one whose configuration failed after its start.
func (a *App) Cleanup() error {
	if a.retire == nil {
		return nil // not even provisioned
	}
	_ = a.Stop()
	for name, use := range a.uses {
		var linger time.Duration
		if a.started && !caddy.Exiting() {
			linger = use.limitsInForce().HistoryAge
		}
		releaseHub(name, linger)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.uses = nil
	return nil
}

// hooked reports whether a server runs whose end has the holds answered. There
// is none where a reload removed the last directive.
func hooked() bool {
	process.mu.Lock()
	defer process.mu.Unlock()
	return slices.ContainsFunc(process.running, func(a *App) bool { return len(a.servers) > 0 })
}

// awaitExit answers the holds of a generation that nobody followed, if the
// process ends while there are still some. The hooks of its own servers have
// run, no other server has any, and Caddy tells nobody else before it waits for
// the held requests.
func awaitExit(shared []*sharedHub) {
	tick := time.NewTicker(exitLook)
	defer tick.Stop()
	for range tick.C {
		if caddy.Exiting() {
			stopHolds()
			return
		}
		held := slices.ContainsFunc(shared, func(s *sharedHub) bool { return s.Stats().Holds > 0 })
		if !held || hooked() {
			return
		}
	}
}

// exitLook is how often awaitExit looks: well below hold.StopSpread, within
// which the answers go out.
const exitLook = hold.StopSpread / 8

// retireHomes ends all homes: the connections go to those of the generation that
// goes on.
func (a *App) retireHomes() {
	a.mu.Lock()
	a.retired = true
	homes := slices.Collect(maps.Values(a.homes))
	a.mu.Unlock()
	for _, h := range homes {
		if h != nil {
			h.retire()
		}
	}
}

// drainParked waits until the parked holds are answered: Caddy knows nothing of
// them, and the process ends when it is ready.
func drainParked() {
	if lot := process.lot.Load(); lot != nil {
		lot.Drain(hold.StopSpread + drainTime)
	}
}

// drainTime is how long the answers of parked holds may take to go out at the
// process's end, behind the moment at which the last is written.
const drainTime = 3 * time.Second
