package caddymodule

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-comet/caddy-comet/internal/handoff"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// gripName is the path's last element where GRIP's publishers post to.
const gripName = "publish"

// isGrip reports whether a path is that of GRIP's publishers, who may end it with a
// slash.
func isGrip(path string) bool { return lastElement(strings.TrimSuffix(path, "/")) == gripName }

// grip publishes items. They are JSON, in which a byte of data may take six.
func (e endpoint) grip(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodPost) {
		return
	}
	limits := e.hub.Limits()
	limit := min(int64(limits.EventBytes)*6, max(limits.TotalBytes, int64(limits.EventBytes))) + 64<<10
	body, done, ok := e.receive(w, r, limit, fmt.Errorf("the body is too large: the limit is %d bytes; publish less at once", limit))
	if !ok {
		return
	}
	defer done()
	drafts, err := handoff.Items(body, contentType)
	for i := range drafts {
		if err == nil {
			err = checkWord("id", drafts[i].ID, maxID)
		}
		if err == nil && len(drafts[i].ContentType) > maxContentType {
			err = fmt.Errorf("the Content-Type has %d bytes; the limit is %d", len(drafts[i].ContentType), maxContentType)
		}
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	for _, d := range drafts {
		if most := or(e.maxEvent, limits.EventBytes); len(d.Data) > most {
			writeError(w, http.StatusRequestEntityTooLarge, tooLarge(most))
			return
		}
	}
	if e.more != nil {
		if status, err := e.more(len(drafts) - 1); err != nil {
			metrics().denied.WithLabelValues(e.hub.name, "rate").Inc()
			writeError(w, status, err)
			return
		}
	}
	results, err := e.hub.tell(r.Context(), drafts)
	if err != nil {
		e.writeRefused(w, err)
		return
	}
	writePublished(w, r, results)
}

// writePublished answers as GRIP's publishers know it, in the way that they like.
func writePublished(w http.ResponseWriter, r *http.Request, results []hub.Result) {
	accept := strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",")
	if !slices.ContainsFunc(accept, func(a string) bool {
		mediaType, _, _ := strings.Cut(a, ";")
		return strings.TrimSpace(mediaType) == "application/json"
	}) {
		writeText(w, http.StatusOK, "Published")
		return
	}
	receivers := 0
	for i := range results {
		receivers += results[i].Receivers
	}
	writeJSON(w, http.StatusOK, map[string]any{"message": "Published", "receivers": receivers})
}

// basicKey is the key of a publisher who knows Basic authentication only: the
// password, or where there is none the name.
func basicKey(r *http.Request) (string, bool) {
	user, password, ok := r.BasicAuth()
	return or(password, user), ok
}
