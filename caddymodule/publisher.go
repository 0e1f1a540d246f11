package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/source"
)

// filePublisher publishes in the site's place, for answer_publish: it touches or
// writes the file of a channel, as the site's PHP would. That the file stays in
// the directory is what os.Root sees to.
type filePublisher struct {
	watch source.Watch
	// writes: the data is the file's new content, and the answer has none.
	writes bool
	hub    string
}

func newFilePublisher(dialect, hub string, watches []Watch, channels []string) (*filePublisher, error) {
	what, example := source.Touches, "watch /run/comet/*.comet"
	switch dialect {
	case "novcomet":
	case "filechat": // which has one channel
		what, example = source.Content, "watch /srv/www/"+channels[0]+".txt content"
	default:
		return nil, fmt.Errorf("answer_publish: the dialect %s has no publish requests", dialect)
	}
	for _, config := range watches {
		w, err := source.ParseWatch(config.Glob, config.What)
		if err != nil {
			return nil, err
		}
		fits := strings.Contains(w.Glob, "*")
		if len(channels) > 0 {
			_, fits = fileOf(w, channels[0])
		}
		if w.What == what && fits {
			if config.Owner != "" {
				return nil, fmt.Errorf("answer_publish: the server itself would make the files of %s, and owner %s refuses them; take one of the two out", w.Glob, config.Owner)
			}
			return &filePublisher{w, what == source.Content, hub}, nil
		}
	}
	return nil, fmt.Errorf("answer_publish needs the file that it is to change: add a line such as %s", example)
}

// fileOf returns the name of the file in the watch's directory that feeds the
// channel, and whether there is one.
func fileOf(w source.Watch, channel string) (base string, ok bool) {
	prefix, suffix, star := strings.Cut(filepath.Base(w.Glob), "*")
	base = prefix + suffix
	if star {
		base = prefix + channel + suffix
	}
	name, ok := w.Channel(base)
	return base, ok && name == channel
}

// publish implements [publisher] and answers as the seeds' PHP does: a touch with
// true or false, a written message with nothing. The dialect has checked the
// channel's name.
func (p *filePublisher) publish(w http.ResponseWriter, _ *http.Request, channel string, data []byte) {
	err := fmt.Errorf("no file of %s has the name of this channel", p.watch.Glob)
	if base, ok := fileOf(p.watch, channel); ok {
		err = p.change(base, data)
	}
	if err != nil {
		fail(ofHolds, p.hub, "publishing by a file failed; the directory must exist and be writable for this process",
			zap.String("directory", p.watch.Dir()), zap.Error(err))
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	switch {
	case p.writes && err != nil:
		writeText(w, http.StatusInternalServerError, "the message could not be written; the server's log says why")
	case p.writes:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusOK)
	default:
		_, _ = fmt.Fprint(w, err == nil)
	}
}

func (p *filePublisher) change(base string, data []byte) error {
	root, err := os.OpenRoot(p.watch.Dir())
	if err != nil {
		return err
	}
	defer root.Close()
	if !p.writes {
		now := time.Now()
		if err = root.Chtimes(base, now, now); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	_, err = root.Stat(base)
	created := errors.Is(err, fs.ErrNotExist)
	// Nobody waits for the other end of a FIFO that lies there instead of a file.
	f, err := root.OpenFile(base, os.O_CREATE|os.O_WRONLY|syscall.O_NONBLOCK, 0o666)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is no file", base)
	case p.writes:
		if err = f.Truncate(0); err == nil {
			_, err = f.Write(data)
		}
	}
	if created && err == nil {
		// In a directory for the site alone: the site's PHP, another user, must be
		// able to change it, too, whatever our umask is.
		err = errors.Join(err, f.Chmod(0o666))
	}
	return errors.Join(err, f.Close())
}

// setVariable sets an event variable.
type setVariable struct{ hub *sharedHub }

// publish implements [publisher].
func (s setVariable) publish(w http.ResponseWriter, r *http.Request, number string, _ []byte) {
	_, err := s.hub.tell(context.WithoutCancel(r.Context()), []hub.Draft{{Channel: number, Source: "doorbell"}})
	if err != nil {
		status, text, reason := publishStatus(w.Header(), err), err.Error(), refusedAs(err, "limit")
		if errors.Is(err, hub.ErrTooManyChannels) {
			text = "as many event variables as may be are waited for; raise the count of keep"
		}
		metrics().denied.WithLabelValues(s.hub.name, reason).Inc()
		writeText(w, status, text)
		return
	}
	writeText(w, http.StatusOK, "set")
}
