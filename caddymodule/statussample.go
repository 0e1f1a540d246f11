package caddymodule

import (
	"encoding/json"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/log"
	"github.com/caddy-comet/caddy-comet/internal/samples"
)

// problems are the last lines of ours that warn.
var problems samples.Problems

// noting has what a logger warns of kept for the status page as well.
func noting(logger *zap.Logger) *zap.Logger {
	return logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return zapcore.NewTee(core, &problems) }))
}

// sampling reads the figures each second for as long as a configuration has a status
// page, whether or not somebody looks at it.
var sampling struct {
	recorder samples.Recorder

	mu   sync.Mutex
	done chan struct{} // nil while nothing is read
	// tellers has the hub by which pages are told, made when the first looks.
	tellers *hub.Hub
}

// sampleEvery is how often figures are read.
const sampleEvery = time.Second

// shows says that a page of a hub is configured, of all for "".
func (a *App) shows(view string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.views = append(a.views, view)
}

// follow begins to keep the figures of a generation's pages.
func (a *App) follow() {
	var done chan struct{}
	for _, view := range a.views {
		if sampling.recorder.Follow(view) {
			done = make(chan struct{})
			sampling.mu.Lock()
			sampling.done = done
			sampling.mu.Unlock()
		}
	}
	if done != nil {
		sampling.recorder.Take(time.Now(), readHubs()) // whoever looks at once sees since when
		go sample(done)
	}
}

func (a *App) unfollow() {
	for _, view := range a.views {
		if sampling.recorder.Unfollow(view) {
			sampling.mu.Lock()
			close(sampling.done)
			sampling.mu.Unlock()
		}
	}
	a.views = nil
}

func sample(done <-chan struct{}) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-tick.C:
			hubs := readHubs()
			sampling.recorder.Take(now, hubs)
			tell(now, hubs)
		}
	}
}

// tell sends the figures to those pages that somebody looks at.
func tell(now time.Time, hubs []samples.Hub) {
	sampling.mu.Lock()
	to := sampling.tellers
	sampling.mu.Unlock()
	if to == nil {
		return
	}
	for _, view := range sampling.recorder.Views() {
		if info, ok := to.Info(liveChannel(view)); !ok || info.Held == 0 {
			continue
		}
		text, err := json.Marshal(viewOf(view, now, hubs))
		if err != nil {
			continue // as for a number that is none
		}
		_ = publishLive(to, view, text)
	}
}

// liveChannel is where a view's figures are published; no hub has an empty name.
func liveChannel(view string) string { return "/" + view }

// livePages is how many pages may be looked at at once.
const livePages = 100

// tellers is the hub of the pages' own streams, nil if it cannot be made. It keeps
// nothing for those who were away: they ask for the history.
func tellers() *hub.Hub {
	sampling.mu.Lock()
	defer sampling.mu.Unlock()
	if sampling.tellers == nil {
		sampling.tellers, _ = hub.New(hub.Config{Log: log.NewMemory(nil), Limits: hub.Limits{
			HistoryAge: time.Second, HistoryBytes: 1 << 20, TotalBytes: 8 << 20, Channels: maxCount, ChannelsPerSub: 1,
			Holds: livePages, InFlightBytes: 32 << 20, EventBytes: 1 << 20,
		}})
	}
	return sampling.tellers
}
