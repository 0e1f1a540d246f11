package caddymodule

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/access"
)

// admit says who publishes by a request, or why nobody does.
func (p *Publish) admit(r *http.Request) (who access.Publisher, status int, err error) {
	if err := refuseBrowser(r); err != nil {
		return who, http.StatusForbidden, err
	}
	named := r.Header.Get("Authorization") != ""
	if !p.keyring.Empty() && (named || len(p.users) == 0) {
		return p.admitKey(r)
	}
	if err := refuseProxy(r); err != nil {
		return who, http.StatusForbidden, err
	}
	if len(p.users) > 0 {
		return p.admitUser(r)
	}
	if bySocket(r) {
		return who, 0, nil
	}
	if p.onlySockets { // a port that the configuration did not show, such as a passed descriptor
		return who, http.StatusForbidden, errors.New("only a Unix socket publishes here without a key, since every user of this machine reaches a port")
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return who, http.StatusForbidden, errors.New("only programs on this machine may publish here; for others set a key: comet_publish { key … }")
	}
	if !loopbackHost(r.Host) {
		return who, http.StatusForbidden, fmt.Errorf("the Host %q is not this machine's own; publish to 127.0.0.1 or localhost", r.Host)
	}
	return who, 0, nil
}

func (p *Publish) admitKey(r *http.Request) (who access.Publisher, status int, err error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if key, ok := basicKey(r); ok {
		scheme, token = "Bearer", key
	}
	token = strings.TrimSpace(token)
	key, ok := p.keyring.Find(token)
	tokens := p.keyring.HasShared()
	switch bearer := token != "" && strings.EqualFold(scheme, "Bearer"); {
	case !bearer && tokens:
		err = errors.New("a key is needed: send Authorization: Bearer <key>, or Bearer <token>, which a jwt_key signs")
	case !bearer || !ok && !tokens:
		err = errors.New("a key is needed: send Authorization: Bearer <key>")
	case !ok:
		key, err = p.keyring.FindSigned(token, p.use.hub.name, time.Now())
	}
	if err != nil {
		return who, http.StatusUnauthorized, err
	}
	return access.Publisher{Key: key}, 0, nil
}

// admitUser goes by whom the kernel names at the other end of the connection.
func (p *Publish) admitUser(r *http.Request) (who access.Publisher, status int, err error) {
	uid, known := r.Context().Value(peerKey{}).(uint32)
	switch {
	case !bySocket(r):
		err = errors.New("only the users that are named publish here, and a port does not tell who connects; publish over the Unix socket")
	case !known:
		err = errors.New("it is not known which user is at the other end of this connection; publish over a connection of your own, on which nothing was listened to, straight to the Unix socket")
	case !slices.Contains(p.users, uid):
		err = fmt.Errorf("the user with the number %d may not publish here; who may is named in comet_publish { user … }", uid)
	default:
		return access.Publisher{User: int64(uid) + 1}, 0, nil
	}
	return who, http.StatusForbidden, err
}

func bySocket(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return local != nil && strings.HasPrefix(local.Network(), "unix")
}

// refuseProxy refuses what was passed on: its sender is not who connected.
func refuseProxy(r *http.Request) error {
	if name := forwarded(r); name != "" {
		return fmt.Errorf("the request came through a proxy (%s is set), so its sender is unknown; publish directly, or set a key", name)
	}
	return nil
}

// forwarded names the header that says that a proxy passed the request on, empty where
// there is none.
func forwarded(r *http.Request) string {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return name
		}
	}
	return ""
}

// refuseBrowser refuses what a browser sent: a page from anywhere may make the
// visitor's browser post to the visitor's own machine.
func refuseBrowser(r *http.Request) error {
	for _, name := range []string{"Origin", "Sec-Fetch-Site"} {
		if r.Header.Get(name) != "" {
			return fmt.Errorf("browsers may not publish here (%s is set); let the site's PHP publish", name)
		}
	}
	return nil
}

// loopbackHost reports whether a Host header names this machine. A name that an
// attacker's DNS points to 127.0.0.1 does not (DNS rebinding).
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
