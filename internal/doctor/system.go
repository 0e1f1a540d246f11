package doctor

import (
	"os/user"
	"strconv"

	"github.com/spf13/afero"
)

// System is the machine that the doctor runs on.
type System interface {
	// FS are its files.
	FS() afero.Fs
	// Resolve follows symbolic links; it returns the path as it is where it cannot.
	Resolve(path string) string
	// User finds a user by name or number.
	User(name string) (User, error)
	// Self is who runs the doctor.
	Self() User
	// May reports whether the user may do all of what to the path (r, w, x), as the
	// kernel would decide. Not known: whoever runs the doctor cannot find out.
	May(u User, path, what string) (may, known bool)
	// Append adds a line to a file as the user, and makes the file if it is missing.
	Append(u User, path string) error
}

// User is one of the machine's.
type User struct {
	Name     string
	UID, GID uint32
	Groups   []uint32
}

// group is the name of the user's group, or its number.
func (u User) group() string {
	gid := strconv.FormatUint(uint64(u.GID), 10)
	if g, err := user.LookupGroupId(gid); err == nil {
		return g.Name
	}
	return gid
}

// Here is this machine.
func Here() System { return here{afero.NewOsFs()} }

type here struct{ fs afero.Fs }

func (h here) FS() afero.Fs { return h.fs }

func (here) User(name string) (User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if _, numeric := strconv.ParseUint(name, 10, 32); numeric != nil {
			return User{}, err
		}
		if u, err = user.LookupId(name); err != nil {
			return User{}, err
		}
	}
	return userOf(u), nil
}

func (here) Self() User {
	u, err := user.Current()
	if err != nil {
		return User{Name: "unknown"}
	}
	return userOf(u)
}

func userOf(u *user.User) User {
	of := User{Name: u.Username, UID: number(u.Uid), GID: number(u.Gid)}
	groups, _ := u.GroupIds()
	for _, g := range groups {
		of.Groups = append(of.Groups, number(g))
	}
	return of
}

func number(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}
