package doctor

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// Admin is the running server's admin endpoint.
type Admin interface {
	// Do makes a request and reads its JSON answer into v.
	Do(method, uri string, header http.Header, body io.Reader, v any) error
}

// channelURI is a channel's address at the admin endpoint.
func channelURI(hub, channel string) string {
	return "/comet/" + url.PathEscape(hub) + "/" + url.PathEscape(channel)
}

// tailed is what the admin endpoint says of a channel.
type tailed struct {
	Cursor string            `json:"cursor"`
	Held   int               `json:"held"`
	Events []json.RawMessage `json:"events"`
}

// touchTime is how long a touch may take: the admin endpoint waits so long.
const touchTime = 5 * time.Second

// Touch makes a file in each watched directory, as PHP does, on a channel that nobody
// follows, and takes the time until the server tells of it.
func Touch(sys System, admin Admin, setup *Setup, facts *Facts, php *PHP) (found []Finding) {
	for _, w := range facts.Watches {
		dir := filepath.Dir(w.Glob)
		if _, err := sys.FS().Stat(dir); err != nil || w.Mode == "" {
			continue // which Files tells of
		}
		if !strings.Contains(filepath.Base(w.Glob), "*") {
			found = append(found, unknown("touch", "caddy-comet comet tail "+channelOf(w.Glob)+"   # and touch the file yourself meanwhile", "%s is one file, and a touch of it would be news to its visitors, so it is not tried", w.Glob))
			continue
		}
		as := sys.Self()
		if users := w.writers(sys, setup, php); len(users) > 0 && as.UID == 0 {
			as = users[0]
		}
		found = append(found, w.touch(sys, admin, as))
	}
	return found
}

func channelOf(glob string) string {
	base := filepath.Base(glob)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

func (w *Watch) touch(sys System, admin Admin, as User) Finding {
	dir, name := filepath.Dir(w.Glob), "doctor-"+rand.Text()
	path := filepath.Join(dir, strings.Replace(filepath.Base(w.Glob), "*", name, 1))
	uri := channelURI(w.Hub, name)
	defer func() {
		_ = sys.FS().Remove(path)
		_ = admin.Do(http.MethodDelete, uri, nil, nil, new(tailed))
	}()
	var at tailed
	if err := admin.Do(http.MethodGet, uri+"?since=", nil, nil, &at); err != nil {
		return unknown("touch", "", "the admin endpoint does not tell of %s: %s", w.Glob, err)
	}
	if err := sys.Append(as, path); err != nil {
		if as.UID == sys.Self().UID && as.UID != 0 {
			return unknown("touch", "sudo caddy-comet comet doctor", "the user %s makes no file in %s: %s", as.Name, dir, err)
		}
		return cannotTouch.found("sudo caddy-comet comet doctor --php-user "+as.Name+"   # says what to type, under files", dir, as.Name, err)
	}
	// A new file is waited for a little, so that the second time is the one that counts.
	took, told := time.Duration(0), false
	for _, again := range []bool{false, true} {
		if took, told = w.answer(sys, admin, uri, &at, as, path, again); !told {
			break
		}
	}
	switch {
	case told:
		return fine("touch", "a touch in %s is told of within %s, by %s", dir, round(took), w.Mode)
	case w.LastError != "":
		return watchError.found("journalctl -u caddy-comet | grep "+dir+"   # has the command that mends it", w.Glob, w.LastError)
	}
	return unseen.found(fmt.Sprintf("caddy-comet comet status   # its watches, and the last error; is %s the same directory for PHP and the server (PrivateTmp, chroot, container)?", dir), dir, touchTime)
}

// answer waits for news of the file behind at. With write it writes first, once the
// server knows that somebody waits.
func (w *Watch) answer(sys System, admin Admin, uri string, at *tailed, as User, path string, write bool) (took time.Duration, told bool) {
	var next tailed
	done := make(chan error, 1)
	go func() { done <- admin.Do(http.MethodGet, uri+"?since="+url.QueryEscape(at.Cursor), nil, nil, &next) }()
	if write {
		var info tailed
		for end := time.Now().Add(time.Second); info.Held == 0 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			_ = admin.Do(http.MethodGet, uri, nil, nil, &info)
		}
		if err := sys.Append(as, path); err != nil {
			return 0, false
		}
	}
	if err := <-done; err != nil || len(next.Events) == 0 {
		return 0, false
	}
	*at = next
	// The kernel says when it was: a process that writes takes longer to start and end.
	if info, err := sys.FS().Stat(path); err == nil {
		took = time.Since(info.ModTime())
	}
	return max(took, time.Millisecond), true
}

// round is a duration as people like it.
func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
