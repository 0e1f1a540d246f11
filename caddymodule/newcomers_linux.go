package caddymodule

import (
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// porch is where newcomers wait until all have run who were ready. Go looks at the
// network when nothing else is ready to run, and every ten milliseconds: who only
// yields goes before those of whom it has not heard. So they wait for the network
// themselves, for a bell that they have rung.
type porch struct {
	// one at a time waits.
	one  sync.Mutex
	bell *os.File
}

var ring = []byte{1, 0, 0, 0, 0, 0, 0, 0}

func (p *porch) wait() {
	p.one.Lock()
	defer p.one.Unlock()
	if p.bell == nil {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil { // there is no descriptor left
			runtime.Gosched()
			return
		}
		p.bell = os.NewFile(uintptr(fd), "newcomers")
	}
	if !p.hear() {
		runtime.Gosched()
	}
}

// hear rings the bell and waits until it is heard. It reports whether it was.
func (p *porch) hear() bool {
	conn, err := p.bell.SyscallConn()
	if err != nil {
		return false
	}
	var heard [8]byte
	rung := false
	err = conn.Read(func(fd uintptr) bool {
		if rung {
			_, _ = unix.Read(int(fd), heard[:])
			return true
		}
		_, err := unix.Write(int(fd), ring)
		rung = true
		return err != nil
	})
	return err == nil
}
