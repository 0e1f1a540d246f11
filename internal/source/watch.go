package source

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What says which part of a file's change is the event.
type What string

const (
	// Touches: a newer modification time is an event without data.
	Touches What = "touches"
	// Content: the file's content is the event's data.
	Content What = "content"
	// Lines: every complete new line is one event.
	Lines What = "lines"
)

// Watch is one `watch` line of a configuration. It is comparable, and two that
// mean the same are equal when both come from [ParseWatch].
type Watch struct {
	// Glob is an absolute, cleaned path with at most one `*`, in its last
	// element.
	Glob string
	What What
	// Owner is the number of the user to whom the files must belong, in decimal.
	// Empty: they may be anybody's.
	Owner string
}

// maxName is the longest channel name, and the longest file name of Linux.
const maxName = 255

// ParseWatch checks a glob and what is watched of its files. An empty what is
// [Touches].
func ParseWatch(glob, what string) (Watch, error) {
	fail := func(format string, args ...any) (Watch, error) {
		return Watch{}, fmt.Errorf("watch %q: "+format, append([]any{glob}, args...)...)
	}
	w := Watch{What: What(what)}
	switch w.What {
	case "":
		w.What = Touches
	case Touches, Content, Lines:
	default:
		return fail("%q cannot be watched: write touches, content or lines", what)
	}
	switch {
	case glob == "":
		return fail("empty: write a path such as /run/comet/*.comet")
	case !utf8.ValidString(glob):
		return fail("not valid UTF-8")
	case strings.ContainsFunc(glob, unicode.IsControl):
		return fail("control characters are refused")
	case !filepath.IsAbs(glob):
		return fail("not an absolute path: begin it with /")
	case strings.ContainsAny(glob, "?[{"):
		return fail("the characters ?, [ and { are refused: the only wildcard is one * in the last path element")
	case strings.Count(glob, "*") > 1:
		return fail("more than one *: the only wildcard is one * in the last path element")
	case os.IsPathSeparator(glob[len(glob)-1]):
		return fail("ends with a slash: to watch every file of a directory end it with /*")
	}
	for element := range strings.SplitSeq(filepath.ToSlash(glob), "/") {
		if element == ".." {
			return fail("has .. in it: write the path that is meant")
		}
	}
	w.Glob = filepath.Clean(glob)
	dir, base := filepath.Split(w.Glob)
	switch {
	case strings.Contains(dir, "*"):
		return fail("the * is in a directory's name: it must be in the last path element")
	case base == "" || strings.HasSuffix(filepath.ToSlash(glob), "/."):
		return fail("names a directory: to watch every file of it end it with /*")
	case len(base) > maxName:
		return fail("the last path element is longer than %d bytes", maxName)
	}
	return w, nil
}

// checked returns the watch as [ParseWatch] would.
func (w Watch) checked() (Watch, error) {
	checked, err := ParseWatch(w.Glob, string(w.What))
	checked.Owner = w.Owner
	return checked, err
}

// owner is the number of the files' owner, or anyOwner.
func (w Watch) owner() int64 {
	if w.Owner == "" {
		return anyOwner
	}
	uid, err := strconv.ParseUint(w.Owner, 10, 32)
	if err != nil {
		return noOwner
	}
	return int64(uid)
}

// Dir is the directory whose files are watched.
func (w Watch) Dir() string { return filepath.Dir(w.Glob) }

// Channel is the name of the channel that the file with this base name feeds,
// and whether it feeds any.
func (w Watch) Channel(base string) (string, bool) {
	name, refused := w.match(base)
	return name, name != "" && refused == ""
}

// match returns the channel's name, or "" where the file is none of ours. A
// name that matches and still cannot be a channel comes with the reason.
func (w Watch) match(base string) (channel, refused string) {
	pattern := filepath.Base(w.Glob)
	prefix, suffix, star := strings.Cut(pattern, "*")
	switch {
	case !star:
		if base != pattern {
			return "", ""
		}
		channel = strings.TrimSuffix(base, filepath.Ext(base))
		if channel == "" { // ".profile" is all extension
			channel = base
		}
	case len(base) <= len(prefix)+len(suffix), !strings.HasPrefix(base, prefix), !strings.HasSuffix(base, suffix):
		return "", ""
	case prefix == "" && base[0] == '.':
		// As in a shell. It also keeps editors' and rsync's temporary files out.
		return "", ""
	default:
		channel = base[len(prefix) : len(base)-len(suffix)]
	}
	switch {
	case len(base) > maxName:
		return channel, "the name is longer than 255 bytes"
	case !utf8.ValidString(base):
		return channel, "the name is not valid UTF-8"
	case strings.ContainsFunc(base, unicode.IsControl):
		return channel, "the name has control characters"
	case strings.ContainsAny(base, `/`), base == ".", base == "..":
		return "", ""
	}
	return channel, ""
}

// Overlaps reports whether one file could match both. It goes by the names: it
// does not know of symlinks between directories.
func (w Watch) Overlaps(o Watch) bool {
	if w.Dir() != o.Dir() {
		return false
	}
	p1, s1, star1 := strings.Cut(filepath.Base(w.Glob), "*")
	p2, s2, star2 := strings.Cut(filepath.Base(o.Glob), "*")
	switch {
	case !star1 && !star2:
		return p1 == p2
	case !star1:
		_, ok := o.Channel(p1)
		return ok
	case !star2:
		_, ok := w.Channel(p2)
		return ok
	}
	if len(p1) > len(p2) {
		p1, p2 = p2, p1
	}
	if len(s1) > len(s2) {
		s1, s2 = s2, s1
	}
	if p1 == "" && strings.HasPrefix(p2, ".") { // one of them sees no hidden file
		return false
	}
	return strings.HasPrefix(p2, p1) && strings.HasSuffix(s2, s1)
}

// Warning is a sentence about a glob that is allowed and will most likely not
// do what is meant, or "".
func (w Watch) Warning() string {
	for _, tmp := range []string{"/tmp", "/var/tmp"} {
		if strings.HasPrefix(w.Glob, tmp+"/") {
			return fmt.Sprintf("watch %s: services that systemd starts with PrivateTmp=yes (php-fpm, apache2, often caddy too) "+
				"have a %s of their own, so PHP's files are not seen here; use a directory such as /run/comet instead", w.Glob, tmp)
		}
	}
	return ""
}
