// Command held opens polls against a server on this machine and prints what
// holding them costs it: memory, and CPU while nothing happens.
//
//	held -url 'http://127.0.0.1:8080/comet/bench' -pid $(pidof caddy) -n 15000
//
// It talks to loopback only, and ends by itself.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	target := flag.String("url", "http://127.0.0.1:8080/comet/bench", "what to poll")
	pid := flag.Int("pid", 0, "the server's process")
	n := flag.Int("n", 15000, "how many polls")
	idle := flag.Duration("idle", 10*time.Second, "how long to watch while nothing happens")
	flag.Parse()
	if err := run(*target, *pid, *n, *idle); err != nil {
		fmt.Fprintln(os.Stderr, "held:", err)
		os.Exit(1)
	}
}

func run(target string, pid, n int, idle time.Duration) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%s is not loopback", u.Host)
	}
	before, err := memory(pid)
	if err != nil {
		return err
	}
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", u.RequestURI(), u.Host)
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range n {
		// 127.0.0.1 alone has too few ports to be comfortable.
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+len(conns)/10000))}}
		c, err := d.Dial("tcp", u.Host)
		if err != nil {
			return fmt.Errorf("after %d connections: %w", len(conns), err)
		}
		conns = append(conns, c)
		if _, err := c.Write([]byte(request)); err != nil {
			return err
		}
	}
	time.Sleep(3 * time.Second) // the last ones are being read
	after, err := memory(pid)
	if err != nil {
		return err
	}
	ticks, err := cpu(pid)
	if err != nil {
		return err
	}
	time.Sleep(idle)
	later, err := cpu(pid)
	if err != nil {
		return err
	}
	fmt.Printf("held\t%d\nmemory per held poll\t%.1f KiB (PSS %d → %d KiB)\nCPU while idle\t%d ms in %s\n",
		n, float64(after-before)/float64(n), before, after, (later-ticks)*10, idle)
	return nil
}

// memory returns the process's proportional set size in KiB.
func memory(pid int) (int, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "Pss:"); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, fmt.Errorf("no Pss for process %d", pid)
}

// cpu returns the process's CPU time in ticks of 10 ms.
func cpu(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return user + system, err
}
