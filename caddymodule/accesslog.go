package caddymodule

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logEntry is the access-log line of a parked request. Caddy would write one when
// the handler returns, which is when the waiting begins; this one is written when
// it is over, and says the same (caddyhttp.Server.logRequest).
type logEntry struct {
	request caddyhttp.LoggableHTTPRequest
	user    string
	level   string
	// names are the loggers that a directive chose for the request; else they are
	// the server's, as it is configured when the line is written.
	names []string
	home  *home
	local net.Addr
	// hide is the parameter of the address that has a token, "" if none has.
	hide string
}

// takeLog takes the line over from Caddy. It is nil where somebody wants none. Without
// a home, where nothing is parked but WebSockets, the loggers are those of now.
func takeLog(r *http.Request, h *home) *logEntry {
	ctx := r.Context()
	if skip, _ := caddyhttp.GetVar(ctx, caddyhttp.LogSkipVar).(bool); skip {
		return nil
	}
	srv := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	hide, _ := caddyhttp.GetVar(ctx, hideVar).(string)
	e := &logEntry{
		hide: hide,
		request: caddyhttp.LoggableHTTPRequest{
			Request:              loggable(r, hide),
			ShouldLogCredentials: srv.Logs.ShouldLogCredentials,
		},
		names: chosenLoggers(ctx),
		home:  h,
	}
	if h == nil && e.names == nil {
		e.names = loggerNames(srv.Logs, r.Host)
	}
	e.local, _ = ctx.Value(http.LocalAddrContextKey).(net.Addr)
	e.level, _ = caddyhttp.GetVar(ctx, caddyhttp.LogLevelVar).(string)
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		e.user, _ = repl.GetString("http.auth.user.id")
	}
	caddyhttp.SetVar(ctx, caddyhttp.LogSkipVar, true)
	return e
}

// loggable is what a log says of a request, and nothing else of it.
func loggable(r *http.Request, hide string) *http.Request {
	const client = caddyhttp.ClientIPVarKey
	vars := map[string]any{client: caddyhttp.GetVar(r.Context(), client)}
	original := r
	if first, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		original = &first
	}
	of := &http.Request{
		RemoteAddr: original.RemoteAddr, Method: original.Method, RequestURI: redact(original.RequestURI, hide),
		Proto: r.Proto, Host: r.Host, Header: headerOf(r), TransferEncoding: r.TransferEncoding, TLS: r.TLS,
	}
	return of.WithContext(context.WithValue(context.Background(), caddyhttp.VarsCtxKey, vars))
}

// chosenLoggers are those that a directive chose for a request.
func chosenLoggers(ctx context.Context) (names []string) {
	set, _ := caddyhttp.GetVar(ctx, caddyhttp.AccessLoggerNameVarKey).([]any)
	for i := range set {
		name, _ := set[i].(string)
		names = append(names, name)
	}
	return names
}

// loggerNames are a server's loggers for a host (caddyhttp.ServerLogConfig).
func loggerNames(logs *caddyhttp.ServerLogConfig, hostport string) []string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.ToLower(host)
	if names, ok := logs.LoggerNames[host]; ok {
		return names
	}
	labels := strings.Split(host, ".")
	for i := range labels {
		if labels[i] == "" {
			continue
		}
		labels[i] = "*"
		if names, ok := logs.LoggerNames[strings.Join(labels, ".")]; ok {
			return names
		}
	}
	return []string{logs.DefaultLoggerName}
}

// again is the entry of a request that is the same but for its address.
func (e *logEntry) again(head []byte) *logEntry {
	_, target, _ := bytes.Cut(head, []byte{' '})
	target, _, _ = bytes.Cut(target, []byte{' '})
	next := *e
	next.request.Request = e.request.WithContext(e.request.Context())
	next.request.RequestURI = redact(string(target), e.hide)
	return &next
}

// write writes the line.
func (e *logEntry) write(status, size int, took time.Duration, header http.Header, outcome string) {
	logger := logs().access
	level := zapcore.InfoLevel
	if status >= http.StatusInternalServerError {
		level = zapcore.ErrorLevel
	}
	if own, err := zapcore.ParseLevel(e.level); e.level != "" && err == nil && own >= zapcore.DebugLevel && own <= zapcore.ErrorLevel {
		level = own
	}
	names := e.names
	if names == nil {
		names = e.home.loggers(e.local, e.request.Host)
	}
	for _, name := range names {
		named := logger
		if name != "" {
			named = logger.Named(name)
		}
		if entry := named.With(zap.Object("request", e.request)).Check(level, "handled request"); entry != nil {
			what := zap.Skip()
			if outcome != "" {
				what = zap.String("comet", outcome)
			}
			entry.Write(
				zap.Int("bytes_read", 0),
				zap.String("user_id", e.user),
				zap.Duration("duration", took),
				zap.Int("size", size),
				zap.Int("status", status),
				zap.Object("resp_headers", caddyhttp.LoggableHTTPHeader{
					Header: header, ShouldLogCredentials: e.request.ShouldLogCredentials,
				}),
				what,
			)
		}
	}
}

// httpApp is a name by which Caddy gives a logger: that of its own access logs.
type httpApp struct{}

func (httpApp) CaddyModule() caddy.ModuleInfo { return caddy.ModuleInfo{ID: "http"} }
