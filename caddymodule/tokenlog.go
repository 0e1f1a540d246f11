package caddymodule

import (
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// hideVar is the variable of a request that names the parameter of its address which
// has a token.
const hideVar = "comet.token"

// hiddenLine is the access-log line of a request with a token in its address. Caddy has
// a copy of the request for its own line, so the line is taken over from it. nil is that
// of a request without.
type hiddenLine struct {
	w     http.ResponseWriter
	r     *http.Request
	began time.Time
}

// hide sees to it that no log of this request has its token.
func (t *Token) hide(w http.ResponseWriter, r *http.Request) *hiddenLine {
	if t == nil || !strings.Contains(r.URL.RawQuery, t.query()+"=") {
		return nil
	}
	caddyhttp.SetVar(r.Context(), hideVar, t.query())
	return &hiddenLine{w, r, time.Now()}
}

// write writes the line, if nobody else has taken it over.
func (l *hiddenLine) write(held *heldRequest) {
	if l == nil {
		return
	}
	srv, ok := l.r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	counted := logRecorder(l.w)
	if !ok || srv.Logs == nil || counted == nil {
		return
	}
	outcome := ""
	if held != nil {
		outcome = string(held.outcome)
	}
	if entry := takeLog(l.r, nil); entry != nil {
		entry.write(counted.Status(), counted.Size(), time.Since(l.began), counted.Header(), outcome)
	}
}

// logRecorder returns what counts an answer for the access log: the lowest of Caddy's
// recorders. nil: there is none.
func logRecorder(w http.ResponseWriter) (lowest caddyhttp.ResponseRecorder) {
	for w != nil {
		if rec, ok := w.(caddyhttp.ResponseRecorder); ok && reflect.TypeOf(w).String() == "*caddyhttp.responseRecorder" {
			if counts, plain := recorder(w); plain && !counts {
				lowest = rec
			}
		}
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = inner.Unwrap()
	}
	return lowest
}

// redact takes the values of a parameter out of an address.
func redact(uri, parameter string) string {
	path, query, ok := strings.Cut(uri, "?")
	if parameter == "" || !ok || !strings.Contains(query, parameter+"=") {
		return uri
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		if name, _, _ := strings.Cut(pair, "="); name == parameter {
			pairs[i] = name + "=REDACTED"
		}
	}
	return path + "?" + strings.Join(pairs, "&")
}
