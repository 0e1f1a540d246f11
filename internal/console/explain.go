package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
)

// what names the kind of thing that is asked, and the flags that name another.
func (r *Remote) what() (kind, flag string) {
	if r.Own {
		return "the comet_publish", "--socket"
	}
	return "the admin endpoint", "--address, or the configuration that has it with --config <Caddyfile>"
}

// explain says what to do about the most common failures.
func (r *Remote) explain(err error) error {
	kind, flag := r.what()
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no server answers at %s %s: is it running? if its endpoint is elsewhere, name it with %s (%w)", kind, r.Name, flag, cause(err))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s %s is not for you%s (%w)", kind, r.Name, r.whose(), cause(err))
	case errors.As(err, &dns):
		return fmt.Errorf("%s %s: there is no machine of the name %s; write it as localhost:2019 or unix//run/caddy/admin.sock", kind, r.Name, dns.Name)
	case errors.Is(err, syscall.EPROTOTYPE), errors.Is(err, syscall.ENOTSOCK):
		return fmt.Errorf("%s %s is no socket of a server; name another with %s (%w)", kind, r.Name, flag, cause(err))
	case strings.Contains(err.Error(), "malformed HTTP"):
		return fmt.Errorf("what answers at %s does not speak plain HTTP; name %s with %s", r.Name, kind, flag)
	}
	return cause(err)
}

// cause leaves the address out that was made up for the request.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if _, ok := err.(net.Error); !ok || inner == nil {
			return err
		}
		if _, ok := err.(*net.OpError); ok {
			return err
		}
		err = inner
	}
}

// refused says why a server refused, in its own words where it has some.
func (r *Remote) refused(res *http.Response) error {
	kind, flag := r.what()
	const most = 64 << 10
	body, _ := io.ReadAll(io.LimitReader(res.Body, most))
	var own struct{ Error string }
	if json.Unmarshal(body, &own) == nil && own.Error != "" {
		switch {
		case r.Own && res.StatusCode == http.StatusUnauthorized && r.Key == "":
			return fmt.Errorf("%s %s wants a key: name the file that has it with --key-file", kind, r.Name)
		case !r.Own && res.StatusCode == http.StatusForbidden && strings.Contains(own.Error, "not allowed"):
			return fmt.Errorf("%s %s refuses this address (%s); name it as the configuration does, see the option admin", kind, r.Name, own.Error)
		}
		return errors.New(own.Error)
	}
	if res.StatusCode == http.StatusNotFound {
		return fmt.Errorf("the server at %s %s has no comet in it; is another Caddy running there? name the right one with %s", kind, r.Name, flag)
	}
	return fmt.Errorf("what answers at %s %s says %s, which no caddy-comet does; name the right one with %s", kind, r.Name, res.Status, flag)
}

// whose says who may use a socket that the user may not.
func (r *Remote) whose() string {
	const usual = ": run the command as the server's user or as root"
	if !r.socket() {
		return usual
	}
	me := "you"
	if u, err := user.Current(); err == nil {
		me = u.Username
	}
	path := r.Address
	info, err := os.Stat(path)
	for err != nil && filepath.Dir(path) != path {
		path = filepath.Dir(path)
		info, err = os.Stat(path)
	}
	if err != nil {
		return usual
	}
	owner := ownerOf(info)
	if owner == "" {
		return usual
	}
	return fmt.Sprintf(": %s is of %s with mode %04o, and you are %s; put \"sudo -u %s\" in front of the command", path, owner, info.Mode().Perm(), me, owner)
}
