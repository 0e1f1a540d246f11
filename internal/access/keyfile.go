package access

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Bounds of a file of keys.
const (
	maxKeyFile = 64 << 10
	maxKeys    = 1000
)

// settled is how old a file's time must be for a later change to show by another
// one: file systems keep whole seconds, or two.
const settled = 3 * time.Second

// keyFile is a file with a key on each line.
type keyFile struct {
	path    string
	changed func(error)

	mu   sync.Mutex
	keys []Key
	// info is the file as it was read, nil if it was not. fresh: it had changed so
	// recently that the next change may not show.
	info  fs.FileInfo
	fresh bool
	said  string
}

// current are the keys that the file has now. A stat is a small part of what a
// publish costs.
func (f *keyFile) current() []Key {
	f.mu.Lock()
	defer f.mu.Unlock()
	keys, err := f.look()
	said := ""
	if err != nil {
		said = err.Error()
	}
	if said != f.said {
		f.said = said
		f.changed(err)
	}
	return keys
}

// look reads the file if it is not the one that was read.
func (f *keyFile) look() ([]Key, error) {
	info, err := os.Stat(f.path)
	if err == nil && f.info != nil && !f.fresh && os.SameFile(info, f.info) && info.Mode() == f.info.Mode() &&
		info.ModTime().Equal(f.info.ModTime()) && info.Size() == f.info.Size() {
		return f.keys, nil
	}
	f.keys, f.info = nil, nil
	if err == nil {
		f.keys, err = readKeys(f.path, info)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("key_file %s: there is no such file; make it: openssl rand -hex 16 | install -m 640 -g %s /dev/stdin %s", f.path, ourGroup(), f.path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("key_file %s: this process may not read it; let it: chgrp %s %s && chmod 640 %s (and x on the directories above)", f.path, ourGroup(), f.path, f.path)
	case err != nil:
		return nil, fmt.Errorf("key_file %s: %w", f.path, err)
	}
	f.info, f.fresh = info, time.Since(info.ModTime()) < settled
	return f.keys, nil
}

func readKeys(path string, info fs.FileInfo) ([]Key, error) {
	if err := shut(path, info); err != nil {
		return nil, err
	}
	b, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	return parseKeys(b)
}

// shut reports why a file is no place for secrets.
func shut(path string, info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return errors.New("it is no file")
	case runtime.GOOS != "windows" && info.Mode()&0o006 != 0: // which has no such modes
		return fmt.Errorf("every user of this machine may read or write it; shut it: chgrp %s %s && chmod 640 %s, and then change the keys", ourGroup(), path, path)
	}
	return nil
}

// readBounded reads a little more of a file than it may have.
func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxKeyFile+1))
}

// parseKeys reads the keys of a file.
func parseKeys(b []byte) (keys []Key, err error) {
	err = eachKey(b, func(line string) error {
		if err := CheckKey(line); err != nil {
			return err
		}
		if keys = append(keys, KeyOf(line)); len(keys) > maxKeys {
			return fmt.Errorf("more than %d keys are too many", maxKeys)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no key; write one on each line, for example from: openssl rand -hex 16")
	}
	return keys, nil
}

// eachKey calls f with each key of a file: one is on each line; lines that begin with #
// are comments. No error repeats what a line has.
func eachKey(b []byte, f func(line string) error) error {
	if len(b) > maxKeyFile {
		return fmt.Errorf("it has more than %d bytes", maxKeyFile)
	}
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(string(b), "\ufeff")) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := f(line); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	return nil
}

// CheckKey reports what is no key, without repeating it.
func CheckKey(secret string) error {
	switch {
	case len(secret) < MinKey:
		return fmt.Errorf("%d characters are too few to be a secret; use at least %d, for example from: openssl rand -hex 16", len(secret), MinKey)
	case len(secret) > MaxKey:
		return fmt.Errorf("%d characters are too many; %d are the most", len(secret), MaxKey)
	case strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("a key has no space and no character beyond ASCII: a header has to carry it")
	}
	return nil
}

// ourGroup is whom chgrp must name so that this process may read a file.
var ourGroup = sync.OnceValue(func() string {
	if u, err := user.Current(); err == nil {
		if g, err := user.LookupGroupId(u.Gid); err == nil {
			return g.Name
		}
	}
	return fmt.Sprint(os.Getgid())
})
