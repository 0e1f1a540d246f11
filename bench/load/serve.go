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
		if c.session != nil {
			err = l.takeFrames(c, l.buf[:n], got)
		} else {
			l.cut(c, l.buf[:n], got)
		}
		if err != nil {
			l.lose(c, err)
			return
		}
		if c.secure == nil {
			return
		}
	}
}

// takeFrames gives each whole answer in frames of HTTP/2 to got, and writes what
// the frames want to be answered.
func (l *Load) takeFrames(c *conn, data []byte, got func(*conn, answer, time.Time)) error {
	now := time.Now()
	if err := c.session.take(data, func(c *conn, a answer) { got(c, a, now) }); err != nil {
		return err
	}
	if b := c.session.written(); len(b) > 0 {
		return c.write(b)
	}
	return nil
}

// lose counts a connection that the server ended, for each visitor that it had.
func (l *Load) lose(c *conn, err error) {
	if c.closed {
		return
	}
	c.close()
	l.report.Closed++
	if c.session != nil {
		l.report.Closed += len(c.session.visitors) - 1
	}
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
	case l.target.Sockets:
		return cutFrame
	}
	return cutPiece
}
