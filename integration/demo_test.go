package integration

import (
	"os"
	"os/exec"
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
