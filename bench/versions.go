//go:build linux

package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"github.com/caddy-comet/caddy-comet/bench/load"
)

// versions collects what is compared with what, for the page.
func (b *bench) versions(ctx context.Context) error {
	if need := uint64(b.connections + 1000); descriptors() < need {
		return fmt.Errorf("this process may open %d files, and %d connections need %d: raise the limit (ulimit -n)", descriptors(), b.connections, need)
	}
	ours, err := binaryVersion(ctx, b.binary)
	if err != nil {
		return err
	}
	theirs, err := b.nchanVersion(ctx)
	if err != nil {
		return err
	}
	b.facts = []string{kernel(), fmt.Sprintf("%d × %s", runtime.NumCPU(), model()), ours, theirs, firstLine(ctx, "php-fpm[0-9]*", "-v")}
	return nil
}

// binaryVersion reads what Go wrote into the binary. Where that has no commit,
// the working tree's is as good: make has just built it.
func binaryVersion(ctx context.Context, file string) (string, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return "", err
	}
	commit, caddy := "", ""
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			commit = setting.Value
		}
	}
	for _, dep := range info.Deps {
		if dep.Path == "github.com/caddyserver/caddy/v2" {
			caddy = dep.Version
		}
	}
	if commit == "" {
		out, _ := exec.CommandContext(ctx, "git", "rev-parse", "HEAD").Output()
		commit = strings.TrimSpace(string(out))
	}
	return fmt.Sprintf("caddy-comet %.12s, Caddy %s, %s", commit, caddy, info.GoVersion), nil
}

// nchanVersion asks a running nginx, since the module's file does not say.
func (b *bench) nchanVersion(ctx context.Context) (string, error) {
	all, err := b.launch(ctx, b.present[:1], load.Target{Channels: 1}, nil)
	defer stopAll(all)
	if err != nil {
		return "", err
	}
	status, err := nchanStatus(ctx, all[0].site)
	if err != nil {
		return "", err
	}
	text := firstLine(ctx, "nginx", "-v")
	if m := nchanVersion.FindStringSubmatch(status); m != nil {
		text += ", Nchan " + m[1]
	}
	return strings.TrimPrefix(text, "nginx version: "), nil
}

// firstLine is what a program says of itself.
func firstLine(ctx context.Context, name, argument string) string {
	program, err := find(name)
	if err != nil {
		return err.Error()
	}
	out, _ := exec.CommandContext(ctx, program, argument).CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
