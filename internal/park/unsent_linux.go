package park

import (
	"net"

	"golang.org/x/sys/unix"
)

// unsent is how much of what was written the kernel keeps for a connection before
// it is sent. A client that does not read has it keep up to tcp_wmem (4 MiB by
// default), a copy for each even where all get the same bytes, which are here once.
// It is more than what a fast client misses while more is being written.
const unsent = 128 << 10

// Bound bounds what the kernel keeps for a connection of a client that does not
// read. What is sent and not acknowledged is not concerned, so nobody gets slower.
func Bound(c net.Conn) {
	socket, _ := raw(c)
	if socket == nil {
		return
	}
	if s, err := socket.SyscallConn(); err == nil {
		_ = s.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent) // a Unix socket has none
		})
	}
}
