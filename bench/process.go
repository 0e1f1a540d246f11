//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/freeport"
)

// process is a server that the benchmark has started.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start starts a server, whose words go to a file. It ends when stop is called
// or the benchmark itself ends, however that happens.
func start(cmd *exec.Cmd, log string) (*process, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait()
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process, at first politely.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// until waits for a condition of the process.
func (p *process) until(ctx context.Context, what string, condition func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain for %s: %w", what, err)
		case <-p.done:
			words, _ := os.ReadFile(p.log)
			return fmt.Errorf("%s ended:\n%s", filepath.Base(p.cmd.Path), words[max(0, len(words)-2000):])
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// pause waits, unless the run ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// find returns the path of a program of Debian's, by any of its names.
func find(names ...string) (string, error) {
	for _, name := range names {
		if matches, _ := filepath.Glob("/usr/sbin/" + name); len(matches) > 0 {
			return matches[len(matches)-1], nil
		}
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is missing; integration/install.sh installs it", names[0])
}

// freeAddress returns an address on loopback that nobody listens on, and that nobody
// else is given until this process ends.
func freeAddress() (string, error) {
	port, _, err := freeport.Take()
	return "127.0.0.1:" + port, err
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
