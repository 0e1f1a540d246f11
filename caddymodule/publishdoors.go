package caddymodule

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// checkListeners refuses listeners over which those may publish who should not, or
// nobody can.
func (p *Publish) checkListeners(srv *caddyhttp.Server, logger *zap.Logger) error {
	hub := p.use.hub.name
	for _, listen := range srv.Listen {
		address, err := caddy.ParseNetworkAddress(listen)
		if err != nil || address.IsFdNetwork() { // which admit decides about
			continue
		}
		// An abstract socket has no mode, so it is as open as a port.
		open := !address.IsUnixNetwork() || strings.HasPrefix(address.Host, "@")
		_, mode, _ := strings.Cut(address.Host, "|")
		bits, _ := strconv.ParseUint(mode, 8, 16)
		switch {
		case !p.keyring.Empty():
		case len(p.users) > 0 && !address.IsUnixNetwork():
			return fmt.Errorf("comet_publish on %s: a port does not tell which user connects; bind a Unix socket alone (bind unix//run/comet/%s-publish/publish.sock|0666), or set a key, too", listen, hub)
		case len(p.users) > 0 && !open && mode == "":
			logger.Warn("only the server's own user may connect to a socket without a mode; write "+listen+"|0666, the users are told apart by their numbers",
				zap.String("hub", hub), zap.String("listen", listen))
		case len(p.users) > 0:
		case p.onlySockets && open:
			return fmt.Errorf("comet_publish on %s: hubs are declared, and every user of this machine reaches a port, so each tenant needs a Unix socket (bind unix//run/comet/%s-publish/publish.sock|0660) or a key", listen, hub)
		case p.onlySockets && bits&0o002 != 0:
			logger.Warn("every user who may enter the socket's directory publishes here; name those who may (comet_publish { user … }), or give the socket the mode 0660",
				zap.String("hub", hub), zap.String("listen", listen))
		}
	}
	return nil
}
