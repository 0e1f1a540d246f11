//go:build linux

package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"runtime/debug"
	"syscall"
	"time"
)

// variable is set in the environment of a load process.
const variable = "COMET_BENCH_LOAD"

// Main is the whole of a load process: it takes orders on its standard input
// until that ends, and reports true. In any other process it does nothing and
// reports false. A program that calls [Start] calls it first.
func Main() bool {
	if os.Getenv(variable) == "" {
		return false
	}
	debug.SetGCPercent(400) // its memory counts for nothing, its CPU takes the server's
	server := rpc.NewServer()
	if err := server.RegisterName("Load", new(Load)); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	server.ServeConn(pipes{os.Stdin, os.Stdout})
	return true
}

// pipes makes one connection of two.
type pipes struct {
	io.ReadCloser
	out io.WriteCloser
}

func (p pipes) Write(b []byte) (int, error) { return p.out.Write(b) }
func (p pipes) Close() error                { return errors.Join(p.ReadCloser.Close(), p.out.Close()) }

// Process is a load process that the program has started.
type Process struct {
	command *exec.Cmd
	orders  *rpc.Client
}

// Start starts a load process: this program once more. It ends with the context.
func Start(ctx context.Context, t Target) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self)
	command.Env = append(os.Environ(), variable+"=1")
	command.Stderr = os.Stderr
	// Not in the terminal's group: what an interrupt ends is decided by its parent.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.WaitDelay = time.Second
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &Process{command, rpc.NewClient(pipes{out, in})}
	if err := p.orders.Call("Load.Aim", t, new(Nothing)); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// Stop ends the process, and with it all its connections.
func (p *Process) Stop() {
	_ = p.orders.Close()
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
}

// Open is [Load.Open].
func (p *Process) Open(n int) (Report, error) { return p.order("Load.Open", n) }

// Publish is [Load.Publish].
func (p *Process) Publish() (Report, error) { return p.order("Load.Publish", Nothing{}) }

// Again is [Load.Again].
func (p *Process) Again() (Report, error) { return p.order("Load.Again", Nothing{}) }

// Leave is [Load.Leave].
func (p *Process) Leave() (Report, error) { return p.order("Load.Leave", Nothing{}) }

// Paced is [Load.Paced].
func (p *Process) Paced(pace Pace) (Report, error) { return p.order("Load.Paced", pace) }

// Pass is [Load.Pass].
func (p *Process) Pass(long time.Duration) (Report, error) { return p.order("Load.Pass", long) }

// Close is [Load.Close].
func (p *Process) Close() error { return p.orders.Call("Load.Close", Nothing{}, new(Nothing)) }

func (p *Process) order(name string, argument any) (Report, error) {
	var r Report
	err := p.orders.Call(name, argument, &r)
	return r, err
}
