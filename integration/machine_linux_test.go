package integration

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// machine is a clean Debian that runs: systemd is its first process, and users,
// files and the network are its own. Its packages come from Debian's mirror, and
// go with the test.
type machine struct {
	t    *testing.T
	root string
	// pid is the first process's.
	pid   string
	dials chan dial
}

type dial struct {
	address string
	done    chan<- dialled
}

type dialled struct {
	conn net.Conn
	err  error
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	needRoot(t)
	m := &machine{t: t, root: filepath.Join(runDir(t), "root"), dials: make(chan dial)}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	suite := regexp.MustCompile(`(?m)^VERSION_CODENAME=(\w+)$`).FindSubmatch(release)
	if suite == nil {
		t.Fatal("/etc/os-release names no suite of Debian")
	}
	install := exec.Command(find(t, "mmdebstrap"), "--quiet", "--variant=apt", "--include=systemd", "--dpkgopt=force-unsafe-io", string(suite[1]), m.root)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("mmdebstrap: %v\n%s", err, out)
	}

	args := []string{"--quiet", "--directory", m.root, "--register=no", "--private-network", "--console=pipe", "--boot", "systemd.unit=multi-user.target"}
	if _, err := os.Stat("/run/systemd/system"); err != nil { // where no systemd runs, nobody gives it a unit of its own
		args = append([]string{"--keep-unit"}, args...)
	}
	p := start(t, nil, find(t, "systemd-nspawn"), args...)
	until(t, "the machine to be up", func() bool {
		select {
		case <-p.done:
			t.Fatalf("systemd-nspawn ended:\n%s", p.out)
		default:
		}
		children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
		for _, file := range children {
			if b, err := os.ReadFile(file); err == nil && len(bytes.Fields(b)) > 0 {
				m.pid = string(bytes.Fields(b)[0])
			}
		}
		if m.pid == "" {
			return false
		}
		out, _ := m.command("systemctl", "is-system-running").Output()
		return strings.TrimSpace(string(out)) == "running"
	})
	m.openNetwork()
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := m.command("journalctl", "--no-pager", "--lines=60", "--unit=caddy-comet").CombinedOutput()
			t.Logf("the service's journal:\n%s", out)
		}
	})
	return m
}

// command is one that root types there.
func (m *machine) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--target", m.pid, "--mount", "--uts", "--ipc", "--net", "--pid", "--", name}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

// run runs a command of the shell there, which must do well, and returns what it printed.
func (m *machine) run(line string) string {
	m.t.Helper()
	out, err := m.command("sh", "-ec", line).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return strings.TrimSpace(string(out))
}

// file is where a file of the machine is to be found from here.
func (m *machine) file(name string) string { return "/proc/" + m.pid + "/root" + name }

// files are all that there are of the system's own, without what belongs to
// packages' tools and the log.
func (m *machine) files() map[string]bool {
	m.t.Helper()
	all := make(map[string]bool)
	for _, top := range []string{"/etc", "/usr", "/var", "/run", "/root", "/home", "/srv", "/opt"} {
		err := filepath.WalkDir(m.file(top), func(path string, _ fs.DirEntry, err error) error {
			if err == nil && !ofTheSystem.MatchString(strings.TrimPrefix(path, m.file(""))) {
				all[strings.TrimPrefix(path, m.file(""))] = true
			}
			return nil // what is gone meanwhile is no matter
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
	return all
}

var ofTheSystem = regexp.MustCompile(`^/(var/(lib/(apt|dpkg|systemd)|cache|log|tmp|backups)|run/(systemd|log|udev|dbus|lock|user|credentials))/|^/run/(credentials|udev)|^/etc/\.?(passwd|group|shadow|gshadow|subuid|subgid)\b|^/etc/\.pwd\.lock$`)

// openNetwork has one thread dial in the machine's network.
func (m *machine) openNetwork() {
	m.t.Helper()
	network, err := os.Open("/proc/" + m.pid + "/ns/net")
	if err != nil {
		m.t.Fatal(err)
	}
	go func() {
		runtime.LockOSThread() // for ever: the thread is of no use to others, and ends with this goroutine
		defer network.Close()
		entered := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET)
		for d := range m.dials {
			if entered != nil {
				d.done <- dialled{nil, entered}
				continue
			}
			c, err := net.Dial("tcp", d.address) // at an address without a name it connects here, on this thread
			d.done <- dialled{c, err}
		}
	}()
	m.t.Cleanup(func() { close(m.dials) })
}

// client is one that is in the machine's network.
func (m *machine) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			done := make(chan dialled, 1)
			select {
			case m.dials <- dial{address, done}:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			d := <-done
			return d.conn, d.err
		},
	}}
}
