package caddymodule

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/figures"
	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/samples"
)

// status are the page's figures now.
func (s *StatusPage) status() *samples.Status {
	status := viewOf(s.Hub, time.Now(), readHubs())
	status.Tail = !s.HideEvents
	return status
}

// publishLive sends figures to who looks at a view.
func publishLive(to *hub.Hub, view string, text []byte) error {
	_, err := to.Publish(context.Background(), []hub.Draft{{
		Channel: liveChannel(view), ContentType: "application/json", Data: text, Source: samples.Watching,
	}})
	return err
}

// live is the stream of the page's figures, by the same means as all others.
func (s *StatusPage) live(w http.ResponseWriter, r *http.Request) error {
	to := tellers()
	if to == nil {
		writeText(w, http.StatusServiceUnavailable, "the page's own stream cannot be made; status.json has the same figures")
		return nil
	}
	if !enter(w, &lookers, livePages, "as many status pages are open as may; close one") {
		return nil
	}
	defer lookers.Add(-1)
	h := hold.Hold{
		Hub: to, Channels: []string{liveChannel(s.Hub)}, Answer: dialect.SSE(), Heartbeat: s.app.heartbeat(),
		Ends: hold.Ends{Stop: process.stop, Retire: s.app.retire},
	}
	return serveStream(&h, w, r)
}

// serveStream holds a stream in its goroutine.
func serveStream(h *hold.Hold, w http.ResponseWriter, r *http.Request) error {
	report, err := h.Serve(w, r)
	if err != nil {
		writeText(w, http.StatusBadRequest, err.Error())
		return nil
	}
	if report.Abort {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// lookers are the pages' streams of figures that are open now, tails those of events.
var lookers, tails atomic.Int64

// enter counts one more where there may be so many, or says why not. It is no event
// stream that says so: a browser would ask for another again and again.
func enter(w http.ResponseWriter, all *atomic.Int64, most int64, full string) bool {
	if all.Add(1) <= most {
		return true
	}
	all.Add(-1)
	writeText(w, http.StatusServiceUnavailable, full)
	return false
}

const (
	// maxTails is how many there may be, and of how many channels each.
	maxTails        = 20
	maxTailChannels = 20
	// maxBusiest is how many channels are listed.
	maxBusiest = 30
)

// shown is the hub that a request for channels is about.
func (s *StatusPage) shown(w http.ResponseWriter, r *http.Request) (h *sharedHub, ok bool) {
	if s.HideEvents {
		writeText(w, http.StatusForbidden, "the page shows no events of channels, because of hide_events in comet_status")
		return nil, false
	}
	name := or(s.Hub, or(r.URL.Query().Get("hub"), defaultHub))
	if asked := r.URL.Query().Get("hub"); asked != "" && asked != name {
		writeText(w, http.StatusForbidden, "this page is of the hub "+name+" alone")
		return nil, false
	}
	if h, ok = findHub(name); !ok {
		writeText(w, http.StatusNotFound, "there is no hub "+strconv.QuoteToASCII(name)+" in the running configuration")
	}
	return h, ok
}

// channels lists the channels of a hub that most requests follow.
func (s *StatusPage) channels(w http.ResponseWriter, r *http.Request) {
	h, ok := s.shown(w, r)
	if !ok {
		return
	}
	busiest := []figures.Channel{}
	for _, info := range h.First(maxBusiest, hub.ByHeld) {
		busiest = append(busiest, describe(info))
	}
	writeJSON(w, http.StatusOK, map[string]any{"hub": h.name, "channels": busiest})
}

// events is the stream of what happens on channels, from what is kept of them on.
func (s *StatusPage) events(w http.ResponseWriter, r *http.Request) error {
	h, ok := s.shown(w, r)
	if !ok {
		return nil
	}
	channels := r.URL.Query()["channel"]
	if len(channels) == 0 || len(channels) > maxTailChannels {
		writeText(w, http.StatusBadRequest, "name the channels, as in events?channel=orders, at most "+strconv.Itoa(maxTailChannels))
		return nil
	}
	if !enter(w, &tails, maxTails, "as many pages show events as may; close one") {
		return nil
	}
	defer tails.Add(-1)
	since := hub.All()
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		cursor, err := hub.ParseCursor(last)
		if err != nil {
			writeText(w, http.StatusBadRequest, err.Error())
			return nil
		}
		since = hub.After(cursor)
	}
	b := pageOf(h.name, samples.Watching, dialect.SSE().Transport()).open(len(channels), clientOf(r))
	hold := hold.Hold{
		Hub: h.Hub, Channels: channels, Since: since, Answer: tailAnswer{dialect.SSE()}, Heartbeat: s.app.heartbeat(),
		Ends: hold.Ends{Stop: process.stop, Retire: s.app.retire}, Waits: b.wait, Note: b.holder,
	}
	return serveTail(&hold, b, w, r)
}

// serveTail holds a stream of events, and keeps the book of it.
func serveTail(h *hold.Hold, b *book, w http.ResponseWriter, r *http.Request) error {
	report, err := h.Serve(w, r)
	if err != nil {
		report.Outcome = hold.Denied
	}
	b.close(report)
	switch {
	case err != nil:
		writeText(w, http.StatusBadRequest, err.Error())
	case report.Abort:
		panic(http.ErrAbortHandler)
	}
	return nil
}
