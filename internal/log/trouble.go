package log

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strings"
	"syscall"
)

// errLocked: another process has the file.
var errLocked = errors.New("locked")

// damage says that a file is not what was written.
type damage struct{ cause any }

func (d *damage) Error() string { return fmt.Sprintf("the file is damaged: %v", d.cause) }

// guarded calls f. Where f meets a damaged file, or a disk that cannot be read, it
// panics (so bbolt does) or faults (the file is mapped into memory, so that what
// is missing there is a signal): that is an error here.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &damage{r}
		}
	}()
	return f()
}

// isFull reports whether there is no room: on the disk, or for this user.
func isFull(err error) bool { return isAny(err, syscall.ENOSPC, syscall.EDQUOT) }

// isDisk reports whether the error is the disk's state, which may get better, and
// not a mistake in the configuration.
func isDisk(err error) bool {
	return isFull(err) || isAny(err, syscall.EROFS, syscall.EIO)
}

// isAny looks into the text, too: bbolt keeps only that of some errors.
func isAny(err error, errnos ...syscall.Errno) bool {
	for _, errno := range errnos {
		if errors.Is(err, errno) || err != nil && strings.Contains(err.Error(), errno.Error()) {
			return true
		}
	}
	return false
}

// wrote reports whether what failed was a plain write, so that the file is as it
// was. After a sync that failed nobody knows what the disk has: the kernel calls
// the pages clean that it could not write (LSFMM 2018, "PostgreSQL's fsync()
// surprise"), so that the file must be written anew from memory.
func wrote(err error) bool {
	var failed *fs.PathError
	return errors.As(err, &failed) && failed.Op == "write"
}
