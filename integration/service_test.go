package integration

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTheUnitIsOne that systemd takes without a word.
func TestTheUnitIsOne(t *testing.T) {
	text, err := os.ReadFile("../packaging/caddy-comet.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(runDir(t), "caddy-comet.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/bin/caddy-comet", binary)), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(find(t, "systemd-analyze"), "verify", unit).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}

// TestSystemdIsTold when the server serves, and when it ends, as the unit's Type=notify
// wants it.
func TestSystemdIsTold(t *testing.T) {
	dir := runDir(t)
	address := &net.UnixAddr{Name: dir + "/notify", Net: "unixgram"}
	systemd, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	file := filepath.Join(dir, "Caddyfile")
	site := "{\n\tadmin off\n\tgrace_period 10s\n}\nhttp://127.0.0.1:" + port(t) + " {\n\tcomet /comet/*\n}\n"
	if err := os.WriteFile(file, []byte(site), 0o644); err != nil {
		t.Fatal(err)
	}
	p := startAs(t, nil, []string{"NOTIFY_SOCKET=" + address.Name, "HOME=" + dir}, binary, "run", "--config", file, "--adapter", "caddyfile")
	hears := func(want string) {
		t.Helper()
		b := make([]byte, 4096)
		_ = systemd.SetReadDeadline(time.Now().Add(patience))
		for {
			n, err := systemd.Read(b)
			if err != nil {
				t.Fatalf("systemd heard no %s: %v\n%s", want, err, p.out)
			}
			if strings.Contains(string(b[:n]), want) {
				return
			}
		}
	}
	hears("READY=1")
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	hears("STOPPING=1")
}
