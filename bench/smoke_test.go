//go:build linux

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/bench/load"
)

func TestMain(m *testing.M) {
	if load.Main() { // a load process is this program once more
		return
	}
	os.Exit(m.Run())
}

// smoke is a run that measures nothing of worth, but goes through everything.
var smoke = options{
	only:        regexp.MustCompile(""),
	connections: 200, secure: 50, http2: 50, shared: 1, lives: 1, blocks: 1, cycles: 1, settle: 100 * time.Millisecond,
	touched: 50, perSecond: 200, paced: 300 * time.Millisecond,
	stormed: 500, crowded: 20,
	passes: 1, passing: 200 * time.Millisecond,
	lines: 1000,
}

// TestEveryCaseRunsAndWritesItsTable is the whole program, with few visitors.
func TestEveryCaseRunsAndWritesItsTable(t *testing.T) {
	o := smoke
	dir := t.TempDir()
	o.binary, o.page = filepath.Join(dir, "caddy"), filepath.Join(dir, "benchmarks.md")
	build := exec.Command("go", "build", "-o", o.binary, "../cmd/caddy")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the server: %v\n%s", err, out)
	}
	page, err := os.ReadFile("../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.page, page, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := run(ctx, o); err != nil {
		t.Fatalf("%v (make test installs what is missing)", err)
	}
	written, err := os.ReadFile(o.page)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range new(bench).cases() {
		if heading := "\n### " + strings.ToUpper(c.name[:1]) + c.name[1:] + "\n"; !strings.Contains(string(written), heading) {
			t.Errorf("the page has no table for %s", c.name)
		}
	}
	if !strings.Contains(string(written), " 0 missed, 0 closed, 0 failed") {
		t.Error("the page does not say that every event arrived")
	}
	if strings.Contains(string(written), "**Incomplete.**") {
		t.Error("the page says that the run was not whole")
	}
	if before, _, _ := strings.Cut(string(page), beginMark); !strings.HasPrefix(string(written), before) {
		t.Error("what is written by hand is gone")
	}
}

// TestAnInterruptEndsEveryServer looks for processes that work in the run's
// directory, after a run that was stopped in the middle.
func TestAnInterruptEndsEveryServer(t *testing.T) {
	o := smoke
	o.binary = filepath.Join(t.TempDir(), "caddy")
	// No comet is there; Nchan alone is enough to be interrupted.
	if err := os.WriteFile(o.binary, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b := &bench{options: o, dir: t.TempDir()}
	if err := os.Chmod(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := certify(b.path("certificate.pem"), b.path("key.pem")); err != nil {
		t.Fatal(err)
	}
	all, err := b.launch(ctx, contenders[:1], load.Target{Channels: 1}, nil)
	if err != nil {
		stopAll(all)
		t.Fatal(err)
	}
	server := all[0].server
	cancel()
	if _, err := all[0].openAll(ctx, 10); err == nil {
		t.Error("the run goes on")
	}
	stopAll(all)
	if _, err := cpu(server.pid()); err == nil {
		t.Error("the server still runs")
	}
}
