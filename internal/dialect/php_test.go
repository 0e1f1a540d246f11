package dialect

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// seen is what PHP makes of a query; see testdata/seen.php.
type seen struct {
	Publishes  bool
	Publish    []byte
	Subscribed []struct {
		ID   []byte
		Time string
	}
	Chat struct {
		Publishes bool
		// Text: msg is no array.
		Text bool
		Msg  []byte
		// Numeric: timestamp is a number; Waits: the second chatNow is not newer.
		Numeric, Waits bool
	}
}

// chatNow is when the chat's file was written, for PHP.
const chatNow = 1795242560

// php is a PHP on the command line that answers line by line.
type php struct {
	mu  sync.Mutex
	in  io.Writer
	out *bufio.Reader
}

const seenPHP = "testdata/seen.php"

// needPHP skips the test where there is no PHP, except where it must be tested.
func needPHP(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("php")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("CI needs the real PHP (apt-get install php-cli): %v", err)
		}
		t.Skip("no php here")
	}
	return path
}

func startPHP(t testing.TB) *php {
	t.Helper()
	cmd := exec.Command(needPHP(t), "-n", seenPHP)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return &php{in: in, out: bufio.NewReader(out)}
}

func (p *php) ask(t testing.TB, what, text string) []byte {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := fmt.Fprintln(p.in, what, base64.StdEncoding.EncodeToString([]byte(text))); err != nil {
		t.Fatal(err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line[:len(line)-1]
}

func (p *php) query(t testing.TB, query string) seen {
	t.Helper()
	return decode(t, p.ask(t, "query", query))
}

func decode(t testing.TB, b []byte) (s seen) {
	t.Helper()
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatalf("%v in %q", err, b)
	}
	return s
}

// startPHPServer starts PHP's built-in server and returns its address.
func startPHPServer(t testing.TB) string {
	t.Helper()
	path := needPHP(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-n", "-d", "display_errors=0", "-S", address, seenPHP)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "started") {
			go func() { _, _ = io.Copy(io.Discard, said) }() // it logs every request
			return address
		}
	}
	t.Fatal("PHP's server did not start")
	return ""
}
