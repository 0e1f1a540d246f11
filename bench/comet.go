//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"

	serverfigures "github.com/caddy-comet/caddy-comet/internal/figures"
)

// comet is caddy-comet, built from this tree.
type comet struct {
	// options are lines of the global block.
	options string
	// knows and lacks are an option that the binary must know, and must not.
	knows, lacks string
	// plain leaves out every directive of comet, backend adds comet_backend:
	// for what is passed through.
	plain, backend bool
	// stored keeps events on the disk.
	stored bool
}

func (comet) dialect() string { return "native" }

// configure implements [program]. Holds and heartbeats are so long that none
// ends or happens while something else is measured.
func (c comet) configure(s site) (*exec.Cmd, error) {
	if err := os.WriteFile(s.path("Caddyfile"), []byte(c.caddyfile(s, c.options)), 0o600); err != nil {
		return nil, err
	}
	return caddyCommand(s, "run"), nil
}

func (c comet) caddyfile(s site, options string) string {
	if c.stored {
		options += "\n\t\tstore " + s.path("store")
	}
	global := fmt.Sprintf(`	comet {
		hold 30m
		heartbeat 30m
		history 10
		%s
	}
`, options)
	directives := "\tcomet /comet/*"
	switch {
	case s.touches != "":
		directives += fmt.Sprintf(" {\n\t\twatch %s/*.comet touches\n\t}", s.touches)
	case s.logs != "":
		directives += fmt.Sprintf(" {\n\t\twatch %s/*.jsonl lines\n\t}", s.logs)
	}
	publish := fmt.Sprintf("http://%s {\n\tbind 127.0.0.1\n\tcomet_publish\n}\n", s.publish)
	if c.backend {
		directives += "\n\tcomet_backend {\n\t\tpiggyback\n\t\tpublish\n\t}"
	}
	if c.plain {
		global, directives, publish = "", "", ""
	}
	if s.php != "" {
		directives += fmt.Sprintf("\n\troot %s\n\tphp_fastcgi unix/%s", s.root, s.php)
	}
	return fmt.Sprintf(`{
	admin unix/%[1]s
	persist_config off
	auto_https off
	grace_period 1s
%[2]s}
(site) {
	bind 127.0.0.1
%[3]s
}
http://localhost:%[4]s {
	import site
}
https://localhost:%[5]s {
	tls %[6]s %[7]s {
		protocols tls1.3 tls1.3
	}
	import site
}
%[8]s`, s.path("admin.sock"), global, directives, portOf(s.plain), portOf(s.secure), s.certificate, s.key, publish)
}

func caddyCommand(s site, verb string) *exec.Cmd {
	cmd := exec.Command(s.binary, verb, "--adapter", "caddyfile", "--config", s.path("Caddyfile"))
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "XDG_DATA_HOME="+s.path("data"), "XDG_CONFIG_HOME="+s.path("config"))
	return cmd
}

// there implements [program] by `caddy validate`.
func (c comet) there(ctx context.Context, s site) error {
	if err := c.validate(ctx, s, ""); err != nil {
		return err
	}
	for _, option := range []string{c.options, c.knows} {
		if option != "" && c.validate(ctx, s, option) != nil {
			return fmt.Errorf("the binary refuses %q", option)
		}
	}
	if c.lacks != "" && c.validate(ctx, s, c.lacks) == nil {
		return fmt.Errorf("the binary knows %q", c.lacks)
	}
	return nil
}

// validate says why the binary refuses the configuration with an option.
func (c comet) validate(ctx context.Context, s site, option string) error {
	if err := os.WriteFile(s.path("Caddyfile"), []byte(c.caddyfile(s, option)), 0o600); err != nil {
		return err
	}
	made := caddyCommand(s, "validate")
	cmd := exec.CommandContext(ctx, made.Path, made.Args[1:]...)
	cmd.Env = made.Env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("caddy validate: %w\n%s", err, out)
	}
	return nil
}

// held implements [program] by the admin endpoint.
func (comet) held(ctx context.Context, s site) (int, error) {
	status, err := statusOf(ctx, s)
	held := 0
	for _, hub := range status.Hubs {
		held += hub.Held
	}
	return held, err
}

func statusOf(ctx context.Context, s site) (status serverfigures.Status, err error) {
	b, err := fetch(ctx, adminClient(s), "http://127.0.0.1/comet/")
	if err != nil {
		return status, err
	}
	return status, json.Unmarshal(b, &status)
}

func fetch(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return do(client, req)
}

// do wants the answer 200.
func do(client *http.Client, req *http.Request) ([]byte, error) {
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", req.URL, res.Status, b)
	}
	return b, err
}

// adminClient talks to a server's admin endpoint.
func adminClient(s site) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.path("admin.sock"))
		},
	}}
}

// copyBinary gives each contender a file of its own: processes of one file
// share its pages, and one's memory would depend on what another one runs.
func copyBinary(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("%w; make build makes it", err)
	}
	return os.WriteFile(to, b, 0o755)
}
