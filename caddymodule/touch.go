package caddymodule

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/source"
)

// touchFile publishes in the site's place, for answer_publish: it touches the
// file of a channel, as the site's PHP would.
type touchFile struct {
	dir, prefix, suffix string
}

func newTouchFile(dialect string, watches []Watch) (*touchFile, error) {
	if dialect != "novcomet" {
		return nil, fmt.Errorf("answer_publish: the dialect %s has no publish requests", dialect)
	}
	for _, config := range watches {
		w, err := source.ParseWatch(config.Glob, config.What)
		if err != nil {
			return nil, err
		}
		prefix, suffix, star := strings.Cut(filepath.Base(w.Glob), "*")
		if star && w.What == source.Touches {
			return &touchFile{w.Dir(), prefix, suffix}, nil
		}
	}
	return nil, errors.New("answer_publish needs the files that it is to touch: add a line such as watch /run/comet/*.comet")
}

// serve touches the channel's file and answers as the seed's PHP does: true, or
// false where it failed. The dialect has checked the channel's name; that the
// file stays in the directory is what os.Root sees to.
func (t *touchFile) serve(w http.ResponseWriter, channel string, logger *zap.Logger) error {
	answer := "true"
	if err := t.touch(t.prefix + channel + t.suffix); err != nil {
		answer = "false"
		logger.Error("publishing by a touch failed; the directory must exist and be writable for this process",
			zap.String("directory", t.dir), zap.Error(err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, err := w.Write([]byte(answer))
	return err
}

func (t *touchFile) touch(base string) error {
	root, err := os.OpenRoot(t.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	now := time.Now()
	err = root.Chtimes(base, now, now)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(base, os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	// Empty and in a directory for the site alone: the site's PHP, another user,
	// must be able to touch it, too, whatever our umask is.
	return errors.Join(f.Chmod(0o666), f.Close())
}
