package doctor

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/afero"
)

// machine is a system of the test's.
type machine struct {
	fs   afero.Fs
	self User
	// denied are the answers that are no, as "user what path"; open says that all others
	// are yes, else they are not known.
	denied []string
	open   bool
}

func newMachine(t *testing.T, files map[string]string) *machine {
	t.Helper()
	m := &machine{fs: afero.NewMemMapFs(), self: User{Name: "root"}, open: true}
	for name, text := range files {
		if err := afero.WriteFile(m.fs, name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

var users = []User{{Name: "root"}, {Name: "caddy", UID: 900, GID: 4200900}, {Name: "shop", UID: 1001, GID: 4201001}, {Name: "www-data", UID: 33, GID: 4200033}}

func (m *machine) FS() afero.Fs { return m.fs }
func (m *machine) Resolve(path string) string {
	return strings.Replace(path, "php-fpm.sock", "php8.2-fpm.sock", 1)
}
func (m *machine) Self() User                { return m.self }
func (m *machine) Append(User, string) error { return nil }

func (m *machine) User(name string) (User, error) {
	for _, u := range users {
		if u.Name == name || fmt.Sprint(u.UID) == name {
			return u, nil
		}
	}
	return User{}, fmt.Errorf("user: unknown user %s", name)
}

func (m *machine) May(u User, path, what string) (may, known bool) {
	for _, d := range m.denied {
		if d == u.Name+" "+what+" "+path {
			return false, true
		}
	}
	return m.open, m.open
}

// finds looks for a finding with a part of its sentence and of its cure.
func finds(t *testing.T, found []Finding, verdict Verdict, seen, cure string) {
	t.Helper()
	for _, f := range found {
		if f.Verdict == verdict && strings.Contains(f.Seen, seen) && strings.Contains(f.Cure, cure) {
			return
		}
	}
	t.Errorf("no %s %q, %q in\n%+v", verdict, seen, cure, found)
}

// worst is the gravest of some findings.
func worst(found ...Finding) Verdict { return (&Report{found}).Worst() }
