package caddymodule

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddy-comet/caddy-comet/internal/console"
)

// serviceSocket is the admin endpoint of the Debian package's service, by its Caddyfile.
const serviceSocket = "/run/caddy-comet/admin.sock"

// adminAddress is the admin endpoint that the flags name, or the environment, or that
// there is.
func adminAddress(fl caddycmd.Flags) (string, error) {
	if fl.String("address") == "" && fl.String("config") == "" && os.Getenv("CADDY_ADMIN") == "" {
		if _, err := os.Stat(serviceSocket); err == nil {
			return "unix/" + serviceSocket, nil
		}
	}
	return caddycmd.DetermineAdminAPIAddress(fl.String("address"), nil, fl.String("config"), fl.String("adapter"))
}

// remoteOf is the server that the flags name.
func remoteOf(fl caddycmd.Flags) (*console.Remote, error) {
	own := fl.String("socket") != ""
	name := fl.String("socket")
	kind, example := "comet_publish", "/run/comet/publish/shop.sock or 127.0.0.1:2020"
	if !own {
		var err error
		name, err = adminAddress(fl)
		if err != nil {
			return nil, err
		}
		kind, example = "admin", "localhost:2019 or unix//run/caddy/admin.sock"
	}
	r, err := dialled(name)
	if err != nil {
		return nil, fmt.Errorf("invalid %s address %s: %w; write it as %s", kind, name, err, example)
	}
	if r.Own = own; fl.String("key-file") != "" {
		if !own {
			return nil, fmt.Errorf("--key-file is for the comet_publish that --socket names; the admin endpoint has no keys")
		}
		if r.Key, err = firstKey(fl.String("key-file")); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// dialled reads an address: one of Caddy's, the path of a socket, or with a scheme.
func dialled(name string) (*console.Remote, error) {
	address := strings.TrimSuffix(strings.TrimPrefix(name, "http://"), "/")
	if path := strings.TrimPrefix(address, "unix:"); strings.HasPrefix(path, "/") {
		address = "unix/" + path
	}
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil {
		return nil, err
	}
	r := &console.Remote{Network: parsed.Network, Name: name}
	switch {
	case parsed.IsUnixNetwork():
		r.Address, _, _ = strings.Cut(parsed.Host, "|") // the mode is for who listens
	case parsed.Network != "tcp":
		return nil, fmt.Errorf("%s is no network to ask over", parsed.Network)
	case parsed.PortRangeSize() != 1 || parsed.StartPort == 0:
		return nil, fmt.Errorf("it needs one port")
	default:
		if parsed.Host == "" {
			parsed.Host = "localhost"
		}
		r.Address = parsed.JoinHostPort(0)
	}
	return r, nil
}

// firstKey is the first key of a file of keys.
func firstKey(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the key: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if key := strings.TrimSpace(lines.Text()); key != "" && !strings.HasPrefix(key, "#") {
			return key, nil
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("reading the key of %s: %w", path, err)
	}
	return "", fmt.Errorf("%s has no key in it", path)
}
