package caddymodule

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/figures"
	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/log"
)

// stored is what a hub of the process has to do with a store.
type stored struct {
	log *log.Memory

	mu sync.Mutex
	// begun: the hub is in use, so that what is in memory counts, and not what a
	// store has.
	begun bool
	path  string
	feed  *feeder
}

// store is where the generation wants the hub kept.
func (u *hubUse) store() log.Store { return u.settings.store(u.hub.name) }

// keepIn has the hub kept where a generation wants it, and lets in who waits for
// that.
func (s *sharedHub) keepIn(store log.Store) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if store.Path != "" && s.feed == nil {
		s.feed = newFeeder(s)
	}
	if err := s.log.Keep(store, !s.begun); err != nil {
		return err
	}
	s.begun, s.path = true, store.Path
	s.Begin()
	return nil
}

// feeder is the way in for files, nil while no disk has to be waited for.
func (s *sharedHub) feeder() *feeder {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.feed
}

func (s *sharedHub) storeStatus() *figures.Store {
	s.mu.Lock()
	path := s.path
	s.mu.Unlock()
	stats, ok := s.log.Stored()
	if !ok || path == "" {
		return nil
	}
	status := &figures.Store{Path: path, Bytes: stats.Bytes}
	if stats.Err != nil {
		status.Error = stats.Err.Error()
	}
	return status
}

// store is where the settings have the hub of that name kept, none by default. Each
// hub has a file of its own. The name of a namespace has a slash, and its file an @,
// which no hub's name has.
func (s Settings) store(name string) log.Store {
	if s.Store == "" || s.Store == storeOff {
		return log.Store{}
	}
	return log.Store{
		Path:   filepath.Join(s.Store, strings.ReplaceAll(name, "/", "@")+".db"),
		Logger: func() *zap.Logger { return logs().stores },
	}
}

// isStoreError reports whether it is a store that refused an event.
func isStoreError(err error) bool {
	return errors.Is(err, hub.ErrFull) || errors.Is(err, hub.ErrUnkept) || errors.Is(err, hub.ErrBusy)
}
