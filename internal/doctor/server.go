package doctor

import (
	"path/filepath"
	"strings"
)

// Runs says who the server is.
func Runs(sys System, address string, facts *Facts) Finding {
	return fine("server", "the server runs as %s (process %d), and answers at %s", serverUser(sys, facts).Name, facts.Process.PID, address)
}

// NoServer says that nobody answers at the admin endpoint. outside: what can be seen
// without it will be.
func NoServer(address string, outside bool) Finding {
	if outside {
		return noEndpoint.found("sudo systemctl start caddy-comet   # on the server itself; or name its admin endpoint: --address, --config", address)
	}
	return noServer.found("sudo systemctl start caddy-comet\ncaddy-comet comet doctor --config /etc/caddy-comet/Caddyfile   # where it runs, and its admin endpoint is elsewhere", address)
}

// NoPermission says that the admin endpoint is for others; command is what was typed.
func NoPermission(sys System, address string, command []string) Finding {
	if len(command) > 0 {
		command = append([]string{filepath.Base(command[0])}, command[1:]...)
	}
	return noPermission.found("sudo "+strings.Join(command, " "), address, sys.Self().Name)
}

// NoComet says that another Caddy answers.
func NoComet(address string) Finding {
	return noComet.found("caddy-comet comet doctor --config /etc/caddy-comet/Caddyfile   # another Caddy runs there; or: apt list --installed | grep caddy", address)
}

// OldServer says that the server was not restarted after an upgrade.
func OldServer(address string) Finding {
	return oldServer.found("systemctl restart caddy-comet", address)
}

// Trouble is any other error of the admin endpoint's.
func Trouble(address, text string) Finding {
	return trouble.found("journalctl -u caddy-comet -n 50", address, shorten(text))
}
