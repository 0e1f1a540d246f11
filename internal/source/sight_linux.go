package source

import (
	"io/fs"
	"syscall"
)

// openFlags keep a FIFO or terminal that was swapped in from blocking us or
// becoming our terminal. (os.Root resolves symlinks itself, with O_NOFOLLOW.)
const openFlags = syscall.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOCTTY

func inode(info fs.FileInfo) (ino uint64, ctime int64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino, st.Ctim.Nano()
	}
	return 0, 0
}
