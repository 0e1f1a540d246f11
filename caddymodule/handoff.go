package caddymodule

import (
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/access"
	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/handoff"
	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// The headers by which the site sees what is understood here, what it had said of a
// request that it is asked again, and that the request comes from us.
const (
	featureHeader = "Grip-Feature"
	lastHeader    = "Grip-Last"
	sigHeader     = "Grip-Sig"
	gripFeatures  = "status, link:next"
)

// usualIssuer is who signs in Pushpin's place.
const usualIssuer = "pushpin"

// handover is a request whose site may hand it over, on its way to the site and back.
type handover struct {
	b *Backend
	w http.ResponseWriter
	// r is the request, which ends when its visitor hangs up.
	r *http.Request
	// before is what the answer's header had before the site.
	before http.Header
	// start is the position when the site was asked: it may know no more.
	start hub.Cursor
	// who is whom the site lets wait, by a right of the moment when it was asked.
	who  *hub.Who
	body *keptBody
	// turn is nil until the request is held.
	turn *turn
	kept *keptAnswer
	// counted: what came of asking again is.
	counted bool
}

// turnKey is where the context of a request that is asked again has its turn.
type turnKey struct{}

// handOver prepares a request for its way. What comes back to who asks the site for
// himself is nobody else's business: nil then.
func (b *Backend) handOver(w http.ResponseWriter, r *http.Request) *handover {
	handoff.Strip(r.Header)
	r.Header.Set(featureHeader, gripFeatures)
	if b.signer != nil {
		r.Header.Set(sigHeader, b.signer.Token(time.Now()))
	}
	if isSubrequest(r) {
		own, _ := r.Context().Value(subrequestKey{}).(http.Header)
		if lasts := own[lastHeader]; lasts != nil {
			r.Header[lastHeader] = lasts
		}
		return nil
	}
	h := &handover{b: b, w: w, r: ofVisitor(r), before: w.Header().Clone(), start: b.use.hub.Cursor(), who: whoAsks(r), body: keepBody(r)}
	h.turn, _ = r.Context().Value(turnKey{}).(*turn)
	if h.turn != nil {
		for _, last := range h.turn.lasts {
			r.Header.Add(lastHeader, last)
		}
	}
	return h
}

// answered is called with the header of the site's answer, and reports whether the
// answer is not to go out.
func (h *handover) answered(status int, header http.Header) bool {
	if h.turn != nil {
		h.turn.Leave() // the site is free
		h.count(status)
	}
	if status == http.StatusSwitchingProtocols || !handoff.Told(header) {
		handoff.StripAnswer(header)
		return false
	}
	h.kept = newKeptAnswer(status, header)
	if h.kept.spills() {
		h.kept.begin = h.spill
	}
	h.reset()
	return true
}

// count counts what came of asking again, once. 0 is no answer.
func (h *handover) count(status int) {
	if h.turn == nil || h.counted {
		return
	}
	h.counted = true
	result := askAnswered
	if status == 0 || status >= http.StatusInternalServerError {
		result = askFailed
	}
	askedSite(h.b.use.hub.name, askAgain, result, h.turn.took())
}

// reset has the answer's header be as it was before the site.
func (h *handover) reset() {
	header := h.w.Header()
	clear(header)
	maps.Copy(header, h.before.Clone())
}

// spill begins the answer of a stream whose beginning is large.
func (h *handover) spill() {
	own := handoff.Answer{Status: h.kept.status, Header: h.kept.header}
	handoff.NewFlow(h.kept.instruction, own).Dress(h.w.Header())
	h.w.WriteHeader(http.StatusOK)
	_, _ = h.w.Write(h.kept.body)
	h.kept.body = nil
}

// finish does what the site has said.
func (h *handover) finish() error {
	i, own, err := h.kept.read()
	if err == nil {
		err = h.name(i.User)
	}
	if err != nil {
		return h.refuse(err)
	}
	if status, text := drain(h.w, h.r); status != 0 {
		writeText(h.w, status, text)
		return nil
	}
	body, whole := h.body.whole()
	switch {
	case i.Mode == "" && i.Next == "", h.r.Method == http.MethodHead && i.Mode != "":
		h.answer(own)
		return nil
	case i.Mode == handoff.Retry && !whole:
		warn(ofBackend, h.b.use.hub.name, "the site wants to be asked again for a request whose body is not kept, so that its answer goes out at once",
			zap.String("path", h.r.URL.Path), zap.Int("kept_at_most", maxKeptBody))
		h.answer(own)
		return nil
	case (i.Mode == handoff.Stream || i.Mode == "") && own.Status != http.StatusOK && i.Status == 0:
		warn(ofBackend, h.b.use.hub.name, "the site hands a stream over by an answer that is an error, so that the answer goes out",
			zap.String("path", h.r.URL.Path), zap.Int("status", own.Status))
		h.answer(own)
		return nil
	case i.Mode == handoff.Stream || i.Mode == "":
		return h.stream(i, own)
	}
	if h.turn == nil && whole {
		h.turn = &turn{of: h.b.turns, body: body}
	}
	return h.poll(i, own)
}

// name has the request be held for a user, whom a kick ends it for.
func (h *handover) name(user string) error {
	if user == "" {
		return nil
	}
	if err := access.CheckVisitor(user); err != nil {
		return fmt.Errorf("Comet-User: %w", err)
	}
	who := *h.who
	who.User, h.who = user, &who
	return nil
}

// refuse answers in the place of a site that said what is no sense. Why is for the
// site's author, not for the visitor.
func (h *handover) refuse(err error) error {
	metrics().denied.WithLabelValues(h.b.use.hub.name, "instruction").Inc()
	fail(ofBackend, h.b.use.hub.name, "what the site says of holding a request cannot be done",
		zap.String("path", h.r.URL.Path), zap.Error(err))
	if h.kept.begun {
		panic(http.ErrAbortHandler)
	}
	return caddyhttp.Error(http.StatusBadGateway, err)
}

// answer gives the site's own answer.
func (h *handover) answer(own handoff.Answer) {
	_, header, body := handoff.NewPoll("", own).Own(hub.Cursor{})
	maps.Copy(h.w.Header(), header)
	h.w.WriteHeader(own.Status)
	if h.r.Method != http.MethodHead && len(body) > 0 && own.Status != http.StatusNotModified && own.Status != http.StatusNoContent {
		_, _ = h.w.Write(body)
	}
}

// poll holds a request that gets one answer.
func (h *handover) poll(i *handoff.Instruction, own handoff.Answer) error {
	wait := i.Timeout
	if wait == 0 {
		wait = dialect.Jitter(h.b.use.settings.hold(), 0.2)
	}
	if h.turn != nil {
		if h.turn.deadline.IsZero() {
			h.turn.deadline = time.Now().Add(wait)
		}
		wait = min(wait, max(0, time.Until(h.turn.deadline)))
		h.turn.lasts = i.Lasts()
	}
	held := h.hold(i, handoff.NewPoll(i.Mode, own))
	held.Wait = wait
	if h.turn != nil {
		held.Turn = h.turn
	}
	if h.turn == nil || !h.turn.nested {
		held.Parking = h.parking(held.book)
	}
	outcome, err := h.wait(held)
	if outcome == hold.Again {
		return h.again()
	}
	return err
}

// hold makes a hold of an instruction.
func (h *handover) hold(i *handoff.Instruction, answer dialect.Answer) *heldRequest {
	held := new(heldRequest)
	held.Hold = hold.Hold{
		Hub: h.b.use.hub.Hub, Channels: names(i), Since: h.since(i), Answer: answer, Who: h.who,
		Ends: hold.Ends{Stop: process.stop, Retire: h.b.app.retire},
	}
	held.book = pageOf(h.b.use.hub.name, "handoff", answer.Transport()).open(len(i.Channels), clientOf(h.r))
	held.Note = held.book.holder
	held.Waits = held.book.wait
	return held
}

func names(i *handoff.Instruction) []string {
	names := make([]string, len(i.Channels))
	for k := range i.Channels {
		names[k] = i.Channels[k].Name
	}
	return names
}

// since is from where on the client has not heard of what happens. Where the site does
// not say, that is from before it was asked. A last ID that is not the last any more,
// and is not kept either, is told as a gap.
func (h *handover) since(i *handoff.Instruction) hub.Since {
	cursors := make([]hub.Cursor, len(i.Channels))
	for k, c := range i.Channels {
		cursors[k] = h.start
		if text := or(c.Since, i.Since); text != "" {
			cursors[k], _ = hub.ParseCursor(text) // it has been read before
			continue
		}
		if c.PrevID == "" {
			continue
		}
		at, found, known := h.b.use.hub.Behind(c.Name, c.PrevID)
		if found || known && (i.Mode != handoff.Stream || i.Next != "") {
			cursors[k] = at
		}
	}
	return hub.AfterEach(cursors)
}

// wait waits until the hold is over.
func (h *handover) wait(held *heldRequest) (hold.Outcome, error) {
	if err := held.Begin(h.w, h.r); err != nil {
		held.book.denial = counted
		held.book.close(hold.Report{Outcome: hold.Denied})
		return hold.Denied, h.refuse(err)
	}
	return held.finish(h.r.Context())
}

// parking is how the hold may be parked, nil if it may not.
func (h *handover) parking(b *book) *hold.Parking {
	p := parkingOf(h.b.app, h.w, h.r, b)
	if p == nil || h.turn == nil || !p.Lot.Watches() {
		return nil
	}
	p.Recall = &hold.Recall{Head: headOf(h.r), Note: h.turn}
	return p
}

// again has the site asked once more, by the whole of Caddy's routes: what is behind
// this handler alone cannot be served twice, for it remembers what it has matched.
func (h *handover) again() error {
	t := h.turn
	if t.nested {
		t.more = true
		return nil
	}
	srv, ok := h.r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return errNoRoutes
	}
	t.nested = true
	for t.more = true; t.more; {
		t.more = false
		clear(h.w.Header())
		h.askOnce(h.b.app.inForce(srv, h.r), t)
	}
	return nil
}

// askOnce serves the request again.
func (h *handover) askOnce(srv *caddyhttp.Server, t *turn) {
	defer t.leaver()()
	ctx, cancel := routesContext(h.r)
	defer cancel()
	srv.ServeHTTP(h.w, once(h.r, t, ctx))
}
