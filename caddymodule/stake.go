package caddymodule

import (
	"fmt"
	"net/http"
	"net/netip"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-comet/caddy-comet/internal/access"
)

// stake is what a hold takes of its visitor's.
type stake struct {
	of     *access.Shares
	shares []access.Share
}

// again takes the same once more, and reports whether there is room.
func (s *stake) again() bool {
	_, ok := s.of.Take(s.shares)
	return ok
}

func (s *stake) release() { s.of.Release(s.shares) }

// stake takes what a hold needs, nil where there are no limits. The error says that the
// visitor has all that he may.
func (u *hubUse) stake(r *http.Request, user string) (*stake, error) {
	var s stake
	if most := u.settings.MaxHoldsPerIP; most > 0 {
		if ip := networkOf(r); ip != "" {
			s.shares = append(s.shares, access.Share{Name: "address " + ip, Most: most})
		}
	}
	if most := u.settings.MaxHoldsPerUser; most > 0 && user != "" {
		s.shares = append(s.shares, access.Share{Name: "user " + user, Most: most})
	}
	if s.shares == nil {
		return nil, nil
	}
	s.of = &u.hub.shares
	if full, ok := s.of.Take(s.shares); !ok {
		return nil, fmt.Errorf("%d requests are held for you, which is the limit; close other pages of this site", full.Most)
	}
	return &s, nil
}

// networkOf is the address of a request's client, by Caddy's trusted_proxies, or its
// /64 of IPv6, which one client has all of. "" where it has none, on a Unix socket.
func networkOf(r *http.Request) string {
	ip := clientOf(r)
	switch {
	case !ip.IsValid():
		return ""
	case ip.Is4():
		return ip.String()
	}
	const whole = 64
	prefix, _ := ip.Prefix(whole) // every IPv6 has one
	return prefix.String()
}

// clientOf is the address of a request's client, by Caddy's trusted_proxies; invalid where
// it has none, on a Unix socket.
func clientOf(r *http.Request) netip.Addr {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	ip, _ := netip.ParseAddr(text)
	return ip.Unmap().WithZone("")
}
