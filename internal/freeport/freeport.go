// Package freeport gives tests TCP ports: each to one, also where several test binaries
// run at the same time. A port that was merely free a moment ago is no good. The kernel
// may give it to another test, and where both are Caddy's, which shares its ports, each
// gets some of the other's requests. So may it while a server is restarted.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
)

// The ports that are given out are none of those that the kernel takes for connections.
const first, last = 10_000, 32_000

// Take returns a port that nobody listens on, on any address, and that nobody else is
// given until free is called or the process ends.
func Take() (port string, free func(), err error) {
	const tries = 1000
	for range tries {
		port = strconv.Itoa(first + rand.IntN(last-first))
		if free, err = claim(port); err != nil {
			continue
		}
		l, err := net.Listen("tcp", ":"+port)
		if err == nil {
			return port, free, l.Close()
		}
		free()
	}
	return "", nil, errors.New("no port is free")
}

// claim makes the port ours among those who ask here: by a name that Linux frees with
// the process.
func claim(port string) (free func(), err error) {
	if runtime.GOOS != "linux" {
		return func() {}, nil
	}
	l, err := net.Listen("unix", fmt.Sprintf("@caddy-comet-test-port-%s", port))
	if err != nil {
		return nil, err
	}
	return func() { l.Close() }, nil
}
