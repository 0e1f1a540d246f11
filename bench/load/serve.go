//go:build linux

package load

import (
	"errors"
	"io"
	"time"
)

// turn waits for readable sockets, though not for long, and gives each whole
// answer to got.
func (l *Load) turn(got func(*conn, answer, time.Time)) error {
	events, err := l.loop.wait(100 * time.Millisecond)
	if err != nil {
		return err
	}
	for _, event := range events {
		switch event.Fd {
		case publisherIndex:
			l.readPublisher()
		case tickerIndex:
			l.ticker.seen()
		default:
			l.drain(l.conns[event.Fd], got)
		}
	}
	return nil
}

// drain reads a connection. A tls.Conn may have bytes that the socket no longer
// has, so it is read until nothing is left.
func (l *Load) drain(c *conn, got func(*conn, answer, time.Time)) {
	for !c.closed {
		n, err := c.read(l.buf[:])
		if errors.Is(err, errAgain) {
			return
		}
		if err != nil {
			l.lose(c, err)
			return
		}
		l.cut(c, l.buf[:n], got)
		if c.secure == nil {
			return
		}
	}
}

// lose counts a connection that the server ended.
func (l *Load) lose(c *conn, err error) {
	c.close()
	l.report.Closed++
	if l.report.Trouble == "" {
		l.report.Trouble = "closed: " + err.Error()
		if errors.Is(err, io.EOF) && len(c.rest) > 0 {
			l.report.Trouble += " after " + string(c.rest)
		}
	}
}

// cut gives each whole answer in what was read to got.
func (l *Load) cut(c *conn, data []byte, got func(*conn, answer, time.Time)) {
	now := time.Now()
	if len(c.rest) > 0 {
		data = append(c.rest, data...)
	}
	for len(data) > 0 {
		a, rest, ok := l.cutter(c)(data)
		if !ok {
			break
		}
		data = rest
		c.opened = true
		got(c, a, now)
	}
	c.rest = nil
	if len(data) > 0 {
		c.rest = append(c.rest, data...)
	}
}

// cutter returns what takes the next piece off the connection's bytes.
func (l *Load) cutter(c *conn) func([]byte) (answer, []byte, bool) {
	switch {
	case !l.target.Streams:
		return cutAnswer
	case !c.opened:
		return cutHead
	}
	return cutPiece
}
