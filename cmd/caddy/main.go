// Command caddy is Caddy with its standard modules and caddy-comet.
package main

import (
	_ "time/tzdata"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-comet/caddy-comet/caddymodule"
)

func main() {
	caddycmd.Main()
}
