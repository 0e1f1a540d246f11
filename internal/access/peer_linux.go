package access

import (
	"crypto/tls"
	"net"

	"golang.org/x/sys/unix"
)

// PeersAreKnown: this system says who is at the other end of a Unix socket.
const PeersAreKnown = true

// PeerOf returns the user who is at the other end of a Unix socket, as the kernel
// noted him when he connected (SO_PEERCRED). There is none for other connections,
// and none for one that somebody has wrapped.
func PeerOf(c net.Conn) (uid uint32, ok bool) {
	if t, wrapped := c.(*tls.Conn); wrapped {
		c = t.NetConn()
	}
	socket, ok := c.(*net.UnixConn)
	if !ok {
		return 0, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, false
	}
	var peer *unix.Ucred
	if controlErr := raw.Control(func(fd uintptr) {
		peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); controlErr != nil || err != nil {
		return 0, false
	}
	return peer.Uid, nameable(peer.Uid)
}
