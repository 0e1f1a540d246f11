package client

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// run runs a program in this directory.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing; integration/install.sh node installs it (make test does that first)", name)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// packages installs what package-lock.json names, where it is not there yet.
func packages(t *testing.T) {
	t.Helper()
	// npm notes there what it has installed, last of all.
	there, err := os.Stat("node_modules/.package-lock.json")
	lock, lockErr := os.Stat("package-lock.json")
	if lockErr != nil {
		t.Fatal(lockErr)
	}
	if err != nil || there.ModTime().Before(lock.ModTime()) {
		run(t, "npm", "ci", "--no-audit", "--no-fund")
	}
}

// TestTheBuiltFilesAreThoseOfTheSources builds them anew and compares.
func TestTheBuiltFilesAreThoseOfTheSources(t *testing.T) {
	packages(t)
	dir := t.TempDir()
	run(t, "node", "build.js", dir)
	names := make(map[string]bool)
	for _, root := range []string{"dist", dir} {
		err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				names[path] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(names) < 9 {
		t.Errorf("only %d files are built", len(names))
	}
	for name := range names {
		built, err := os.ReadFile(filepath.Join(dir, name))
		kept, keptErr := os.ReadFile(filepath.Join("dist", name))
		if err != nil || keptErr != nil || !bytes.Equal(built, kept) {
			t.Errorf("dist/%s is not what the sources make; `make client` builds it", name)
		}
	}
}

// TestTheLibrary runs its own tests.
func TestTheLibrary(t *testing.T) {
	packages(t)
	files, err := filepath.Glob("test/*.test.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests: %v", err)
	}
	out := run(t, "node", append([]string{"--test"}, files...)...)
	for _, count := range []string{"# fail 0", "# skipped 0", "# cancelled 0", "# todo 0"} {
		if !strings.Contains(out, "\n"+count+"\n") {
			t.Errorf("not %q:\n%s", count, out)
		}
	}
}

// TestTheStatusPageShipsTheLicenceOfWhatItContains: uPlot's asks for its text in every copy.
func TestTheStatusPageShipsTheLicenceOfWhatItContains(t *testing.T) {
	packages(t)
	licence, err := os.ReadFile("node_modules/uplot/LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"page.js", "page.css"} {
		if !bytes.Contains(Page[name].Text, bytes.TrimSpace(licence)) {
			t.Errorf("%s does not have it", name)
		}
	}
}
