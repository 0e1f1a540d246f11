package integration

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/freeport"
)

// patience is how long anything may take that is only waited for: long, because
// it decides nothing but when a broken test gives up.
const patience = 60 * time.Second

// runDir is a directory with a short name (a socket's path has at most 108
// bytes) that the site's user may enter.
func runDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "comet-it-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// port returns a TCP port that nobody listens on, on any address: a site of
// Caddy's without bind listens on all of them.
func port(t *testing.T) string {
	t.Helper()
	p, free, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free)
	return p
}

// find returns the path of a program of Debian's, by any of its names.
func find(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if matches, _ := filepath.Glob("/usr/sbin/" + name); len(matches) > 0 {
			return matches[len(matches)-1]
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("%s is missing; integration/install.sh installs it (make test does that first)", names[0])
	return ""
}

// output collects what a process prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// process is a program that the test started. It ends with the test.
type process struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

// kill ends it at once, and by no signal that it could heed.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
}

func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	return startAs(t, nil, env, name, args...)
}

// startAs starts the program as another user, nil for our own.
func startAs(t *testing.T, user *syscall.Credential, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), out: new(output), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.Env = append(os.Environ(), env...)
	// In a group of its own: an Apache that stops ends its whole group.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: user}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			out := p.out.String()
			t.Logf("%s printed (its last part):\n%s", filepath.Base(name), out[max(0, len(out)-6000):])
		}
	})
	return p
}

// stop ends the process, at first politely.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// until waits for a condition of another process.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for: %s", what)
		case <-tick.C:
		}
	}
}

func listening(network, address string) func() bool {
	return func() bool {
		c, err := net.Dial(network, address)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
}

// caddy starts the server with a Caddyfile and waits until it serves. Its admin
// endpoint is a socket in dir.
func caddy(t *testing.T, dir, caddyfile string) *process {
	t.Helper()
	p := startCaddy(t, nil, dir, caddyfile)
	serving(t, p)
	return p
}

func serving(t *testing.T, p *process) {
	t.Helper()
	until(t, "caddy to serve", func() bool {
		select {
		case <-p.done:
			t.Fatalf("caddy ended:\n%s", p.out)
		default:
		}
		return strings.Contains(p.out.String(), "serving initial configuration")
	})
}

func startCaddy(t *testing.T, user *syscall.Credential, dir, caddyfile string) *process {
	t.Helper()
	return startProgram(t, user, binary, dir, caddyfile)
}

// startProgram starts a Caddy, which need not be the one under test.
func startProgram(t *testing.T, user *syscall.Credential, program, dir, caddyfile string) *process {
	t.Helper()
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(caddyfile), 0o644); err != nil {
		t.Fatal(err)
	}
	return startAs(t, user, []string{
		"CADDY_ADMIN=unix/" + dir + "/admin.sock",
		"XDG_DATA_HOME=" + dir + "/caddy-data", "XDG_CONFIG_HOME=" + dir + "/caddy-config", "HOME=" + dir,
	}, program, "run", "--config", file, "--adapter", "caddyfile")
}

// adminGet reads a path of the admin endpoint that [caddy] configured.
func adminGet(t *testing.T, dir, path string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", dir+"/admin.sock")
		},
	}}
	res, err := client.Get("http://127.0.0.1" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// get reads a URL with a client that follows nothing.
func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	res, err := plain.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

var plain = &http.Client{
	Timeout:       patience,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{DisableCompression: true},
}
