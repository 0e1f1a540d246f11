package access

import (
	"errors"
	"fmt"
	"os/user"
	"regexp"
	"strconv"
)

const (
	// overflowUser is what the kernel says for a user of another user namespace who
	// has no number in ours: many may be it, so it names nobody. Debian's user nobody
	// has the number.
	overflowUser = 65534
	// noUser is what it says where it knows none.
	noUser = 1<<32 - 1
)

// nameable reports whether a number stands for one user.
func nameable(uid uint32) bool { return uid != overflowUser && uid != noUser }

// userName is what useradd takes, and the names of directories such as LDAP's.
var userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?$`)

// CheckUser reports what cannot be a user's name or number, on any machine.
func CheckUser(name string) error {
	if !userName.MatchString(name) {
		return fmt.Errorf("user %q: write the name or the number of a Unix user", name)
	}
	return nil
}

// User returns the number of a user of this machine. A number need not have a name.
func User(name string) (uint32, error) {
	if err := CheckUser(name); err != nil {
		return 0, err
	}
	number := name
	if _, err := strconv.ParseUint(name, 10, 64); err != nil {
		u, err := user.Lookup(name)
		var unknown user.UnknownUserError
		switch {
		case errors.As(err, &unknown):
			return 0, fmt.Errorf("user %s: there is no such user on this machine; make it (useradd --system %s), or write a number", name, name)
		case err != nil:
			return 0, fmt.Errorf("user %s: %w", name, err)
		}
		number = u.Uid
	}
	uid, err := strconv.ParseUint(number, 10, 32)
	if err != nil { // a SID on Windows
		return 0, fmt.Errorf("user %s: %s is no number of a Unix user", name, number)
	}
	if !nameable(uint32(uid)) {
		return 0, fmt.Errorf("user %s: its number %d is what the kernel says for all users of other containers, too; choose another user", name, uid)
	}
	return uint32(uid), nil
}
