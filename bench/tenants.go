//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
)

// tenants is caddy-comet with two hubs, as docs/hosting.md sets them up: the shop,
// whose visitors are measured, and the forum, which attacks. Here both are of the
// user who runs the benchmark.
type tenants struct{ comet }

// forumHost is the forum's name. The shop is localhost, as every site here.
const forumHost = "forum.example"

// tenant is one of the two.
type tenant string

const (
	shop  tenant = "shop"
	forum tenant = "forum"
)

// socket is where the tenant publishes.
func (t tenant) socket(s site) string { return s.path(string(t) + ".sock") }

// files is the directory in which the tenant touches files and appends to them.
func (t tenant) files(s site) string { return s.touches + "/" + string(t) }

// configure implements [program].
func (t tenants) configure(s site) (*exec.Cmd, error) {
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.path("Caddyfile"), []byte(t.caddyfile(s, me.Username)), 0o600); err != nil {
		return nil, err
	}
	return caddyCommand(s, "run"), nil
}

func (tenants) caddyfile(s site, owner string) string {
	return fmt.Sprintf(`(hub) {
	hub {args[0]} {
		watch %[1]s/{args[0]}/*.jsonl lines owner %[2]s
		watch %[1]s/{args[0]}/*.comet owner %[2]s
	}
}
(site) {
	http://{args[1]}:%[4]s {
		bind 127.0.0.1
		comet /comet/* {
			hub {args[0]}
		}
	}
	http:// {
		bind unix/%[3]s/{args[0]}.sock|0666
		comet_publish {args[0]} {
			user %[2]s
			rate 100/s burst 500
			max_event 64KiB
		}
	}
}
{
	admin unix/%[3]s/admin.sock
	persist_config off
	auto_https off
	grace_period 1s
	comet {
		max_memory 64MiB
		hold 30m
		heartbeat 30m
		import hub %[5]s
		import hub %[6]s
	}
}
import site %[5]s localhost
import site %[6]s %[7]s
`, s.touches, owner, s.dir, portOf(s.plain), shop, forum, forumHost)
}
