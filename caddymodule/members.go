package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/access"
	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/presence"
)

// Presence has channels know their members: the users who follow them, as the site, a
// token or Caddy's authentication names them. When one comes or leaves, an event of the
// type `join` or `leave` is published on the channel, with `{"user":"42"}`.
type Presence struct {
	// The channels that have members: names, or patterns with `*`.
	Channels []string `json:"channels"`

	// For how long somebody may be away before he has left: the time between two polls,
	// or that of a page's reload. Default: 15s.
	Grace caddy.Duration `json:"grace,omitempty"`
}

// defaultGrace is longer than clients take to come back by themselves.
const defaultGrace = 15 * time.Second

func (p *Presence) check() error {
	if p == nil {
		return nil
	}
	if len(p.Channels) == 0 {
		return errors.New("presence names no channel; write some, or patterns, as in presence room-*")
	}
	if p.Grace < 0 {
		return errors.New("presence: grace cannot be negative")
	}
	_, err := access.ParsePatterns(p.Channels)
	return err
}

// config is what the members are told; the channels have been checked.
func (p *Presence) config() presence.Config {
	if p == nil {
		return presence.Config{}
	}
	return presence.Config{Match: access.Patterns(p.Channels).Match, Grace: or(time.Duration(p.Grace), defaultGrace)}
}

// newMembers are a hub's.
func newMembers(name string, h *hub.Hub) *presence.Members {
	return presence.New(h, nil, func(err error) {
		if !errors.Is(err, hub.ErrClosed) {
			fail(ofHolds, name, "who comes and leaves cannot be published", zap.Error(err))
		}
	})
}

// serve puts the hub's settings in force.
func (u *hubUse) serve() {
	u.hub.SetLimits(u.limitsInForce())
	u.hub.pace.set(u.settings.MaxPublishRate)
	if u.of == nil {
		u.hub.members.Set(u.settings.Presence.config())
	}
}

// membersName is the last element of the path where a channel's members are.
const membersName = "members"

// serveMembers answers who is there, and reports whether a path asks that: a channel may
// have that name, too.
func (e endpoint) serveMembers(w http.ResponseWriter, r *http.Request, path string) bool {
	before, last := path[:max(0, strings.LastIndexByte(path, '/'))], lastElement(path)
	if last != membersName || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	channel, err := url.PathUnescape(lastElement(before))
	if err != nil || channel == "" {
		return false
	}
	users, ok := e.hub.members.Of(channel)
	if ok {
		writeJSON(w, http.StatusOK, map[string]any{
			"channel": channel, "members": users, "cursor": e.hub.Cursor().String(),
		})
		return true
	}
	if _, named := e.hub.Info(membersName); named || r.URL.Query().Has("since") || hub.CheckChannel(channel) != nil {
		return false
	}
	writeError(w, http.StatusNotFound, fmt.Errorf("the channel %q has no members; write \"presence %s\" into the block of its hub, which is %s", channel, channel, e.hub.name))
	return true
}

// presenceOption reads
//
//	presence <channel>… {
//		grace <duration>
//	}
func presenceOption(v **Presence) option {
	return option{read: func(d *caddyfile.Dispenser) error {
		channels, err := args(d, "one or more channels, or patterns, as in presence room-*", 1, 1000)
		if err != nil {
			return err
		}
		p := &Presence{Channels: channels}
		*v = p
		if err := (options{"grace": duration(&p.Grace)}).parse(d, "presence"); err != nil {
			return err
		}
		if err := p.check(); err != nil {
			return d.WrapErr(fmt.Errorf("presence: %w", err))
		}
		return nil
	}}
}
