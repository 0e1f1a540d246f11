package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddy-comet/caddy-comet/internal/console"
	"github.com/caddy-comet/caddy-comet/internal/figures"
)

const failed = caddy.ExitCodeFailedStartup

// target is the server that the flags name, and its hub.
func target(ctx context.Context, fl caddycmd.Flags) (*console.Remote, string, error) {
	r, err := remoteOf(fl)
	if err != nil {
		return nil, "", err
	}
	hub, err := r.Hub(ctx, fl.String("hub"))
	return r, hub, err
}

func runPublish(fl caddycmd.Flags) (int, error) {
	ctx := context.Background()
	data := []byte(fl.Arg(1))
	if fl.Arg(1) == "-" {
		var err error
		if data, err = io.ReadAll(os.Stdin); err != nil {
			return failed, err
		}
	}
	r, hub, err := target(ctx, fl)
	if err != nil {
		return failed, err
	}
	header := http.Header{"Content-Type": {contentType(fl.String("content-type"), data)}}
	for flag, name := range map[string]string{"type": "Comet-Type", "id": "Comet-Id"} {
		if v := fl.String(flag); v != "" {
			header.Set(name, v)
		}
	}
	var answer json.RawMessage
	if err := r.Read(ctx, http.MethodPost, r.Path(hub, strings.Split(fl.Arg(0), ",")...), header, bytes.NewReader(data), &answer); err != nil {
		return failed, err
	}
	fmt.Println(string(answer))
	return caddy.ExitCodeSuccess, nil
}

func runKick(fl caddycmd.Flags) (int, error) {
	query := make(url.Values)
	for _, name := range []string{"user", "session", "channel"} {
		if value := fl.String(name); value != "" {
			query.Set(name, value)
		}
	}
	if len(query) == 0 {
		return failed, errors.New("say whose holds are to end: --user, --session or --channel")
	}
	ctx := context.Background()
	r, hub, err := target(ctx, fl)
	if err != nil {
		return failed, err
	}
	var answer struct{ Ended int }
	if err := r.Read(ctx, http.MethodDelete, r.Path(hub, holdsName)+"?"+query.Encode(), nil, nil, &answer); err != nil {
		return failed, err
	}
	fmt.Println(answer.Ended, "ended")
	return caddy.ExitCodeSuccess, nil
}

func runStatus(fl caddycmd.Flags) (int, error) {
	r, err := remoteOf(fl)
	if err != nil {
		return failed, err
	}
	s, err := r.Status(context.Background())
	if err != nil {
		return failed, err
	}
	only := fl.String("hub")
	if err := knownHub(s, only); err != nil {
		return failed, err
	}
	if fl.Bool("json") {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return caddy.ExitCodeSuccess, encoder.Encode(s)
	}
	return caddy.ExitCodeSuccess, console.PrintStatus(os.Stdout, s, only)
}

// knownHub reports that there is no such hub, in the words of the server.
func knownHub(s figures.Status, name string) error {
	if name == "" || slices.ContainsFunc(s.Hubs, func(h figures.Hub) bool { return h.Hub == name }) {
		return nil
	}
	var known []string
	for _, h := range s.Hubs {
		known = append(known, h.Hub)
	}
	return noHubOf(name, known)
}
