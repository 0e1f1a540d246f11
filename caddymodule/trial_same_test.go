package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func act(do func(http.ResponseWriter, *http.Request) error) deed {
	return func(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error { return do(w, r) }
}

func init() {
	plain := func(do func(http.ResponseWriter)) deed {
		return act(func(w http.ResponseWriter, _ *http.Request) error {
			do(w)
			return nil
		})
	}
	flush := func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }
	hints := func(w http.ResponseWriter) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
	}
	acts.Store("nothing", plain(func(w http.ResponseWriter) { w.Header().Set("X-Any", "y") }))
	acts.Store("empty", plain(func(w http.ResponseWriter) { _, _ = w.Write(nil) }))
	acts.Store("204", plain(func(w http.ResponseWriter) { w.WriteHeader(204); _, _ = io.WriteString(w, "no") }))
	acts.Store("304", plain(func(w http.ResponseWriter) { w.Header().Set("Etag", `"x"`); w.WriteHeader(304) }))
	acts.Store("small", plain(func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<!doctype html><p>") }))
	acts.Store("twice", plain(func(w http.ResponseWriter) { w.WriteHeader(201); w.Header().Set("X-Late", "y"); w.WriteHeader(500) }))
	acts.Store("nodate", plain(func(w http.ResponseWriter) {
		w.Header()["Date"] = nil
		w.Header()["Content-Type"] = nil
		w.WriteHeader(200)
	}))
	acts.Store("large", plain(func(w http.ResponseWriter) {
		for i := range 300 {
			fmt.Fprintf(w, "%0999d\n", i)
		}
	}))
	acts.Store("length", plain(func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "3000000")
		_, _ = io.WriteString(w, strings.Repeat("0123456789", 300_000))
	}))
	acts.Store("short", plain(func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "short")
	}))
	acts.Store("flush", plain(flush))
	acts.Store("flushes", plain(func(w http.ResponseWriter) {
		for range 3 {
			_, _ = io.WriteString(w, "part")
			flush(w)
		}
	}))
	acts.Store("hints", plain(func(w http.ResponseWriter) { hints(w); _, _ = io.WriteString(w, "page") }))
	acts.Store("hintsonly", plain(hints))
	acts.Store("trailers", plain(func(w http.ResponseWriter) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "page")
		flush(w)
		w.Header().Set("X-Sum", "1")
		w.Header().Set(http.TrailerPrefix+"X-More", "2")
		w.Header().Set("X-None", "3")
	}))
	acts.Store("closes", plain(func(w http.ResponseWriter) { w.Header().Set("Connection", "close"); _, _ = io.WriteString(w, "page") }))
	acts.Store("error", act(func(http.ResponseWriter, *http.Request) error { return caddyhttp.Error(418, errors.New("tea")) }))
	acts.Store("reader", plain(func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", "50000") // how it is cut into chunks depends on the connection
		_, _ = w.(io.ReaderFrom).ReadFrom(struct{ io.Reader }{strings.NewReader(strings.Repeat("read ", 10_000))})
	}))
	acts.Store("panics", plain(func(http.ResponseWriter) { panic("a mistake of the test's own") }))
	acts.Store("aborts", plain(func(http.ResponseWriter) { panic(http.ErrAbortHandler) }))
	acts.Store("abortslate", plain(func(w http.ResponseWriter) {
		_, _ = io.WriteString(w, "part")
		flush(w)
		panic(http.ErrAbortHandler)
	}))
	acts.Store("hijacks", plain(func(w http.ResponseWriter) {
		c, b, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = b.WriteString("raw")
		_ = b.Flush()
		_ = c.Close()
	}))
	acts.Store("deadlines", plain(func(w http.ResponseWriter) {
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(time.Now().Add(time.Hour))
		_ = rc.SetWriteDeadline(time.Now().Add(time.Hour))
		_ = rc.EnableFullDuplex()
		_, _ = io.WriteString(w, "page")
	}))
	acts.Store("toolate", plain(func(w http.ResponseWriter) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0))
		_, _ = io.WriteString(w, "page")
	}))
	acts.Store("who", act(func(w http.ResponseWriter, r *http.Request) error {
		repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		fmt.Fprintf(w, "remote %s, local %v, TLS %v, server %v, body %v %v, %s %s %q %v %v\n", r.RemoteAddr, r.Context().Value(http.LocalAddrContextKey).(net.Addr), r.TLS,
			r.Context().Value(http.ServerContextKey).(*http.Server) != nil, r.Body == http.NoBody, r.ContentLength, r.Host, r.RequestURI, r.Proto, r.Close, r.Trailer)
		for _, p := range []string{"remote", "remote.host", "remote.port", "local", "local.host", "local.port", "scheme", "proto", "hostport", "tls.proto", "uri", "orig_uri", "vars.client_ip", "body"} {
			fmt.Fprintln(w, p, repl.ReplaceAll("{http.request."+p+"}{http."+p+"}", "none"))
		}
		return nil
	}))
}

// Whatever a handler does, and whatever it is, the client of a request that is tried
// gets what it gets on a connection of its own, byte for byte, and the connection
// goes on or ends as there.
func TestATriedRequestIsAnsweredAsOnAConnectionOfItsOwn(t *testing.T) {
	backend := backendOf(t, func(w http.ResponseWriter, r *http.Request) {
		h := r.Header.Clone()
		w.Header().Set("X-Seen", h.Get("X-Forwarded-For")+" "+h.Get("X-Forwarded-Proto")+" "+h.Get("X-Forwarded-Host")+" "+r.URL.RawQuery)
		_, _ = io.WriteString(w, strings.Repeat("PHP ", 2000))
	})
	for _, globals := range []string{"", "servers {\nmetrics\ntimeouts {\nread_header 5s\nread_body 5s\nwrite 20s\nidle 20s\n}\n}\n"} {
		s, hub := actingOverTLS(t, globals, "log\nroot DIR\n@file query act=file\nrewrite @file /page.txt\nreverse_proxy /v "+backend+"\nreverse_proxy /c "+backend+
			"\n@page query act=respond\nrespond @page \"{remote_host} {client_ip} {http.request.local.host} {http.request.uuid}x\" 202\nfile_server")
		if err := os.WriteFile(s.dir+"/page.txt", []byte(strings.Repeat("a file\n", 50_000)), 0o644); err != nil {
			t.Fatal(err)
		}
		publishes(t, hub, event("kept", "one"))
		queries := []string{"since=all", "since=all&callback=f", "wait=0&since=zzz.5", "since=%zz", "as=none", "act=file", "since=now&wait=0"}
		acts.Range(func(name, _ any) bool {
			if name := name.(string); !strings.HasPrefix(name, "late") { // these wait
				queries = append(queries, "act="+name)
			}
			return true
		})
		play := func(network, path, channel, query string) {
			t.Helper()
			own, tried := s.taped(network), s.taped(network)
			tried.polled(hub, path+"?"+map[bool]string{true: "subscribed[" + channel + "]=0"}[path == "/v"], channel)
			act := ""
			if strings.HasPrefix(query, "act=") {
				act = strings.TrimPrefix(query, "act=")
			}
			before := triedOf(act)
			var said [2]string // by a connection of its own, and by one that is parked
			for i, w := range []taped{own, tried} {
				w.asks(path + "?" + query)
				if r, err := w.until(""); err == nil && strings.Contains(r.status, " 103 ") {
					_, err = w.until("")
					if err != nil {
						t.Errorf("%s: %v", query, err)
					}
				}
				if end := strings.Contains(w.tape.String(), "Connection: close"); !end && strings.Contains(w.tape.String(), "\r\n\r\n") {
					// It goes on.
					if _, err := io.WriteString(w.c, request(path+"?act=small")); err == nil {
						_, _ = w.until("")
					}
				}
				_ = w.c.(interface{ CloseWrite() error }).CloseWrite()
				_, _ = io.Copy(io.Discard, w.r)
				said[i] = w.said()
				if addr := w.c.LocalAddr().String(); network != "unix" {
					_, port, _ := net.SplitHostPort(addr)
					said[i] = strings.ReplaceAll(strings.ReplaceAll(said[i], addr, "ADDRESS"), " "+port, " PORT")
				}
			}
			if said[0] != said[1] {
				t.Errorf("%s %s?%s\nTried: %.1500s\nNot tried: %.1500s", network, path, query, said[1], said[0])
			}
			wanted(t, act, before)
		}
		for _, network := range networks {
			for _, query := range queries {
				play(network, "/n/kept", "kept", query)
			}
			play(network, "/v", "seen", "publish=x")
		}
		parks(t, hub, 0, 0)
	}
}

// backendOf is a site behind Caddy.
func backendOf(t *testing.T, serve http.HandlerFunc) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: serve}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	return ln.Addr().String()
}
