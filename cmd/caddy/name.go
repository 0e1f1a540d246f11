package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// long is what the program says of itself, with NAME for its name.
const long = `NAME is the web server Caddy with one more skill: it takes the requests that
wait off a PHP site (long polls, event streams, WebSockets), holds them itself,
and passes everything else to PHP untouched.

	- 'NAME run --config Caddyfile' serves until it is stopped.
	- 'NAME validate --config Caddyfile' finds mistakes and serves nothing.
	- 'NAME reload --config Caddyfile' has a running server take another
	  configuration, without dropping what waits.
	- 'NAME comet' looks into a running server, and publishes.

Of a Debian package it is the service caddy-comet: 'systemctl reload caddy-comet'
takes what /etc/caddy-comet/Caddyfile says now, and 'journalctl -u caddy-comet'
has what it logged.

How it is set up for PHP: https://github.com/caddy-comet/caddy-comet
All that Caddy does besides: https://caddyserver.com/docs/
`

// init has the help, the manual and the completion speak of the program by the
// name that it is called by, caddy or caddy-comet.
func init() {
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	caddy.CustomBinaryName = name
	caddy.CustomLongDescription = strings.ReplaceAll(long, "NAME", name)
}
