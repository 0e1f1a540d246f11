//go:build unix

package console

import (
	"io/fs"
	"os/user"
	"strconv"
	"syscall"
)

// ownerOf is the user to whom a file belongs.
func ownerOf(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	uid := strconv.FormatUint(uint64(stat.Uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return "#" + uid
}
