package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// checkListeners refuses a page on which each local user would see all tenants.
func (s *StatusPage) checkListeners(srv *caddyhttp.Server) error {
	if s.Allow != "" || len(s.app.Hubs) == 0 {
		return nil
	}
	for _, listen := range srv.Listen {
		address, err := caddy.ParseNetworkAddress(listen)
		if err != nil || address.IsFdNetwork() { // which admit decides about
			continue
		}
		if !address.IsUnixNetwork() || strings.HasPrefix(address.Host, "@") {
			return fmt.Errorf("comet_status on %s: hubs are declared, and every user of this machine reaches a port, so put basic_auth before the page and write comet_status { allow users }, or bind a Unix socket (bind unix//run/comet/status.sock|0600)", listen)
		}
	}
	return nil
}

// admit reports why the page is not for who asks. A page of elsewhere that the same
// browser shows is never one for whom it is.
func (s *StatusPage) admit(r *http.Request) error {
	if err := refuseOtherSites(r); err != nil {
		return err
	}
	switch s.Allow {
	case allowEveryone:
		return nil
	case allowUsers:
		if userOf(r) == "" {
			return errors.New("the status page is for users who are logged in, and nobody is: put basic_auth before comet_status, with a matcher that has all of the page; where something that tells Caddy no user decides who gets here (forward_auth, remote_ip), write allow everyone")
		}
		return nil
	}
	if name := forwarded(r); name != "" {
		return fmt.Errorf("the status page is for this machine alone, and the request came through a proxy (%s is set), so its sender is unknown; %s", name, letIn)
	}
	if !bySocket(r) {
		if len(s.app.Hubs) > 0 { // a port that the configuration did not show
			return fmt.Errorf("hubs are declared, and every user of this machine reaches a port; %s", letIn)
		}
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !peer.Addr().Unmap().IsLoopback() {
			return fmt.Errorf("the status page is for this machine alone; %s", letIn)
		}
	}
	// A name that an attacker's DNS points to this machine is not its own. That counts
	// on a Unix socket, too: ssh -L gives it a port at the browser's end.
	if !loopbackHost(r.Host) {
		return fmt.Errorf("the status page is for this machine alone, and the Host %.100q is not its own: ask for it at localhost or 127.0.0.1; %s", r.Host, letIn)
	}
	return nil
}

const letIn = "for others put basic_auth before it and write comet_status { allow users }, or reach it by ssh -L"

// refuseOtherSites refuses what a page of elsewhere asks for, but not who follows a
// link from there.
func refuseOtherSites(r *http.Request) error {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return nil
	}
	if r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" && r.Method == http.MethodGet {
		return nil
	}
	return errors.New("a page of another site asks for the status page, which is for people who look at it")
}

// userOf is whom Caddy has authenticated, empty for nobody.
func userOf(r *http.Request) string {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	user, _ := repl.GetString(userKey)
	return user
}
