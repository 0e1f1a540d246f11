//go:build unix

package doctor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

func (here) Resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// May asks the kernel, by a child that is this user: modes, access control lists and
// the directories above are all in its answer.
func (here) May(u User, path, what string) (may, known bool) {
	for _, w := range strings.Split(what, "") {
		cmd := exec.Command("/usr/bin/test", "-"+w, path)
		if !become(cmd, u) {
			return false, false
		}
		var no *exec.ExitError
		switch err := cmd.Run(); {
		case errors.As(err, &no) && no.ExitCode() == 1:
			return false, true
		case err != nil:
			return false, false
		}
	}
	return true, true
}

func (here) Append(u User, path string) error {
	cmd := exec.Command("/bin/sh", "-c", `umask 022; echo doctor >> "$1"`, "sh", path)
	if !become(cmd, u) {
		return fmt.Errorf("only root may do that as %s", u.Name)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.New(lastPart(string(out)))
	}
	return nil
}

// become has a command run as a user, and reports whether we may.
func become(cmd *exec.Cmd, u User) bool {
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	switch uint32(os.Geteuid()) {
	case 0:
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}}
		return true
	case u.UID:
		return true
	}
	return false
}

// ownerOf is the number of whom a file belongs to.
func ownerOf(sys System, path string) (uint32, bool) {
	info, err := sys.FS().Stat(path)
	if err != nil {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return st.Uid, true
}
