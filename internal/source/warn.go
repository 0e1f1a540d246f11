package source

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// maxWarned bounds the names that are remembered as warned of, and
	// warnBurst the warnings a directory is worth in warnWindow: who may create
	// files there must not be able to fill the log.
	maxWarned  = 1000
	warnBurst  = 20
	warnWindow = time.Minute
)

// The causes that a warning is given for once until it is mended.
const (
	causeUnreadable = "unreadable"
	causeOutside    = "outside"
	causeForeign    = "foreign"
	causeTooLarge   = "too large"
	causeTooLong    = "line too long"
	causeName       = "name"
	causeFull       = "full"
)

// warnings remembers what was said of a directory (".") and of its files.
type warnings struct {
	said   map[string]string
	window time.Time
	burst  int
}

// once reports whether to log this.
func (ws *warnings) once(now time.Time, name, cause string) bool {
	if ws.said[name] == cause || len(ws.said) >= maxWarned {
		return false
	}
	if now.Sub(ws.window) >= warnWindow || now.Before(ws.window) {
		ws.window, ws.burst = now, 0
	}
	if ws.burst >= warnBurst {
		return false
	}
	ws.burst++
	if ws.said == nil {
		ws.said = map[string]string{}
	}
	ws.said[name] = cause
	return true
}

// mended reports whether there was a warning for this cause, and forgets it.
func (ws *warnings) mended(name, cause string) bool {
	if ws.said[name] != cause {
		return false
	}
	delete(ws.said, name)
	return true
}

// forget drops what was said of names that are not there any more. Refused names
// are in no list: of them it forgets when there is no room.
func (ws *warnings) forget(listed map[string]bool) {
	crowded := len(ws.said) >= maxWarned
	for name, cause := range ws.said {
		_, ok := listed[name]
		if !ok && name != "." && (cause != causeName || crowded) {
			delete(ws.said, name)
		}
	}
}

func (d *dir) logger() *zap.Logger { return d.files.logger().With(zap.String("directory", d.path)) }

// unreadable warns of a file that cannot be opened or read, with what mends it.
func (d *dir) unreadable(v *view, name string, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	v.w.fail(name, causeUnreadable, err.Error())
	if !d.warned.once(v.now, name, causeUnreadable) {
		return
	}
	path := filepath.Join(d.path, name)
	fields := []zap.Field{zap.String("file", path), zap.String("glob", v.w.watch.Glob), zap.Error(err)}
	if errors.Is(err, fs.ErrPermission) {
		fields = append(fields,
			zap.String("command", "setfacl -RP -m u:"+ourUser()+":r "+quote(path)), // -RP: not through a link that has taken its place
			zap.String("for_new_files", "setfacl -d -m u:"+ourUser()+":r "+quote(d.path)))
	}
	d.logger().Warn("cannot read watched file", fields...)
}

func (d *dir) readable(v *view, name string) {
	v.w.mend(name, causeUnreadable)
	if d.warned.mended(name, causeUnreadable) {
		d.logger().Info("watched file is readable again", zap.String("file", filepath.Join(d.path, name)))
	}
}

func (d *dir) tooLarge(v *view, name string, size int64, limit int) {
	if d.warned.once(v.now, name, causeTooLarge) {
		d.logger().Warn("watched file is larger than an event may be and is not read; "+
			"write less, raise the hub's limit for events, or watch its touches",
			zap.String("file", filepath.Join(d.path, name)), zap.Int64("size", size), zap.Int("limit", limit))
	}
}

func (d *dir) tooLong(v *view, name string, limit int) {
	if d.warned.once(v.now, name, causeTooLong) {
		d.logger().Warn("line is longer than an event may be and is skipped; "+
			"write shorter lines or raise the hub's limit for events",
			zap.String("file", filepath.Join(d.path, name)), zap.Int("limit", limit))
	}
}

// outside warns of a symlink that is not followed.
func (d *dir) outside(now time.Time, name string, err error) {
	for _, v := range d.views {
		if _, ok := v.w.watch.Channel(name); ok && !v.w.faulty(name, causeOutside) {
			v.w.fail(name, causeOutside, filepath.Join(d.path, name)+" is a symlink that leaves the directory, and is not followed")
		}
	}
	if d.warned.once(now, name, causeOutside) {
		d.logger().Warn("watched name is a symlink that leaves the directory and is not followed; "+
			"links must be relative and stay inside",
			zap.String("file", filepath.Join(d.path, name)), zap.Error(err))
	}
}

// mended says that a name has no such fault, or none at all for "".
func (d *dir) mended(name, cause string) {
	for _, v := range d.views {
		v.w.mend(name, cause)
	}
}

// foreign warns of a file of another user than the watch is for.
func (d *dir) foreign(v *view, name string, owner int64) {
	path := filepath.Join(d.path, name)
	if !v.w.faulty(name, causeForeign) {
		v.w.fail(name, causeForeign, path+" belongs to "+userName(owner)+", and the watch is for files of "+userName(v.w.owner))
	}
	if d.warned.once(v.now, name, causeForeign) {
		d.logger().Warn("watched file belongs to another user than the watch's owner and is not read; "+
			"have the owner write it, or change the watch's owner if it is the wrong one",
			zap.String("file", path), zap.String("hub", v.w.key), zap.String("belongs_to", userName(owner)), zap.String("owner", userName(v.w.owner)),
			zap.String("command", "chown -h "+userName(v.w.owner)+" "+quote(path))) // -h: as above
	}
}

// userName is the name that goes with a user's number, or the number.
func userName(uid int64) string {
	number := strconv.FormatInt(uid, 10)
	if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	return number
}

func (d *dir) refusedName(now time.Time, name, why string) {
	if d.warned.once(now, name, causeName) {
		d.logger().Warn("file name cannot be a channel and is ignored", zap.String("file", name), zap.String("cause", why))
	}
}

func (d *dir) full(now time.Time) {
	if d.warned.once(now, ".", causeFull) {
		d.logger().Warn("too many files match; those beyond the limit are ignored: delete old ones", zap.Int("limit", d.files.maxFiles))
	}
}

// absent tells of a directory that cannot be entered, once per cause.
func (d *dir) absent(now time.Time, ws []*watcher, err error) {
	for _, w := range ws {
		w.fail(".", causeUnreadable, err.Error())
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if d.warned.once(now, ".", "missing") {
			d.logger().Warn("watched directory does not exist; it will be watched once it does",
				zap.String("command", "install -d -m 755 -o www-data "+quote(d.path)),
				zap.String("note", "instead of www-data the user that PHP runs as; below /run it is gone after a reboot unless tmpfiles.d has it"))
		}
	case errors.Is(err, fs.ErrPermission):
		if d.warned.once(now, ".", causeUnreadable) {
			d.logger().Warn("cannot read watched directory", zap.Error(err),
				zap.String("command", "setfacl -m u:"+ourUser()+":rx "+quote(d.path)),
				zap.String("for_new_files", "setfacl -d -m u:"+ourUser()+":r "+quote(d.path)))
		}
	default:
		if d.warned.once(now, ".", causeUnreadable+err.Error()) {
			d.logger().Warn("cannot read watched directory", zap.Error(err))
		}
	}
}

// present is the other half of absent.
func (d *dir) present(ws []*watcher) {
	for _, w := range ws {
		w.mend(".", "")
	}
	if cause, ok := d.warned.said["."]; ok && cause != causeFull {
		delete(d.warned.said, ".")
		d.logger().Info("watched directory is there and readable")
	}
}

// ourUser is whom setfacl must let in.
var ourUser = sync.OnceValue(func() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
})

// quote makes a path one word of a shell.
func quote(path string) string {
	if !strings.ContainsFunc(path, func(r rune) bool {
		return !strings.ContainsRune("/._-+:@%,=", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
