//go:build !linux

package source

// fsKind is what we must know of a file system.
type fsKind struct {
	poll   string
	fickle bool
}

// kindOfFS polls: kqueue opens every file of a watched directory, and Windows
// was never tried.
func kindOfFS(string) fsKind { return fsKind{poll: "inotify is Linux's"} }
