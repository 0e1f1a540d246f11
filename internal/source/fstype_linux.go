package source

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fsKind is what we must know of a file system.
type fsKind struct {
	// poll says why inotify would miss changes here. Empty: it works.
	poll string
	// fickle inode numbers change while a file stays the same.
	fickle bool
}

// inotify reports what this machine's kernel does to the file system that is
// mounted here. On these, others change files behind its back: other machines,
// a user space process, or (overlay) whoever writes to the layer below.
var notOurKernel = map[uint32]string{
	unix.NFS_SUPER_MAGIC:       "nfs",
	unix.SMB_SUPER_MAGIC:       "smb",
	unix.SMB2_SUPER_MAGIC:      "smb",
	unix.CIFS_SUPER_MAGIC:      "cifs",
	unix.FUSE_SUPER_MAGIC:      "fuse",
	unix.V9FS_MAGIC:            "9p",
	unix.OVERLAYFS_SUPER_MAGIC: "overlay",
	unix.AFS_SUPER_MAGIC:       "afs",
	unix.AFS_FS_MAGIC:          "afs",
	unix.CODA_SUPER_MAGIC:      "coda",
	unix.PROC_SUPER_MAGIC:      "proc",
	unix.SYSFS_MAGIC:           "sysfs",
	0x00c36400:                 "ceph",
	0x786f4256:                 "vboxsf",
	0x01161970:                 "gfs2",
	0x7461636f:                 "ocfs2",
	0x0bd00bd0:                 "lustre",
}

func kindOfFS(path string) fsKind {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return fsKind{poll: fmt.Sprintf("statfs: %v", err)}
	}
	magic := uint32(st.Type)
	name, ok := notOurKernel[magic]
	if !ok {
		return fsKind{}
	}
	return fsKind{
		poll: "file system " + name,
		// FUSE daemons without noforget number files anew after each eviction.
		fickle: magic == unix.FUSE_SUPER_MAGIC,
	}
}
