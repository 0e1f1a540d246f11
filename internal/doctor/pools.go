package doctor

import (
	"cmp"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/afero"
	"gopkg.in/ini.v1"
)

// Pool is a pool of php-fpm.
type Pool struct {
	Name, File   string
	User, Listen string
	// StatusPath is where its status page is, "" where it has none.
	StatusPath string
	// Values are the php.ini settings that the pool sets itself.
	Values map[string]string
}

// poolFiles are where Debian, Fedora and PHP's own images have them.
var poolFiles = []string{"/etc/php/*/fpm/pool.d/*.conf", "/etc/php-fpm.d/*.conf", "/usr/local/etc/php-fpm.d/*.conf"}

// maxConfig is how much of a configuration file is read.
const maxConfig = 1 << 20

// Pools reads the pools of php-fpm, at the usual places and those that are named.
func Pools(files afero.Fs, more ...string) (pools []Pool) {
	for _, pattern := range append(slices.Clone(more), poolFiles...) {
		names, _ := afero.Glob(files, pattern)
		for _, name := range names {
			for _, s := range sections(files, name) {
				if s.Name() == "global" || !s.HasKey("listen") {
					continue
				}
				p := Pool{
					Name: s.Name(), File: name, Listen: expand(s, "listen"), StatusPath: expand(s, "pm.status_path"),
					User: expand(s, "user"), Values: make(map[string]string),
				}
				for _, key := range s.Keys() {
					for _, kind := range []string{"php_value[", "php_flag[", "php_admin_value[", "php_admin_flag["} { // the later ones win
						if rest, ok := strings.CutPrefix(key.Name(), kind); ok {
							p.Values[strings.TrimSuffix(rest, "]")] = key.Value()
						}
					}
				}
				pools = append(pools, p)
			}
		}
	}
	return pools
}

// expand is a pool's setting, in which $pool stands for its name.
func expand(s *ini.Section, key string) string {
	return strings.ReplaceAll(s.Key(key).Value(), "$pool", s.Name())
}

// sections reads a file in the format of php.ini; what cannot be read has none.
func sections(files afero.Fs, name string) []*ini.Section {
	info, err := files.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxConfig {
		return nil
	}
	text, err := afero.ReadFile(files, name)
	if err != nil {
		return nil
	}
	f, err := ini.LoadSources(ini.LoadOptions{SkipUnrecognizableLines: true, IgnoreContinuation: true}, text)
	if err != nil {
		return nil
	}
	return f.Sections()
}

// setting is what php.ini settings of the pool say, and where.
func (p *Pool) setting(files afero.Fs, key string) (value, where string) {
	if v, ok := p.Values[key]; ok {
		return v, p.File
	}
	home := filepath.Dir(filepath.Dir(p.File)) // of /etc/php/8.2/fpm/pool.d/www.conf
	more, _ := afero.Glob(files, home+"/conf.d/*.ini")
	for _, name := range append([]string{home + "/php.ini"}, more...) {
		for _, s := range sections(files, name) {
			if s.HasKey(key) {
				value, where = s.Key(key).Value(), name
			}
		}
	}
	return value, where
}

// poolsAt are those that listen at an address of the Caddyfile.
func poolsAt(sys System, pools []Pool, dial string) (at []Pool) {
	path, socket := strings.CutPrefix(dial, "unix/")
	for _, p := range pools {
		listen := strings.TrimPrefix(p.Listen, "unix:")
		switch {
		case socket && strings.HasPrefix(listen, "/"):
			if sys.Resolve(path) != sys.Resolve(listen) {
				continue
			}
		case socket || strings.HasPrefix(listen, "/"):
			continue
		case portOf(listen) != portOf(dial):
			continue
		}
		at = append(at, p)
	}
	return at
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// PHP is what is known of the PHP behind the server.
type PHP struct {
	Pools []Pool
	// User is who PHP runs as where the administrator says so: it stands above all
	// that is found.
	User string
}

// usersOf are those as whom PHP of a hub's sites runs.
func (php *PHP) usersOf(sys System, setup *Setup, hub string) (names []string) {
	if php.User != "" {
		return []string{php.User}
	}
	for _, site := range setup.Sites {
		if !slices.Contains(site.Hubs, hub) {
			continue
		}
		for _, dial := range site.Dial {
			for _, p := range poolsAt(sys, php.Pools, dial) {
				if p.User != "" && !slices.Contains(names, p.User) {
					names = append(names, p.User)
				}
			}
		}
	}
	return names
}

// Check says whether the server reaches php-fpm, and what of its settings stands in
// the way of streams.
func (php *PHP) Check(sys System, setup *Setup, facts *Facts) (found []Finding) {
	server := serverUser(sys, facts)
	var seen []string
	for _, site := range setup.Sites {
		if site.Proxy {
			continue
		}
		for _, dial := range site.Dial {
			if slices.Contains(seen, dial) {
				continue
			}
			seen = append(seen, dial)
			found = append(found, php.checkDial(sys, server, site, dial)...)
		}
	}
	return found
}

func (php *PHP) checkDial(sys System, server User, site Site, dial string) (found []Finding) {
	pools := poolsAt(sys, php.Pools, dial)
	if path, socket := strings.CutPrefix(dial, "unix/"); socket {
		_, err := sys.FS().Stat(path)
		may, known := sys.May(server, path, "w")
		switch {
		case err != nil && !isPermission(err):
			return []Finding{poolUnreachable.found("systemctl start 'php*-fpm'   # or name the pool's own socket in php_fastcgi: grep -r ^listen /etc/php", dial, cause(err))}
		case known && !may:
			return []Finding{poolForbidden.found(fmt.Sprintf("listen.owner = %s\nlisten.mode = 0660   ; both in %s; then: systemctl restart 'php*-fpm'", server.Name, poolFile(pools)), server.Name, dial)}
		}
	}
	if len(pools) == 0 {
		return []Finding{unknown("php", "caddy-comet comet doctor --fpm-config '/path/to/pool.d/*.conf'", "no pool file of php-fpm for %s is found, so PHP's user and settings are not known", dial)}
	}
	for _, p := range pools {
		buffer, where := p.setting(sys.FS(), "output_buffering")
		n, err := strconv.Atoi(buffer)
		on := strings.EqualFold(buffer, "on")
		if site.Streams && (on || err == nil && n > 0) {
			found = append(found, collects.found("php_admin_value[output_buffering] = 0   ; in "+p.File+"; then: systemctl restart 'php*-fpm'", buffer, where))
			continue
		}
		found = append(found, fine("php", "the pool %s at %s runs as %s (output_buffering %s, which matters to pages alone that stream by themselves)", p.Name, dial, cmp.Or(p.User, "the user that started it"), cmp.Or(buffer, "0")))
	}
	return found
}

func poolFile(pools []Pool) string {
	if len(pools) > 0 {
		return pools[0].File
	}
	return "the pool's file"
}

// serverUser is as whom the server runs.
func serverUser(sys System, facts *Facts) User {
	p := facts.Process
	u, err := sys.User(strconv.Itoa(p.UID))
	if err != nil {
		u = User{Name: strconv.Itoa(p.UID), UID: uint32(p.UID)}
	}
	u.GID, u.Groups = uint32(p.GID), nil
	for _, g := range p.Groups {
		u.Groups = append(u.Groups, uint32(g))
	}
	return u
}

// cause is the end of an error: what the system says.
func cause(err error) string {
	return lastPart(err.Error())
}

func isPermission(err error) bool {
	return err != nil && strings.Contains(err.Error(), fs.ErrPermission.Error())
}

func lastPart(text string) string { return strings.TrimSpace(text[strings.LastIndex(text, ": ")+1:]) }
