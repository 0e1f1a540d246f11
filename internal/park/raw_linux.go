package park

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// send and receive are what a loop does most. They never wait, so the runtime need
// not be told that they might, as it is by the ways of package unix; and they spare the
// kernel what it does for files. Together that is a tenth to a fifth of the cost.

// maxRaw is how much is sent so: while that lasts the runtime cannot stop the loop.
const maxRaw = 64 << 10

// send writes what a socket takes of b at once.
func send(fd int32, b []byte) (n int, err error) {
	if 0 < len(b) && len(b) <= maxRaw {
		return raw6(unix.SYS_SENDTO, fd, b, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	}
	for {
		if n, err = unix.Write(int(fd), b); err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// receive reads into b, which is not empty.
func receive(fd int32, b []byte) (int, error) {
	return raw6(unix.SYS_RECVFROM, fd, b, unix.MSG_DONTWAIT)
}

func raw6(call uintptr, fd int32, b []byte, flags uintptr) (int, error) {
	for {
		n, _, err := unix.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), flags, 0, 0)
		switch err {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, err
		}
	}
}
