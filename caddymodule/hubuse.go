package caddymodule

import (
	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/source"
)

// hubUse is what a generation asks of one hub.
type hubUse struct {
	hub      *sharedHub
	settings Settings
	watches  []source.Watch
	// limits are those that the hub's block and its handlers set, to tell when
	// two disagree.
	limits Settings
	// directives are the comet handlers that serve the hub, for people.
	directives []string
	// of is the hub whose namespace this is, nil for most. It has that hub's
	// limit of holds.
	of *hubUse
	// keep is what a directive set for the event variables of the namespace.
	keep *Keep
}

// limitsInForce are the hub's limits.
func (u *hubUse) limitsInForce() hub.Limits {
	l := u.settings.limits()
	if u.of != nil {
		l.Holds = u.of.settings.limits().Holds
	}
	return l
}
