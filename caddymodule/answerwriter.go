package caddymodule

import (
	"io"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-comet/caddy-comet/internal/handoff"
)

// answerWriter lets a Backend read and complete the header of the site's answer
// before it goes out. The body passes as it comes: nothing is buffered.
//
// What can send a header is defined here, because [http.ResponseController] goes
// through Unwrap for what it does not find. Hijack is left to it on purpose:
// whoever takes the connection over has sent its 101 by WriteHeader.
type answerWriter struct {
	*caddyhttp.ResponseWriterWrapper
	// asked is what the request asked by Comet-Since, nil if nothing.
	asked *newsAsked
	// publish is called once, with the answer's Comet-Publish headers. nil: they
	// are none of our business.
	publish func(values []string)
	// handover is the request's that the answer may hand over, nil where it cannot.
	handover *handover
	// kept is the answer where it has done so.
	kept *keptAnswer
	done bool
}

// final is what happens once, before the answer's own header goes out.
func (w *answerWriter) final(status int) {
	if w.done {
		return
	}
	w.done = true
	if w.publish != nil {
		values := w.Header().Values(publishHeader)
		w.Header().Del(publishHeader)
		w.Header().Del(http.TrailerPrefix + publishHeader)
		w.publish(values)
	}
	if w.handover != nil && w.handover.answered(status, w.Header()) {
		w.kept = w.handover.kept
		return
	}
	// After the publishing, so that the answer which brings an event tells of it.
	if w.asked != nil && status != http.StatusSwitchingProtocols {
		w.asked.answer(w.Header(), status)
	}
}

// strip takes Comet-Publish out of what is still to be sent: of an interim
// answer, of trailers, and of what an error page would inherit.
func (w *answerWriter) strip() {
	if w.publish != nil {
		w.Header().Del(publishHeader)
		w.Header().Del(http.TrailerPrefix + publishHeader)
	}
	if w.handover != nil {
		handoff.StripAnswer(w.Header())
	}
}

// WriteHeader implements [http.ResponseWriter]. Interim answers such as 103 pass
// as they are; 101 is the last one that there will be.
func (w *answerWriter) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.final(status)
	} else {
		w.strip()
	}
	if w.kept == nil {
		w.ResponseWriterWrapper.WriteHeader(status)
	}
}

// Write implements [http.ResponseWriter].
func (w *answerWriter) Write(p []byte) (int, error) {
	w.final(http.StatusOK)
	if w.kept != nil && !w.kept.keep(p) {
		return len(p), nil
	}
	return w.ResponseWriterWrapper.Write(p)
}

// ReadFrom implements [io.ReaderFrom], by which files are sent.
func (w *answerWriter) ReadFrom(r io.Reader) (int64, error) {
	w.final(http.StatusOK)
	if w.kept != nil {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is what [http.ResponseController] flushes by.
func (w *answerWriter) FlushError() error {
	w.final(http.StatusOK)
	if w.kept != nil && !w.kept.begun {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Interface guards
var (
	_ http.ResponseWriter                       = (*answerWriter)(nil)
	_ io.ReaderFrom                             = (*answerWriter)(nil)
	_ interface{ FlushError() error }           = (*answerWriter)(nil)
	_ interface{ Unwrap() http.ResponseWriter } = (*answerWriter)(nil)
)
