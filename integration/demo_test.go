package integration

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestTheDemoStartsAndShowsEachPage runs `make demo` without its waiting, on
// ports of its own.
func TestTheDemoStartsAndShowsEachPage(t *testing.T) {
	cmd := exec.Command("../php-demo/run.sh", "--check")
	cmd.Env = os.Environ()
	for _, name := range []string{"PORT", "HTTPS_PORT", "WITHOUT_PORT", "PUBLISH_PORT", "STATUS_PORT", "ADMIN_PORT"} {
		cmd.Env = append(cmd.Env, "COMET_DEMO_"+name+"="+port(t))
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestTheDemoNamesAllPortsInUse at once, with one command that keeps what is set.
func TestTheDemoNamesAllPortsInUse(t *testing.T) {
	cmd := exec.Command("../php-demo/run.sh", "--check")
	cmd.Env = append(os.Environ(), "COMET_DEMO_BIND=127.0.0.1")
	settings := map[string]string{}
	var busy []string
	for i, name := range []string{"PORT", "HTTPS_PORT", "WITHOUT_PORT", "PUBLISH_PORT", "STATUS_PORT", "ADMIN_PORT"} {
		settings[name] = port(t)
		if i%2 == 0 {
			l, err := net.Listen("tcp", "127.0.0.1:"+settings[name])
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			busy = append(busy, settings[name])
		}
		cmd.Env = append(cmd.Env, "COMET_DEMO_"+name+"="+settings[name])
	}
	b, err := cmd.CombinedOutput()
	out := string(b)
	if err == nil || !strings.Contains(out, "in use: port "+strings.Join(busy, " ")+". ") || !strings.HasSuffix(out, " make demo\n") {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(out, "COMET_DEMO_BIND=127.0.0.1 ") {
		t.Errorf("what was set is lost: %s", out)
	}
	for i, name := range []string{"PORT", "HTTPS_PORT", "WITHOUT_PORT", "PUBLISH_PORT", "STATUS_PORT", "ADMIN_PORT"} {
		_, after, named := strings.Cut(out, "COMET_DEMO_"+name+"=")
		if got, _, _ := strings.Cut(after, " "); !named || (got == settings[name]) != (i%2 == 1) {
			t.Errorf("for %s, which was %s, it says %q: %s", name, settings[name], got, out)
		}
	}
}
