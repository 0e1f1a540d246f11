// Package console is what the commands show of a running server: it asks the server, and
// writes for people and for programs. It knows neither Caddy nor the command line.
package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// Remote is a running server: its admin endpoint, which knows all hubs, or a hub's own
// comet_publish.
type Remote struct {
	// Network and Address are what is dialled.
	Network, Address string
	// Name is the address as the user knows it.
	Name string
	// Own: it is a hub's comet_publish.
	Own bool
	// Key goes with each request, if there is one.
	Key string

	once   sync.Once
	client *http.Client
}

// Ask sends a request. The answer is one of success.
func (r *Remote) Ask(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	r.once.Do(func() {
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, r.Network, r.Address)
		}
		r.client = &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 2}}
	})
	host := "127.0.0.1" // which a socket's server takes for its own
	if !r.socket() {
		host = r.Address
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, body)
	if err != nil {
		return nil, fmt.Errorf("%s is no address to ask: %w", r.Name, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if r.Key != "" {
		req.Header.Set("Authorization", "Bearer "+r.Key)
	}
	if !r.Own && !r.socket() {
		req.Header.Set("Origin", "http://"+host) // for enforce_origin
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil, r.explain(err)
	}
	if res.StatusCode >= http.StatusBadRequest {
		defer res.Body.Close()
		return nil, r.refused(res)
	}
	return res, nil
}

func (r *Remote) socket() bool { return strings.HasPrefix(r.Network, "unix") }

// Read makes a request and reads its JSON answer into v.
func (r *Remote) Read(ctx context.Context, method, path string, header http.Header, body io.Reader, v any) error {
	res, err := r.Ask(ctx, method, path, header, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return fmt.Errorf("what answers at %s is no caddy-comet: %w", r.Name, err)
	}
	return nil
}

// Status asks for the figures of all hubs that there are.
func (r *Remote) Status(ctx context.Context) (s figures.Status, err error) {
	path := "/comet/"
	if r.Own {
		path = "/_status"
	}
	return s, r.Read(ctx, http.MethodGet, path, nil, nil, &s)
}

// Path is the address of what a hub has; names are channels, or a name of the endpoint
// itself. Of no hub at all it is that of what all have.
func (r *Remote) Path(hub string, names ...string) string {
	escaped := make([]string, len(names))
	for i, n := range names {
		escaped[i] = url.PathEscape(n)
	}
	list := strings.Join(escaped, ",")
	switch {
	case r.Own:
		return "/" + list
	case hub == "":
		return "/comet/" + list
	}
	return "/comet/" + url.PathEscape(hub) + "/" + list
}

// Hub returns the hub that the user named, or the only one there is.
func (r *Remote) Hub(ctx context.Context, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	s, err := r.Status(ctx)
	if err != nil {
		return "", err
	}
	var names []string
	for _, h := range s.Hubs {
		if !strings.Contains(h.Hub, "/") { // no namespace, which is meant only where it is named
			names = append(names, h.Hub)
		}
	}
	switch len(names) {
	case 0:
		return "", errors.New("the running configuration uses no hub: it has no comet directive")
	case 1:
		return names[0], nil
	}
	return "", fmt.Errorf("there are several hubs; choose one with --hub: %s", strings.Join(names, ", "))
}

// Channels lists the first channels of a hub in an order.
func (r *Remote) Channels(ctx context.Context, hub, by string, limit int) (c figures.Channels, err error) {
	query := url.Values{"by": {by}, "limit": {fmt.Sprint(limit)}}
	return c, r.Read(ctx, http.MethodGet, r.Path(hub, "")+"?"+query.Encode(), nil, nil, &c)
}

// Which says of whom holds are wanted. What is empty does not matter.
type Which struct {
	Hub, Channel, User string
	// Limit is how many, 0 for all.
	Limit int
}

// Holds calls f for each hold as it comes, and returns how many more there are.
func (r *Remote) Holds(ctx context.Context, of Which, f func(figures.Hold) error) (more int, err error) {
	query := make(url.Values)
	for name, value := range map[string]string{"channel": of.Channel, "user": of.User} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if of.Limit > 0 {
		query.Set("limit", fmt.Sprint(of.Limit))
	}
	res, err := r.Ask(ctx, http.MethodGet, r.Path(of.Hub, "_holds")+"?"+query.Encode(), nil, nil)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	return readHolds(json.NewDecoder(res.Body), f)
}

// readHolds reads a [figures.Holds] piece by piece.
func readHolds(d *json.Decoder, f func(figures.Hold) error) (more int, err error) {
	cut := func(err error) (int, error) {
		return 0, fmt.Errorf("the list ends in the middle; ask again: %w", err)
	}
	for _, want := range []json.Token{json.Delim('{'), "holds", json.Delim('[')} {
		if got, err := d.Token(); err != nil || got != want {
			return cut(errors.Join(err, fmt.Errorf("it begins with %v", got)))
		}
	}
	for d.More() {
		var h figures.Hold
		if err := d.Decode(&h); err != nil {
			return cut(err)
		}
		if err := f(h); err != nil {
			return 0, err
		}
	}
	if _, err := d.Token(); err != nil {
		return cut(err)
	}
	if _, err := d.Token(); err != nil {
		return cut(err)
	}
	if err := d.Decode(&more); err != nil {
		return cut(err)
	}
	return more, nil
}

// News is what [Remote.Since] returns.
type News struct {
	Cursor string            `json:"cursor"`
	Gap    bool              `json:"gap"`
	Events []json.RawMessage `json:"events"`
}

// Since returns what happened in channels since a cursor, waiting for a few seconds where
// that is nothing.
func (r *Remote) Since(ctx context.Context, hub string, channels []string, since string) (n News, err error) {
	return n, r.Read(ctx, http.MethodGet, r.Path(hub, channels...)+"?since="+url.QueryEscape(since), nil, nil, &n)
}
