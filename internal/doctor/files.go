package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// Files says whether PHP can write where the server watches and the server can read
// it, and how it is told.
func Files(sys System, setup *Setup, facts *Facts, php *PHP) (found []Finding) {
	server := serverUser(sys, facts)
	for _, w := range facts.Watches {
		users := w.writers(sys, setup, php)
		found = append(found, w.check(sys, server, users)...)
	}
	return found
}

// writers are as whom PHP writes there.
func (w *Watch) writers(sys System, setup *Setup, php *PHP) (users []User) {
	names := php.usersOf(sys, setup, w.Hub)
	if w.Owner != "" {
		names = []string{w.Owner}
	}
	for _, name := range names {
		if u, err := sys.User(name); err == nil {
			users = append(users, u)
		}
	}
	return users
}

func (w *Watch) check(sys System, server User, users []User) (found []Finding) {
	dir := filepath.Dir(w.Glob)
	for _, tmp := range []string{"/tmp", "/var/tmp"} {
		if strings.HasPrefix(dir+"/", tmp+"/") {
			found = append(found, privateTmp.found(fmt.Sprintf("watch %s/%s %s   # in the Caddyfile, and %s", runDir(dir), filepath.Base(w.Glob), w.What, "the same directory in PHP"), dir, tmp))
		}
	}
	switch _, err := sys.FS().Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return append(found, noDirectory.found(makeDir(dir, users, server), dir))
	case err != nil:
		return append(found, unknown("files", "sudo caddy-comet comet doctor", "%s cannot be looked at by the user %s: %s", dir, sys.Self().Name, cause(err)))
	}
	switch may, known := sys.May(server, dir, "rx"); {
	case known && !may:
		found = append(found, cannotRead.found(blocked(sys, server, dir)+fmt.Sprintf("setfacl -m u:%[1]s:rx %[2]s && setfacl -d -m u:%[1]s:r %[2]s", server.Name, dir), server.Name, dir))
	case w.LastError != "":
		found = append(found, watchError.found("journalctl -u caddy-comet | grep "+dir+"   # has the command that mends it", w.Glob, w.LastError))
	}
	if len(users) == 0 {
		found = append(found, unknown("files", "caddy-comet comet doctor --php-user www-data", "as which user PHP writes in %s is not known", dir))
	}
	for _, u := range users {
		switch may, known := sys.May(u, dir, "wx"); {
		case !known:
			found = append(found, unknown("files", "sudo caddy-comet comet doctor", "whether PHP's user %s can write in %s only root can find out", u.Name, dir))
		case !may:
			found = append(found, cannotWrite.found(blocked(sys, u, dir)+letWrite(sys, dir, u, server), u.Name, dir))
		default:
			found = append(found, fine("files", "PHP's user %s can write in %s", u.Name, dir))
		}
	}
	return append(found, w.how(dir)...)
}

// how says how changes are noticed.
func (w *Watch) how(dir string) []Finding {
	switch {
	case w.Mode == "inotify":
		return []Finding{fine("files", "changes in %s (%s) are told by inotify, at once", dir, w.What)}
	case w.Mode != "polling":
		return nil
	case strings.Contains(w.Why, "file system"):
		return []Finding{polled.found("watch "+runDir(dir)+"/"+filepath.Base(w.Glob)+"   # a directory in memory on this machine; or have PHP post to comet_publish", dir, w.Why)}
	}
	return []Finding{polled.found("sysctl -w fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=1024", dir, w.Why)}
}

// runDir is a better place for the files of a directory.
func runDir(dir string) string { return "/run/comet/" + filepath.Base(dir) }

// makeDir is what to type for a directory that is missing: what is in memory must be
// made again at each start of the machine.
func makeDir(dir string, users []User, server User) string {
	owner := "www-data"
	if len(users) > 0 {
		owner = users[0].Name
	}
	group := server.group()
	if strings.HasPrefix(dir, "/run/") || strings.HasPrefix(dir, "/var/run/") {
		return fmt.Sprintf("echo 'd %s 2750 %s %s -' >> /etc/tmpfiles.d/comet.conf && systemd-tmpfiles --create comet.conf", dir, owner, group)
	}
	return fmt.Sprintf("install -d -o %s -g %s -m 2750 %s", owner, group, dir)
}

// letWrite is what to type for a directory in which PHP cannot write. One of root's or
// of the server's becomes PHP's; another's stays his.
func letWrite(sys System, dir string, u, server User) string {
	if owner, ok := ownerOf(sys, dir); ok && (owner == 0 || owner == server.UID) {
		return makeDir(dir, []User{u}, server)
	}
	return fmt.Sprintf("setfacl -m u:%s:rwx %s", u.Name, dir)
}

// blocked is what to type first where a directory above may not be entered, with a
// line break behind it.
func blocked(sys System, u User, dir string) string {
	for above := filepath.Dir(dir); above != filepath.Dir(above); above = filepath.Dir(above) {
		if may, known := sys.May(u, above, "x"); known && !may {
			parent := blocked(sys, u, above)
			return parent + fmt.Sprintf("setfacl -m u:%s:x %s\n", u.Name, above)
		}
	}
	return ""
}
