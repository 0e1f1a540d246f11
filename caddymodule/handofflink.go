package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/handoff"
	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// Bounds of following links.
const (
	// maxLinked is how large the answer behind a link may be.
	maxLinked = 1 << 20
	// linkTries is how often an answer is asked for that is none.
	linkTries = 3
)

// stream holds a request whose answer goes on, and asks the site where it says so how.
// One that the site may have to be asked of is not parked.
func (h *handover) stream(i *handoff.Instruction, own handoff.Answer) error {
	at := original(h.r).URL
	begun := h.kept.begun
	for {
		flow := handoff.NewFlow(i, own)
		outcome, err := h.flow(flow, i, own, begun)
		if outcome != hold.Again || err != nil {
			return err
		}
		begun = true
		if at, err = linkTo(at, i.Next, h.r.Host); err == nil {
			i, own, err = h.follow(at, flow.Lasts(i))
		}
		if err != nil {
			if h.r.Context().Err() == nil && !errors.Is(err, errEnding) {
				fail(ofBackend, h.b.use.hub.name, "a stream ends because the site does not say how it goes on",
					zap.String("path", h.r.URL.Path), zap.Error(err))
			}
			panic(http.ErrAbortHandler) // its client comes again
		}
	}
}

// flow is one piece of a stream: a hold, or where there is none, what the site has said.
func (h *handover) flow(flow *handoff.Flow, i *handoff.Instruction, own handoff.Answer, begun bool) (hold.Outcome, error) {
	if i.Mode == "" {
		if !begun {
			flow.Dress(h.w.Header())
			h.w.WriteHeader(http.StatusOK)
		}
		_, err := h.w.Write(own.Body)
		if err == nil {
			err = http.NewResponseController(h.w).Flush()
		}
		switch {
		case err != nil:
			panic(http.ErrAbortHandler)
		case i.Next == "":
			return hold.Event, nil
		}
		return hold.Again, nil
	}
	held := h.hold(i, flow)
	held.Begun = begun
	held.Heartbeat = or(i.Beat, h.b.use.settings.heartbeat())
	if i.Next != "" {
		held.Idle = i.Idle
	} else {
		held.Parking = parkingOf(h.b.app, h.w, h.r, held.book)
	}
	return h.wait(held)
}

// linkTo is the address of a link that stands at another. It never leads to another
// host.
func linkTo(at *url.URL, link, host string) (*url.URL, error) {
	to, err := url.Parse(link)
	if err != nil {
		return nil, errors.New("the Link to the next piece has no address")
	}
	if to.IsAbs() && to.Scheme != "http" && to.Scheme != "https" || to.Host != "" && to.Host != host || to.User != nil || to.Opaque != "" {
		return nil, errors.New("the Link to the next piece leads to another host; only the site itself is asked")
	}
	return at.ResolveReference(&url.URL{Path: to.Path, RawPath: to.RawPath, RawQuery: to.RawQuery, ForceQuery: to.ForceQuery}), nil
}

var errEnding = errors.New("the server stops, or has another configuration")

// follow asks the site how a stream goes on.
func (h *handover) follow(to *url.URL, lasts []string) (i *handoff.Instruction, own handoff.Answer, err error) {
	if h.turn == nil {
		h.turn = &turn{of: h.b.turns}
	}
	for range linkTries {
		h.start, h.who = h.b.use.hub.Cursor(), whoAsks(h.r)
		if err = h.awaitTurn(); err != nil {
			return nil, own, err
		}
		i, own, err = h.fetch(to, lasts)
		if h.r.Context().Err() != nil {
			return i, own, err
		}
		result := askAnswered
		if err != nil {
			result = askFailed
		}
		askedSite(h.b.use.hub.name, askLink, result, h.turn.took())
		if err == nil {
			return i, own, nil
		}
	}
	return nil, own, err
}

func (h *handover) awaitTurn() error {
	mine := make(chan struct{})
	h.turn.Wait(func() { close(mine) })
	err := errEnding
	select {
	case <-mine:
		return nil
	case <-h.r.Context().Done():
		err = h.r.Context().Err()
	case <-process.stop:
	case <-h.b.app.retire:
	}
	h.turn.Leave()
	return err
}

// fetch gets what is behind a link.
func (h *handover) fetch(to *url.URL, lasts []string) (*handoff.Instruction, handoff.Answer, error) {
	defer h.turn.Leave()
	q := subrequest{Target: to.RequestURI(), Limit: maxLinked, Time: turnTime, Header: http.Header{}}
	if len(lasts) > 0 {
		q.Header[lastHeader] = lasts
	}
	answer, err := q.ask(h.r)
	if err != nil {
		return nil, handoff.Answer{}, err
	}
	if answer.Status/100 != 2 {
		return nil, handoff.Answer{}, fmt.Errorf("the answer behind the link has the status %d", answer.Status)
	}
	k := newKeptAnswer(answer.Status, answer.Header)
	k.body = answer.Body
	i, own, err := k.read()
	if err == nil && i.Mode != "" && i.Mode != handoff.Stream {
		err = errors.New("the answer behind the link is not to be held as a stream")
	}
	return i, own, err
}
