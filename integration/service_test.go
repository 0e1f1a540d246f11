package integration

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	out, err := exec.Command(find(t, "systemd-analyze"), "verify", "--man=no", unit).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}

// TestTheServiceIsInstalled by the documented commands, as the unit expects it: they
// put everything below a directory of the test's.
func TestTheServiceIsInstalled(t *testing.T) {
	root := runDir(t)
	for _, dir := range []string{"/usr/bin", "/etc/systemd/system"} { // every system has these
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	commands := documented(t, "service", " bin/caddy ", " "+binary+" ", " /usr/bin/", " "+root+"/usr/bin/", " /etc/", " "+root+"/etc/")
	var adds, enables string
	for line := range strings.Lines(commands) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "useradd":
			adds = words[len(words)-1]
		case "systemctl":
			enables = words[len(words)-1]
		case "install", "sed":
			cmd := exec.Command("bash", "-ec", line)
			cmd.Dir = ".."
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", line, err, out)
			}
		default:
			t.Errorf("the test does not know what to do with %s", line)
		}
	}

	text, err := os.ReadFile(root + "/etc/systemd/system/" + enables + ".service")
	if err != nil {
		t.Fatal(err)
	}
	unit := func(setting string) string {
		t.Helper()
		m := regexp.MustCompile(`(?m)^` + setting + `=(.*)$`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("the unit has no %s", setting)
		}
		return string(m[1])
	}
	if user := unit("User"); user != adds {
		t.Errorf("the unit wants the user %s, and %q is added", user, adds)
	}
	var config string
	for _, setting := range []string{"ExecStart", "ExecReload"} {
		program, arguments, _ := strings.Cut(unit(setting), " ")
		if info, err := os.Stat(root + program); err != nil || info.Mode()&0o111 != 0o111 {
			t.Errorf("%s: not everybody can run %s: %v", setting, program, err)
		}
		_, config, _ = strings.Cut(arguments, "--config ")
		if info, err := os.Stat(root + config); err != nil || info.Mode()&0o444 != 0o444 {
			t.Errorf("%s: not everybody can read %q: %v", setting, config, err)
		}
	}

	cmd := exec.Command(binary, "adapt", "--validate", "--adapter", "caddyfile", "--config", root+config)
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+root, "XDG_CONFIG_HOME="+root, "HOME="+root)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", config, err)
	}
	var adapted struct {
		Apps struct {
			HTTP struct {
				Grace time.Duration `json:"grace_period"`
			}
		}
	}
	if err := json.Unmarshal(out, &adapted); err != nil {
		t.Fatal(err)
	}
	stop, err := time.ParseDuration(unit("TimeoutStopSec"))
	if grace := adapted.Apps.HTTP.Grace; err != nil || grace <= 0 || grace >= stop {
		t.Errorf("grace_period is %s, and systemd kills after %s (%v)", grace, stop, err)
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
