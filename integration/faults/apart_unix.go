//go:build unix

package faults

import (
	"os/exec"
	"syscall"
)

// apart keeps what a terminal sends from the server: a round ends it in its own
// time.
func apart(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
