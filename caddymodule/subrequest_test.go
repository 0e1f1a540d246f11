package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// asker is a handler that asks the site as the test says that is served.
type asker struct{}

var asked = make(chan func(http.ResponseWriter, *http.Request), 1)

func init() {
	caddy.RegisterModule(new(asker))
	httpcaddyfile.RegisterHandlerDirective("test_asker", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return new(asker), nil
	})
	httpcaddyfile.RegisterDirectiveOrder("test_asker", httpcaddyfile.Before, "push")
}

func (*asker) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_asker", New: func() caddy.Module { return new(asker) }}
}

func (*asker) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	(<-asked)(w, r)
	return nil
}

// ask has a server ask its site, for a request with that header.
func (s *server) ask(q subrequest, header ...string) (a *subanswer, err error) {
	s.t.Helper()
	asked <- func(_ http.ResponseWriter, r *http.Request) { a, err = q.ask(r) }
	get("http://"+s.site+"/ask?mine", header...).wants(s.t, 200, "")
	return a, err
}

// askable is a site that answers by f, and that can be asked from /ask.
func askable(t *testing.T, f http.HandlerFunc) *server {
	return start(t, "", "http://SITE {\nbind 127.0.0.1\ntest_asker /ask\ncomet /comet/*\nreverse_proxy /back SITE {\nrewrite /comet/a\n}\nrewrite /old /new?{query}&more\nreverse_proxy "+
		behind(t, f)+"\n}")
}

// TestASubrequestGoesThroughTheSitesRoutes, in the visitor's name, and says nothing of
// what the visitor's own request was about.
func TestASubrequestGoesThroughTheSitesRoutes(t *testing.T) {
	s := askable(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Answer", "here")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", r.Host == r.Header.Get("X-Forwarded-Host"), " ", r.Header.Get("Cookie"), " ",
			r.Header.Get("X-Forwarded-For"), " ", r.Header.Get("Comet-Own"), " ", string(body), " ", r.Header.Get("Range"), r.Header.Get("If-None-Match"), r.Header.Get("Content-Encoding"))
	})
	a, err := s.ask(subrequest{Target: "/old?a=%2F", Method: "POST", Header: http.Header{"comet-own": {"ours"}}, Body: []byte("body"), Limit: 1000, Time: deadline},
		"Cookie", "s=1", "Range", "bytes=0-1", "If-None-Match", "x", "Content-Encoding", "gzip", "Comet-Own", "forged")
	if err != nil {
		t.Fatal(err)
	}
	if want := "POST /new?a=%2F&more true s=1 127.0.0.1 ours body "; a.Status != http.StatusTeapot || a.Header.Get("X-Answer") != "here" || string(a.Body) != want {
		t.Errorf("got %d %v\n%q, want\n%q", a.Status, a.Header, a.Body, want)
	}
}

// TestASubrequestIsBounded in its time, its size and its address.
func TestASubrequestIsBounded(t *testing.T) {
	s := askable(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			<-r.Context().Done()
		case "/broken":
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "1")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/large":
			_, _ = io.WriteString(w, strings.Repeat("x", 101))
		case "/fits":
			_, _ = io.WriteString(w, strings.Repeat("x", 100))
		}
	})
	for target, want := range map[string]error{"/slow": errSubSlow, "/large": errSubLarge, "/broken": errSubAbort, "/fits": nil, "/empty": nil} {
		q := subrequest{Target: target, Limit: 100, Time: deadline}
		if target == "/slow" {
			q.Time = time.Millisecond
		}
		if a, err := s.ask(q); !errors.Is(err, want) || (err == nil) != (a != nil && a.Status == http.StatusOK) {
			t.Errorf("%s: %+v %v, want %v", target, a, err, want)
		}
	}
	for _, target := range []string{"", "x", "//elsewhere/x", "http://elsewhere/x", "*", "/a b\x00", "?a"} {
		if _, err := s.ask(subrequest{Target: target, Limit: 100, Time: deadline}); err == nil || !strings.Contains(err.Error(), "is no address of the site's own") {
			t.Errorf("%q: %v", target, err)
		}
	}
}

// TestASubrequestDoesNotComeBack to where requests wait, be it through the network, and
// no other one is made of it.
func TestASubrequestDoesNotComeBack(t *testing.T) {
	s := askable(t, func(http.ResponseWriter, *http.Request) {})
	for _, target := range []string{"/comet/a", "/back"} {
		if a, err := s.ask(subrequest{Target: target, Limit: 1000, Time: deadline}); err != nil || a.Status != http.StatusLoopDetected {
			t.Errorf("%s: %+v %v", target, a, err)
		}
	}
	if n := strings.Count(s.logs(), "a sub-request of comet has come back"); n != 2 {
		t.Errorf("%d lines in the log:\n%s", n, s.logs())
	}
	asked <- func(_ http.ResponseWriter, r *http.Request) {
		q := subrequest{Target: "/ask", Limit: 1000, Time: deadline}
		asked <- func(_ http.ResponseWriter, r *http.Request) {
			if _, err := q.ask(r); !errors.Is(err, errSubLoop) {
				t.Errorf("a sub-request asks: %v", err)
			}
		}
		if _, err := q.ask(r); err != nil {
			t.Error(err)
		}
	}
	get("http://"+s.site+"/ask").wants(t, 200, "")
	get("http://"+s.site+"/comet/a?wait=0", subrequestHeader, "made up").wants(t, 200, "cursor")
}
