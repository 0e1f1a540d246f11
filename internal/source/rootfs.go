package source

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/afero"
)

// OSDir is what the [afero.Fs] of a directory offers when that directory is one
// of this machine's own. Without it the directory is polled.
type OSDir interface {
	// Path is the directory with all symlinks resolved: what inotify is given.
	Path() (string, error)
	// Moved reports that its path leads to another directory by now, or to none.
	Moved() bool
	Close() error
}

// rootFS is a read-only afero.Fs over [os.Root]: one directory that no name and
// no symlink leads out of. afero's BasePathFs compares strings instead: it
// follows symlinks out, and takes ../site-evil for a part of /srv/site.
type rootFS struct {
	path string
	root *os.Root
}

var (
	_ afero.Fs      = (*rootFS)(nil)
	_ afero.Lstater = (*rootFS)(nil)
	_ OSDir         = (*rootFS)(nil)
)

func openRoot(dir string) (afero.Fs, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &rootFS{path: dir, root: root}, nil
}

func (r *rootFS) Name() string { return "rootFS" }

func (r *rootFS) Path() (string, error) { return filepath.EvalSymlinks(r.path) }

// Moved compares inodes. The open root keeps its own from being given to a
// successor.
func (r *rootFS) Moved() bool {
	here, err := r.root.Stat(".")
	if err != nil {
		return true
	}
	there, err := os.Stat(r.path)
	return err != nil || !os.SameFile(here, there)
}

func (r *rootFS) Close() error { return r.root.Close() }

func (r *rootFS) Open(name string) (afero.File, error) {
	f, err := r.root.OpenFile(name, openFlags, 0)
	if err != nil {
		return nil, err // not f: a nil *os.File is no nil afero.File
	}
	return f, nil
}

func (r *rootFS) Stat(name string) (fs.FileInfo, error) { return r.root.Stat(name) }

func (r *rootFS) LstatIfPossible(name string) (fs.FileInfo, bool, error) {
	info, err := r.root.Lstat(name)
	return info, true, err
}

func readOnly(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: syscall.EROFS}
}

func (r *rootFS) OpenFile(name string, flag int, _ fs.FileMode) (afero.File, error) {
	if flag&(os.O_WRONLY|os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_TRUNC) != 0 {
		return nil, readOnly("open", name)
	}
	return r.Open(name)
}

func (r *rootFS) Create(name string) (afero.File, error) { return nil, readOnly("create", name) }
func (r *rootFS) Mkdir(name string, _ fs.FileMode) error { return readOnly("mkdir", name) }
func (r *rootFS) MkdirAll(name string, _ fs.FileMode) error {
	return readOnly("mkdir", name)
}
func (r *rootFS) Remove(name string) error               { return readOnly("remove", name) }
func (r *rootFS) RemoveAll(name string) error            { return readOnly("remove", name) }
func (r *rootFS) Rename(name, _ string) error            { return readOnly("rename", name) }
func (r *rootFS) Chmod(name string, _ fs.FileMode) error { return readOnly("chmod", name) }
func (r *rootFS) Chown(name string, _, _ int) error      { return readOnly("chown", name) }
func (r *rootFS) Chtimes(name string, _, _ time.Time) error {
	return readOnly("chtimes", name)
}
