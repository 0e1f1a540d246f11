//go:build linux

package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/caddy-comet/caddy-comet/bench/load"
)

// ladder is the case of the client library behind a proxy that lets some of its ways
// through: how long does it take from its start until events arrive?
type ladder struct {
	*bench
	*caseResult
	name string
}

// rung is what stands in the way, and by which way events arrive then.
type rung struct {
	name, transport string
	// refused: the proxy answers a WebSocket's handshake with 403; swallowed: with
	// nothing. buffered: it keeps back what comes in a stream, as nginx does by default.
	refused, swallowed, buffered bool
}

var rungs = []rung{
	{name: "nothing in the way: WebSocket", transport: "websocket"},
	{name: "WebSocket refused: SSE", transport: "sse", refused: true},
	{name: "WebSocket swallowed: SSE", transport: "sse", swallowed: true},
	{name: "WebSocket refused, streams held back: polls", transport: "poll", refused: true, buffered: true},
}

// eventEvery is how often something happens meanwhile.
const eventEvery = 20 * time.Millisecond

// ladderPage is what runs in node: it starts the library and says after how many
// milliseconds the first event came by the way that is wanted.
//
//go:embed ladder.mjs
var ladderPage []byte

func (l *ladder) measure(ctx context.Context) error {
	node, err := l.node(ctx)
	if err != nil {
		l.absent = append(l.absent, absence{"the client library", err})
		return nil
	}
	var names []string
	for _, r := range rungs {
		names = append(names, r.name)
	}
	caption := fmt.Sprintf("comet.js in node, behind a proxy, with an event every %s. The time is from the start of the library to the first event "+
		"that came by the way that works. Median of %d starts.", eventEvery, l.lives)
	l.caseResult = l.results.begin(l.name, caption, "", names)
	all, err := l.launch(ctx, []contender{{name: parked, program: comet{}}}, load.Target{Channels: 1}, nil)
	defer stopAll(all)
	if err != nil {
		return err
	}
	s := all[0].site
	library, err := fetch(ctx, http.DefaultClient, "http://localhost:"+portOf(s.plain)+"/comet/comet.esm.js")
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"comet.mjs": library, "page.mjs": ladderPage} {
		if err := os.WriteFile(s.path(name), text, 0o644); err != nil {
			return err
		}
	}
	defer l.happen(ctx, s)()
	for round := range l.lives {
		for i := range rungs {
			r := rungs[(i+round)%len(rungs)]
			if err := l.climb(ctx, node, s, r); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
	}
	return nil
}

// node is the command that runs a page.
func (l *ladder) node(ctx context.Context) ([]string, error) {
	path, err := find("node")
	if err != nil {
		return nil, err
	}
	command := []string{path, "--experimental-websocket", "--experimental-eventsource"}
	if out, err := exec.CommandContext(ctx, path, append(command[1:], "-e", "new EventSource('data:'), WebSocket")...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("node has no EventSource or no WebSocket, which it has from 20.18 on: %w, %s", err, bytes.TrimSpace(out))
	}
	return command, nil
}

// happen publishes until the function that it returns is called.
func (l *ladder) happen(ctx context.Context, s site) (stop func()) {
	ctx, stop = context.WithCancel(ctx)
	go func() {
		for pause(ctx, eventEvery) == nil {
			if res, err := http.Post("http://"+s.publish+"/"+load.Name(0), "application/json", strings.NewReader("{}")); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		}
	}()
	return stop
}

// climb starts the library once.
func (l *ladder) climb(ctx context.Context, node []string, s site, r rung) error {
	proxy := httptest.NewServer(r.proxy(&url.URL{Scheme: "http", Host: "localhost:" + portOf(s.plain)}))
	defer func() {
		proxy.CloseClientConnections()
		proxy.Close()
	}()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	arguments := append(node[1:len(node):len(node)], s.path("page.mjs"), proxy.URL+"/comet", load.Name(0), r.transport)
	var said, trouble bytes.Buffer
	page := exec.CommandContext(ctx, node[0], arguments...)
	page.Stdout, page.Stderr = &said, &trouble
	if err := page.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, trouble.Bytes())
	}
	var ms float64
	if err := json.Unmarshal(said.Bytes(), &ms); err != nil {
		return fmt.Errorf("%w: %s", err, said.Bytes())
	}
	l.add(firstEvent, r.name, ms)
	return nil
}

// proxy stands in the way.
func (r rung) proxy(site *url.URL) http.Handler {
	through := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(site) }}
	if r.buffered {
		through.ModifyResponse = func(res *http.Response) error {
			if res.ContentLength < 0 {
				res.Body = kept{res.Body, res.Request.Context()}
			}
			return nil
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		socket := req.Header.Get("Upgrade") != ""
		switch {
		case socket && r.refused:
			http.Error(w, "no WebSockets here", http.StatusForbidden)
		case socket && r.swallowed:
			<-req.Context().Done()
		default:
			through.ServeHTTP(w, req)
		}
	})
}

// kept is a body of which nothing comes until its reader has gone.
type kept struct {
	io.ReadCloser
	visitor context.Context
}

func (k kept) Read([]byte) (int, error) {
	<-k.visitor.Done()
	return 0, io.EOF
}
