//go:build !linux

package source

import "github.com/spf13/afero"

// born knows nothing here: a new file that has the inode number of an old one is
// told by its size and its last bytes alone.
func born(afero.File) int64 { return 0 }
