package caddymodule

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// heldRequest is a request that waits, and the book of it.
type heldRequest struct {
	hold.Hold
	book *book
	// outcome is what became of it, unless it was parked.
	outcome hold.Outcome
}

// hold begins to wait with the request and to keep the book.
func (c *Comet) hold(w http.ResponseWriter, r *http.Request, ask dialect.Ask, right right) (*heldRequest, error) {
	wait := c.use.settings.hold()
	if c.Hold != 0 {
		wait = time.Duration(c.Hold)
	}
	wait = dialect.Jitter(wait, 0.2)
	if ask.Wait != dialect.Default {
		wait = min(wait, ask.Wait)
	}
	heartbeat := c.use.settings.heartbeat()
	if ask.Beat > 0 {
		heartbeat = min(heartbeat, ask.Beat)
	}
	user := ""
	if right.who != nil {
		user = right.who.User
	}
	unsaid := right.busy != ""
	var stake *stake
	if right.busy == "" {
		var err error
		if stake, err = c.use.stake(r, user); err != nil {
			right.busy = err.Error()
		}
	}
	h := new(heldRequest)
	h.Hold = hold.Hold{
		Hub: c.use.hub.Hub, Channels: ask.Channels, Since: ask.Since, Answer: ask.Answer,
		Wait: wait, Heartbeat: heartbeat, Who: right.who, Admit: right.admit, Busy: right.busy,
		Ends: hold.Ends{Stop: process.stop, Retire: c.app.retire},
	}
	h.book = pageOf(c.use.hub.name, c.Dialect, ask.Answer.Transport()).open(len(ask.Channels), clientOf(r))
	h.Note = h.book.holder
	h.book.stake = stake
	if unsaid {
		h.book.denial = bySite
	}
	h.Waits = h.book.wait
	if _, talks := ask.Answer.(hold.Talk); talks {
		h.Deflate = c.Deflate
		h.Parking = c.socket(w, r, h.book)
	} else {
		h.Parking = c.parking(w, r, h.book, ask.Position)
	}
	if err := h.Begin(w, ofVisitor(r)); err != nil {
		h.book.denial = counted
		h.book.close(hold.Report{Outcome: hold.Denied})
		status := http.StatusBadRequest
		var handshake *hold.HandshakeError
		if errors.As(err, &handshake) {
			status = handshake.Status
			maps.Copy(w.Header(), handshake.Header)
		}
		return nil, c.refuse(w, "request", status, err.Error())
	}
	return h, nil
}

// end waits until the request is answered, and closes its book.
func (h *heldRequest) end(ctx context.Context) error {
	_, err := h.finish(ctx)
	return err
}

// finish is end for who wants to know how it was.
func (h *heldRequest) finish(ctx context.Context) (hold.Outcome, error) {
	report := h.End()
	if report.Outcome == hold.Parked {
		return report.Outcome, nil
	}
	h.outcome = report.Outcome
	h.book.close(report)
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.String("comet", string(report.Outcome)))
	}
	if report.Abort {
		panic(http.ErrAbortHandler)
	}
	return report.Outcome, nil
}
