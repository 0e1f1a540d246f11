//go:build !linux

package park

import "syscall"

// watchesSockets: a goroutine listens to each connection.
const watchesSockets = false

func newWatch(l *loop) (watch, error) { return newSleeper(l) }

func descriptor(syscall.Conn) int32 { return -1 }

func (*Conn) try([]byte) (int, error) { return 0, nil }

func unread(int32) bool { return false }

// Sockets are not watched here, so none is the loop's own.

func (*loop) keepSpare() {}
func (*loop) giveSpare() {}

func (*Conn) adopt() bool                    { return false }
func (*Conn) materialize() error             { return nil }
func (c *Conn) closeWrite()                  { _ = closeWrite(c.net) }
func (c *Conn) shut()                        { _ = c.net.Close() }
func (*loop) read(int32) (b []byte, ok bool) { return nil, false }
