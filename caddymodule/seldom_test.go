package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// observed has what is logged kept, for a test that runs no server.
func observed(t *testing.T, level zapcore.Level) *observer.ObservedLogs {
	t.Helper()
	core, kept := observer.New(level)
	logger := zap.New(core)
	before := process.logs.Swap(&loggers{files: logger, stores: logger, holds: logger, backend: logger, access: logger, seldom: new(seldom)})
	t.Cleanup(func() { process.logs.Store(before) })
	return kept
}

// TestAFloodIsAFewLinesAndThenACount for each minute, and another hub's trouble is told
// beside it. When it is over and comes again, it is told in full.
func TestAFloodIsAFewLinesAndThenACount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := observed(t, zapcore.DebugLevel)
		flood := func(n int) {
			for i := range n {
				warn(ofBackend, "shop", "wrong", zap.Int("i", i))
			}
		}
		wants := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for _, e := range kept.TakeAll() {
				m := e.ContextMap()
				got = append(got, fmt.Sprint(e.Level, " ", e.Message, " ", m["hub"], " ", m["i"], " ", m["more"]))
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		flood(1000)
		fail(ofHolds, "", "wrong")
		wants("at first", "warn wrong shop 0 <nil>", "warn wrong shop 1 <nil>", "warn wrong shop 2 <nil>", "warn wrong shop 3 <nil>", "warn wrong shop 4 <nil>", "error wrong <nil> <nil> <nil>")
		time.Sleep(seldomEvery)
		wants("a minute later", "warn wrong shop 999 995")
		flood(10)
		wants("while it goes on")
		time.Sleep(seldomEvery)
		wants("another minute later", "warn wrong shop 9 10")
		time.Sleep(seldomEvery)
		wants("when it is over")
		if n := len(logs().seldom.told); n != 0 {
			t.Errorf("%d are remembered", n)
		}
		flood(2)
		wants("when it comes again", "warn wrong shop 0 <nil>", "warn wrong shop 1 <nil>")
		time.Sleep(2 * seldomEvery)
		wants("in the end")
	})
}

// TestRequestsCannotFillTheLog: whatever each of many gets wrong.
func TestRequestsCannotFillTheLog(t *testing.T) {
	hub := unique("flooded")
	site := behind(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/publish":
			w.Header().Set(publishHeader, "no name")
		case "/hold":
			w.Header().Set("Comet-Hold", "nonsense")
		case "/link":
			says("open", "Grip-Link", "<http://127.0.0.2/>; rel=next")(w, r)
			return
		case "/error":
			says("", "Grip-Hold", "stream", "Grip-Channel", "a")(&withStatus{w}, r)
			return
		}
		_, _ = io.WriteString(w, "the site")
	})
	s := start(t, "comet {\nhub "+hub+"\n}", `
http://:PORT {
	bind 127.0.0.1
	comet /comet.php novcomet {
		hub `+hub+`
		watch DIR/none/*.comet
		answer_publish
	}
	comet /private/* {
		hub `+hub+`
		authorize /private/again
	}
	comet_backend {
		hub `+hub+`
		publish
		hold
	}
	reverse_proxy `+site+`
}`)
	for path, said := range map[string]string{
		"/publish":             "events that the site published by Comet-Publish are refused",
		"/hold":                "what the site says of holding a request cannot be done",
		"/link":                "a stream ends because the site does not say how it goes on",
		"/error":               "the site hands a stream over by an answer that is an error",
		"/comet.php?publish=a": "publishing by a file failed",
		"/private/a":           "the site does not say who may listen",
	} {
		for range 3 * seldomLines {
			get("http://" + s.site + path)
		}
		if n := strings.Count(s.logs(), `"msg":"`+said); n != seldomLines {
			t.Errorf("%s: %d lines, want %d", path, n, seldomLines)
		}
	}
	if n := strings.Count(s.logs(), "a sub-request of comet has come back to comet"); n != seldomLines {
		t.Errorf("%d lines of what came back", n)
	}
}

// withStatus answers with an error.
type withStatus struct{ http.ResponseWriter }

func (w *withStatus) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusInternalServerError)
	return w.ResponseWriter.Write(b)
}
