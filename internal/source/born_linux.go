package source

import (
	"os"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// born is when an open file was made, in Unix nanoseconds, or 0 where nobody knows.
// File systems give the inode number of a deleted file to the next one at once.
func born(f afero.File) (at int64) {
	file, ok := f.(*os.File)
	if !ok {
		return 0
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		var st unix.Statx_t
		if unix.Statx(int(fd), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st) == nil && st.Mask&unix.STATX_BTIME != 0 {
			at = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
		}
	})
	return at
}
