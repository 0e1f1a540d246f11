//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// fpmStatus is what one php-fpm says of itself.
type fpmStatus struct {
	Active      int `json:"active"`
	Idle        int `json:"idle"`
	ListenQueue int `json:"listen_queue"`
	MaxChildren int `json:"max_children"`
}

// maxChildren of both pools, as run.sh writes it: the status page does not tell.
const maxChildren = 2

type fpmProbe struct {
	url    string // of the status page
	socket string // that the pool listens on
}

func (p fpmProbe) read(ctx context.Context) (*fpmStatus, error) {
	body, err := get(ctx, p.url+"?json")
	if err != nil {
		return nil, err
	}
	status, err := parseStatus(body)
	if err != nil {
		return nil, err
	}
	// On a unix socket php-fpm always says 0, so we ask the kernel.
	if sockets, err := os.Open("/proc/net/unix"); err == nil {
		defer sockets.Close()
		status.ListenQueue = max(status.ListenQueue, countQueued(sockets, p.socket))
	}
	return status, nil
}

func parseStatus(body []byte) (*fpmStatus, error) {
	var page struct {
		Pool   string `json:"pool"`
		Active int    `json:"active processes"`
		Idle   int    `json:"idle processes"`
		Queue  int    `json:"listen queue"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, fmt.Errorf("php-fpm's status: %w", err)
	}
	if page.Pool == "" {
		return nil, errors.New("php-fpm's status names no pool")
	}
	return &fpmStatus{Active: page.Active, Idle: page.Idle, ListenQueue: page.Queue, MaxChildren: maxChildren}, nil
}

// countQueued counts the connections to a listening unix socket that nobody has accepted yet. The kernel lists them in
// /proc/net/unix under the socket's own path, in state 02 ("connecting") and without an inode.
func countQueued(table io.Reader, socket string) (n int) {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		// Num RefCount Protocol Flags Type St Inode Path
		f := strings.Fields(lines.Text())
		if len(f) == 8 && f[5] == "02" && f[7] == socket {
			n++
		}
	}
	return n
}

// endFPM ends the php-fpm whose pid is in the file. A pid that by now is someone else's is left alone.
func endFPM(pidFile string) error {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return fmt.Errorf("finding php-fpm: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid < 2 {
		return fmt.Errorf("finding php-fpm: %s holds no pid", filepath.Base(pidFile))
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || !strings.HasPrefix(string(name), "php-fpm") {
		return errors.New("php-fpm is not running; it is about to start again")
	}
	return syscall.Kill(pid, syscall.SIGTERM)
}

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := probes.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", url, response.Status)
	}
	return body, nil
}

// probes has connections of its own, so that a look at the site never waits behind the crowd's.
var probes = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
