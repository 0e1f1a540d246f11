package caddymodule

import (
	"fmt"
	"slices"
	"strconv"

	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/access"
	"github.com/caddy-comet/caddy-comet/internal/source"
)

// Watch names files that feed a hub.
type Watch struct {
	// The files: an absolute path with at most one `*`, in its last element. The
	// `*` is the channel's name; without one the file's base name without its
	// extension is.
	Glob string `json:"glob"`

	// What an event is: `touches` (a newer modification time, without data),
	// `content` (the file's new content) or `lines` (each line that is
	// appended). Default: `touches`.
	What string `json:"what,omitempty"`

	// The Unix user, by name or number, to whom the files must belong: those of
	// others are not read. For directories in which others can put files. Default:
	// whoever's files they are.
	Owner string `json:"owner,omitempty"`
}

// resolve returns the watch with its owner's number on this machine.
func (c Watch) resolve() (source.Watch, error) {
	w, err := source.ParseWatch(c.Glob, c.What)
	if err != nil || c.Owner == "" {
		return w, err
	}
	if !source.OwnersAreKnown {
		return w, fmt.Errorf("watch %s: owner: files have no owners on this system; take it out", w.Glob)
	}
	uid, err := access.User(c.Owner)
	if err != nil {
		return w, fmt.Errorf("watch %s: owner: %w", w.Glob, err)
	}
	w.Owner = strconv.FormatUint(uint64(uid), 10)
	return w, nil
}

// watch adds watches to a hub's. The same one twice is one; files that would
// feed two hubs are refused, for one tenant would hear another.
func (a *App) watch(name string, use *hubUse, watches []Watch) error {
	for _, config := range watches {
		w, err := config.resolve()
		if err != nil {
			return err
		}
		for other, u := range a.uses {
			for _, o := range u.watches {
				if other == name && w.Owner != o.Owner && w.Overlaps(o) {
					return fmt.Errorf("watch %s and watch %s of hub %s match the same files and have not the same owner: write the same owner for both", w.Glob, o.Glob, name)
				}
				if other != name && w.Overlaps(o) {
					return fmt.Errorf("watch %s of hub %s and watch %s of hub %s match the same files: one file feeds one hub", w.Glob, name, o.Glob, other)
				}
			}
		}
		if !slices.Contains(use.watches, w) {
			if warning := w.Warning(); warning != "" {
				a.logger.Warn("watched files may be invisible", zap.String("hub", name), zap.String("cause", warning))
			}
			use.watches = append(use.watches, w)
		}
	}
	return nil
}
