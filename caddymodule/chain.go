package caddymodule

import (
	"bufio"
	"net"
	"net/http"
	"reflect"
	"runtime"
	"strings"
)

// bottom returns the server's own writer of a response if all handlers above it
// let an answer through as it is, so that it may also be written past them. Of
// a writer that is not known nobody can say. logged reports whether Caddy keeps
// an access log of the request.
func bottom(w http.ResponseWriter) (server http.Hijacker, logged, ok bool) {
	for {
		if a, ok := w.(*attempt); ok {
			return a, logged, true
		}
		switch kind := reflect.TypeOf(w).String(); kind {
		case "*http.response":
			server, ok = w.(http.Hijacker)
			return bare{server}, logged, ok
		case "*caddyhttp.responseRecorder":
			counts, plain := recorder(w)
			if !plain {
				return nil, false, false
			}
			logged = logged || !counts
		case "*caddyhttp.IdleTimeoutWriter", "*caddyhttp.readDeadlineWriter":
			// They bound the time of each write and read. A parked connection has a
			// bound of its own.
		case "*caddyhttp.ResponseWriterWrapper":
			// It does nothing by itself: others are made of it, and encode has one below
			// its own.
		case "*encode.responseWriter":
			// It lets everything through that is marked no-transform, as all answers
			// here are.
		default:
			return nil, false, false
		}
		inner, can := w.(interface{ Unwrap() http.ResponseWriter })
		if !can {
			return nil, false, false
		}
		w = inner.Unwrap()
	}
}

// lowest returns the server's own writer of a response, whatever is above it.
func lowest(w http.ResponseWriter) http.Hijacker {
	for {
		switch own := w.(type) {
		case *attempt:
			return own
		case interface{ Unwrap() http.ResponseWriter }:
			w = own.Unwrap()
		case http.Hijacker:
			return bare{own}
		default:
			return nil
		}
	}
}

// recorder tells what a recorder of Caddy's is for: one without a say in
// buffering is the access log's, one of Caddy's metrics (counts) only looks at
// the status. All others may keep the answer back.
func recorder(w http.ResponseWriter) (counts, plain bool) {
	say := reflect.ValueOf(w).Elem().FieldByName("shouldBuffer")
	if say.Kind() != reflect.Func {
		return false, false // Caddy has changed
	}
	if say.IsNil() {
		return false, true
	}
	f := runtime.FuncForPC(say.Pointer())
	counts = f != nil && strings.Contains(f.Name(), "metricsInstrumentedRoute")
	return counts, counts
}

// bare gives the connection itself: only a bare socket can be watched without a
// goroutine.
type bare struct{ http.Hijacker }

func (b bare) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, buffered, err := b.Hijacker.Hijack()
	if err == nil {
		c = bareConn(c)
	}
	return c, buffered, err
}

// bareConn returns what is in the wrapper that Caddy has around a connection where
// it looks for the preface of HTTP/2.
func bareConn(c net.Conn) net.Conn {
	if reflect.TypeOf(c).String() != "*caddyhttp.http2Conn" {
		return c
	}
	if inner, ok := reflect.ValueOf(c).Elem().FieldByName("Conn").Interface().(net.Conn); ok {
		return inner
	}
	return c
}
