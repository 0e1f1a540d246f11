//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// How much of each the forum does. Its hub holds 341 requests and knows 5,461 channels.
// The rest is in [options].
const (
	floodConnections = 16 // with small bodies, and as many with large ones
	stormLogs        = 10
	logBound         = 8 << 20 // bytes, after which a log is truncated
	deaf             = 50      // visitors who read nothing
	nameConnections  = 8       // with polls that are answered, and as many with polls that wait
	manyNames        = 100_000
	namesInPoll      = 100
	largeEvent       = 64 << 10
)

// floodOfPosts posts at the forum's own door as fast as it is answered, which is mostly
// by 429.
func floodOfPosts(a *assault) {
	for _, size := range []int{20, largeEvent} {
		request := post("flood", size)
		a.converse(floodConnections, "unix", forum.socket(a.site), func() []byte { return request })
	}
}

func post(channel string, size int) []byte {
	return fmt.Appendf(nil, "POST /%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
		channel, size, bytes.Repeat([]byte("x"), size))
}

// stormOfFiles touches files, and appends lines to others.
func stormOfFiles(a *assault) {
	dir := forum.files(a.site)
	next := 0
	a.repeat(1, func() {
		name := filepath.Join(dir, fmt.Sprintf("flood%d.comet", next%a.stormed))
		next++
		now := time.Now()
		err := os.Chtimes(name, now, now)
		if errors.Is(err, fs.ErrNotExist) {
			err = os.WriteFile(name, nil, 0o644)
		}
		if err != nil {
			a.blame(err)
		}
		a.acts.Add(1)
	})
	a.repeat(1, func() {
		if err := a.fill(dir); err != nil {
			a.blame(err)
		}
	})
}

// fill appends lines to all logs in turns until they are large enough.
func (a *assault) fill(dir string) error {
	logs := make([]*os.File, stormLogs)
	for i := range logs {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("log%d.jsonl", i)), os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_TRUNC, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		logs[i] = f
	}
	line := []byte(strings.Repeat("x", 99) + "\n")
	for size := 0; size < logBound && a.ctx.Err() == nil; size += len(line) {
		for _, f := range logs {
			if _, err := f.Write(line); err != nil {
				return err
			}
			a.acts.Add(1)
		}
	}
	return nil
}

// crowdOfVisitors are more than the forum's hub may hold, who come back at once, and some
// who read nothing of large events.
func crowdOfVisitors(a *assault) {
	large := post("large", largeEvent)
	a.repeat(deaf, func() {
		c := a.call("tcp", a.plain)
		if c == nil {
			return
		}
		defer c.close()
		_ = c.Conn.(*net.TCPConn).SetReadBuffer(4096)
		_, _ = c.Write(ask("large?as=sse"))
		_ = pause(a.ctx, time.Second)
	})
	a.converse(1, "unix", forum.socket(a.site), func() []byte {
		_ = pause(a.ctx, 10*time.Millisecond) // no faster than its rate
		return large
	})
	a.visit(a.crowded, 50*time.Millisecond, func() []byte { return ask("crowd") })
}

// ask is a request of a visitor of the forum's.
func ask(path string) []byte {
	return fmt.Appendf(nil, "GET /comet/%s HTTP/1.1\r\nHost: %s\r\n\r\n", path, forumHost)
}

// floodOfNames asks for ever other channels.
func floodOfNames(a *assault) {
	var asked atomic.Int64
	names := func(more string) []byte {
		from := int(asked.Add(1)-1) * namesInPoll % manyNames
		list := make([]string, namesInPoll)
		for i := range list {
			list[i] = fmt.Sprintf("name%d", from+i)
		}
		return ask(strings.Join(list, ",") + more)
	}
	a.converse(nameConnections, "tcp", a.plain, func() []byte { return names("?wait=0") })
	a.visit(nameConnections, 10*time.Millisecond, func() []byte { return names("") })
}

// burn attacks nobody. It keeps as many processors busy as the other attacks of this
// process could: what that costs is not the server's doing.
func burn(a *assault) {
	a.repeat(runtime.NumCPU(), func() {
		for range 1 << 16 {
		}
		a.acts.Add(1)
	})
}
