package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// command runs a program here, which must do well.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestThePackage on a clean Debian: it is installed, serves, is upgraded while many
// wait, removed, installed again and purged, and leaves nothing behind. All by the
// documented commands. And then the archive.
func TestThePackage(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	arch := strings.TrimSpace(command(t, "dpkg", "--print-architecture"))
	made := t.TempDir()
	command(t, "../packaging/build", "1.0.0", arch, binary, binary, made)
	deb, archive := "caddy-comet_1.0.0-1_"+arch+".deb", "caddy-comet-1.0.0-linux-"+arch+".tar.gz"
	command(t, "cp", filepath.Join(made, deb), filepath.Join(made, archive), m.file("/"))
	m.run(`dpkg-deb -R ` + deb + ` next
		sed -i 's/^Version: .*/Version: 1.0.1-1/' next/DEBIAN/control
		dpkg-deb -Znone -b next ` + strings.Replace(deb, "1.0.0", "1.0.1", 1) + `
		rm -r next`)
	installs := documented(t, "install-deb", "amd64", arch, "apt install", "apt-get -qq install",
		"editor /etc/caddy-comet/Caddyfile ", `sed -i 's|^:80 {$|http://127.0.0.1 {|' /etc/caddy-comet/Caddyfile `)
	upgrades := documented(t, "upgrade-deb", "amd64", arch, "apt install", "apt-get -qq install")
	before := m.files()

	m.run(installs)
	packageServes(t, m)
	packagePages(t, m)
	packageUpgrades(t, m, func() { m.run(upgrades) })
	if got := m.run("dpkg-query -W -f '${Version}\n' caddy-comet; grep -c '^http://127.0.0.1 {' /etc/caddy-comet/Caddyfile"); got != "1.0.1-1\n1" {
		t.Errorf("after the upgrade: %s", got)
	}

	edited := m.run("sha256sum /etc/caddy-comet/Caddyfile")
	m.run("apt-get -qq remove caddy-comet")
	if out := m.run("systemctl is-active caddy-comet || true; systemctl show -P MainPID caddy-comet; test ! -e /usr/bin/caddy-comet; ls /var/lib/caddy-comet/history"); out != "inactive\n0\ndefault.db" {
		t.Errorf("after it was removed: %s", out)
	}
	m.run(upgrades)
	if got := m.run("systemctl is-active caddy-comet; sha256sum /etc/caddy-comet/Caddyfile"); got != "active\n"+edited {
		t.Errorf("installed again: %s", got)
	}
	m.run("systemctl disable --quiet --now caddy-comet")
	m.run("apt-get -qq reinstall ./caddy-comet_1.0.1-1_" + arch + ".deb")
	if got := m.run("systemctl is-enabled caddy-comet || true; systemctl is-active caddy-comet || true"); got != "disabled\ninactive" {
		t.Errorf("what the administrator disabled is %q after an upgrade", got)
	}

	m.run("apt-get -qq purge caddy-comet")
	after := m.files()
	for _, file := range slices.Sorted(maps.Keys(after)) {
		if !before[file] {
			t.Errorf("%s is left after a purge", file)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(before)) {
		if !after[file] {
			t.Errorf("%s is gone after a purge", file)
		}
	}
	if out := m.run("systemctl list-units --state=loaded --no-legend 'caddy*'; systemctl list-unit-files --no-legend 'caddy*' || true"); out != "" {
		t.Errorf("systemd still has %s", out)
	}

	m.run(documented(t, "install-archive", "amd64", arch))
	for line, want := range map[string]string{
		"systemctl is-active caddy-comet":                                "active",
		"systemctl show -P User caddy-comet":                             "caddy-comet",
		"stat -c %U:%G /run/comet/www":                                   "www-data:caddy-comet",
		"test -s " + strings.TrimSuffix(archive, ".tar.gz") + "/LICENSE": "",
	} {
		if got := m.run(line); got != want {
			t.Errorf("by the archive, %s: %s", line, got)
		}
	}
}

// packageServes checks what an administrator finds when the package is installed.
func packageServes(t *testing.T, m *machine) {
	for line, want := range map[string]string{
		"systemctl is-active caddy-comet":                            "active",
		"systemctl is-enabled caddy-comet":                           "enabled",
		"systemctl show -P User caddy-comet":                         "caddy-comet",
		"systemctl show -P LimitNOFILE caddy-comet":                  "1048576",
		"id -nG caddy-comet":                                         "caddy-comet www-data",
		"stat -c '%U %a' /run/caddy-comet/admin.sock":                "caddy-comet 600",
		"stat -c '%U:%G %a' /run/comet /run/comet/www":               "root:root 755\nwww-data:caddy-comet 2750",
		"stat -c '%U %a' /var/lib/caddy-comet":                       "caddy-comet 700",
		"systemctl list-unit-files --no-legend 'caddy*' | wc -l":     "1",
		"runuser -u nobody -- caddy-comet comet status 2>&1 || true": "permission denied",
		"caddy-comet comet status":                                   "/run/comet/www/*.jsonl",
		"caddy-comet comet --help":                                   "caddy-comet comet",
	} {
		if got := m.run(line); got != want && (len(want) < 12 || !strings.Contains(got, want)) {
			t.Errorf("%s: %s, not %s", line, got, want)
		}
	}

	client := m.client()
	heard := make(chan string, 1)
	go func() {
		res, err := client.Get("http://127.0.0.1/comet/orders")
		if err != nil {
			heard <- err.Error()
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		heard <- fmt.Sprint(string(b), err)
	}()
	until(t, "somebody to wait", func() bool { return m.held() == 1 })
	m.run("systemctl reload caddy-comet")
	m.run(`runuser -u www-data -- sh -c 'echo "{\"id\":42}" >> /run/comet/www/orders.jsonl'`)
	if got := <-heard; !strings.Contains(got, `{"id":42}`) {
		t.Errorf("who waited over a reload for what PHP's user writes heard %s", got)
	}
}

// packagePages checks the manual and the completion.
func packagePages(t *testing.T, m *machine) {
	pages, err := filepath.Glob(m.file("/usr/share/man/man8/caddy-comet*.8.gz"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d pages of the manual (%v)", len(pages), err)
	}
	for _, page := range pages {
		cmd := exec.Command(find(t, "man"), "--warnings=all", "--local-file", page)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANROFFSEQ=", "MANWIDTH=100")
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "warning:") {
			t.Errorf("%s: %v\n%s", filepath.Base(page), err, out)
		}
		if filepath.Base(page) == "caddy-comet-comet-publish.8.gz" && !strings.Contains(string(out), "caddy-comet comet publish <channel>[,<channel>...]") {
			t.Errorf("the page of publish:\n%s", out)
		}
	}
	// As bash does when somebody types caddy-comet comet st and the tab key.
	got := m.run(`bash -c '. /usr/share/bash-completion/completions/caddy-comet
_get_comp_words_by_ref() { cur=st prev=comet cword=2 words=(caddy-comet comet st); }
COMP_WORDS=(caddy-comet comet st) COMP_CWORD=2 COMP_LINE="caddy-comet comet st" COMP_POINT=20 COMP_TYPE=9
__start_caddy-comet; echo "${COMPREPLY[@]}"'`)
	if !strings.HasPrefix(got, "status") {
		t.Errorf("bash completes st by %q", got)
	}
	for file, has := range map[string]string{
		"zsh/vendor-completions/_caddy-comet":             "#compdef caddy-comet",
		"fish/vendor_completions.d/caddy-comet.fish":      "complete -c caddy-comet",
		"doc/caddy-comet/README.md":                       "# caddy-comet",
		"doc/caddy-comet/docs/operations.md":              "# Operations",
		"doc/caddy-comet/copyright":                       "Apache",
		"lintian/overrides/caddy-comet":                   "statically-linked-binary",
		"../lib/systemd/system/caddy-comet.service":       "Type=notify",
		"../lib/sysusers.d/caddy-comet.conf":              "u caddy-comet",
		"../lib/tmpfiles.d/caddy-comet.conf":              "d /run/comet",
		"bash-completion/completions/caddy-comet":         "__start_caddy-comet",
		"../../var/lib/dpkg/info/caddy-comet.conffiles":   "/etc/caddy-comet/Caddyfile",
		"../../etc/caddy-comet/Caddyfile":                 "admin unix//run/caddy-comet/admin.sock|0600",
		"../../var/lib/dpkg/info/caddy-comet.md5sums":     "usr/bin/caddy-comet",
		"../../usr/share/doc/caddy-comet/docs/install.md": "# Install",
	} {
		b, err := os.ReadFile(m.file("/usr/share/" + file))
		if err != nil || !strings.Contains(string(b), has) {
			t.Errorf("%s has no %q (%v)", file, has, err)
		}
	}
}

// held is how many wait in the machine's server.
func (m *machine) held() int {
	out, err := m.command("caddy-comet", "comet", "status", "--json").Output()
	if err != nil {
		return 0 // it begins
	}
	var status struct{ Hubs []struct{ Held int } }
	if err := json.Unmarshal(out, &status); err != nil || len(status.Hubs) != 1 {
		m.t.Fatalf("%v: %s", err, out)
	}
	return status.Hubs[0].Held
}

// TestLintianHasNothingToSay about the package with a program that is linked as that
// of a release, which itself takes minutes to build. The same again gives the same
// bytes.
func TestLintianHasNothingToSay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	write(t, source, "package main\n\nfunc main() { println(\"caddy-comet\") }\n")
	program := filepath.Join(dir, "program")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	arch := strings.TrimSpace(command(t, "dpkg", "--print-architecture"))
	for _, again := range []string{"first", "second"} {
		command(t, "../packaging/build", "1.0.0", arch, program, binary, filepath.Join(dir, again))
	}
	first := filepath.Join(dir, "first", "caddy-comet_1.0.0-1_"+arch+".deb")
	for line := range strings.Lines(command(t, find(t, "lintian"), "--allow-root", "--display-info", "--pedantic", first)) {
		// In a program of full size there are mistakes in spelling.
		if !strings.HasPrefix(line, "N: ") && !strings.Contains(line, "unused-override spelling-error-in-binary") {
			t.Error(line)
		}
	}

	command(t, "diff", "--recursive", filepath.Join(dir, "first"), filepath.Join(dir, "second"))
}
