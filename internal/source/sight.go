package source

import (
	"io/fs"
	"time"
)

// tick is the longest that a kernel's file clock stands still (CONFIG_HZ=100).
// Before Linux 6.13 all changes within one tick get the same time; since then
// (multigrain timestamps) only those that nobody looked at in between do.
const tick = 10 * time.Millisecond

// fresh is how young a modification time must be for a second change to be able
// to hide behind it: a tick, and as much again for our own way to the stat.
const fresh = 2 * tick

// sight is what one stat said of a file. Times are Unix nanoseconds. ctime, ino and
// links are zero where the file system has none, or none that last.
type sight struct {
	mtime, ctime, size int64
	ino, links         uint64
	owner              int64
}

// Owners that are no user's number: of a watch for everybody's files, and of a file
// of which nobody knows.
const (
	anyOwner = -1
	noOwner  = -2
)

func sightOf(info fs.FileInfo) sight {
	s := sight{mtime: info.ModTime().UnixNano(), size: info.Size()}
	s.ino, s.links, s.ctime, s.owner = inode(info)
	return s
}

// same is equality for those who read the file: chmod and chown change nothing
// for them.
func (s sight) same(o sight) bool {
	return s.mtime == o.mtime && s.size == o.size && s.ino == o.ino
}

// touched says that somebody touched or wrote the file since it looked like o. An
// older time than the last one is that of a touch after the clock was set back, if
// it is the inode's own too: `touch -d`, `cp -p` and rsync bring a time of their
// own. A chmod may follow a touch, and PHP may set whole seconds.
func (s sight) touched(o sight) bool {
	if s.mtime >= o.mtime {
		return s.mtime > o.mtime
	}
	behind := time.Duration(s.ctime - s.mtime)
	return s.ctime != o.ctime && behind >= 0 && behind < time.Second
}

func (s sight) changed() time.Time { return time.Unix(0, s.mtime) }

// age is how long ago the file changed. It is negative when its clock is ahead
// of ours, as on a network file system or after `touch -d tomorrow`.
func (s sight) age(now time.Time) time.Duration { return time.Duration(now.UnixNano() - s.mtime) }

// racy says that a later change may leave the file looking just as now, as with
// git's racy index entries.
func (s sight) racy(now time.Time) bool { return s.age(now) < fresh }
