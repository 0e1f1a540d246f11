package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/integration/faults"
)

// packaged makes packages of the server under test, as `make deb` does of one that is
// built for a release.
func packaged(t *testing.T, dir, version, program string) (deb string) {
	t.Helper()
	arch := strings.TrimSpace(command(t, "dpkg", "--print-architecture"))
	command(t, "../packaging/build", version, arch, program, binary, dir)
	return filepath.Join(dir, "caddy-comet_"+version+"-1_"+arch+".deb")
}

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
// wait, removed, installed again and purged, and leaves nothing behind.
func TestThePackage(t *testing.T) {
	m := newMachine(t)
	deb := packaged(t, t.TempDir(), "1.0.0", binary)
	command(t, "cp", deb, m.file("/srv/caddy-comet_1.0.0.deb"))
	m.run(`dpkg-deb -R /srv/caddy-comet_1.0.0.deb /srv/next
		sed -i 's/^Version: .*/Version: 1.0.1-1/' /srv/next/DEBIAN/control
		dpkg-deb -Znone -b /srv/next /srv/caddy-comet_1.0.1.deb
		rm -r /srv/next`)
	install := func(version string) {
		t.Helper()
		m.run("apt-get -qq install ./srv/caddy-comet_" + version + ".deb")
		if got := m.run("dpkg-query -W -f '${Version} ${Status}' caddy-comet"); got != version+"-1 install ok installed" {
			t.Fatalf("it is %s", got)
		}
	}
	before := m.files()

	install("1.0.0")
	t.Run("it serves", func(t *testing.T) { packageServes(t, m) })
	t.Run("its pages", func(t *testing.T) { packagePages(t, m) })
	// One line of the configuration becomes the administrator's.
	m.run(`sed -i 's|^:80 {$|http://127.0.0.1 {|' /etc/caddy-comet/Caddyfile; systemctl reload caddy-comet`)
	t.Run("an upgrade", func(t *testing.T) { packageUpgrades(t, m, func() { install("1.0.1") }) })

	edited := m.run("sha256sum /etc/caddy-comet/Caddyfile")
	m.run("apt-get -qq remove caddy-comet")
	t.Run("removed", func(t *testing.T) {
		if out := m.run("systemctl is-active caddy-comet || true; systemctl show -P MainPID caddy-comet; test ! -e /usr/bin/caddy-comet"); out != "inactive\n0" {
			t.Errorf("after it was removed: %s", out)
		}
		m.run("test -d /var/lib/caddy-comet/history")
	})
	install("1.0.1")
	if got := m.run("systemctl is-active caddy-comet; sha256sum /etc/caddy-comet/Caddyfile"); got != "active\n"+edited {
		t.Errorf("installed again: %s", got)
	}
	m.run("systemctl disable --quiet --now caddy-comet")
	m.run("apt-get -qq reinstall ./srv/caddy-comet_1.0.1.deb")
	if got := m.run("systemctl is-enabled caddy-comet || true"); got != "disabled" {
		t.Errorf("what the administrator disabled is %s after an upgrade", got)
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
	if out := m.run("systemctl list-units --all --no-legend 'caddy*'; systemctl list-unit-files --no-legend 'caddy*' || true"); out != "" {
		t.Errorf("systemd still has %s", out)
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

// upgradeHolds is how many wait when the package is upgraded. More, for a look by hand:
// COMET_UPGRADE_HOLDS=5000.
const upgradeHolds = 300

// packageUpgrades has many wait in every form while the package is upgraded and
// somebody publishes all the time: they come back with their cursors, and get every
// event once and in order, without a gap.
func packageUpgrades(t *testing.T, m *machine, upgrade func()) {
	holds := upgradeHolds
	if n, err := strconv.Atoi(os.Getenv("COMET_UPGRADE_HOLDS")); err == nil {
		holds = n
	}
	const site, publish = "http://127.0.0.1/comet/", "http://127.0.0.1:2020"
	forms := []string{"poll", "poll", "poll", "sse", "websocket", "stream", "frame", "multipart"}
	channels := make([]string, 10)
	for i := range channels {
		channels[i] = fmt.Sprintf("c%d", i)
	}
	seed := faults.Seed(time.Now().UnixNano() >> 12)
	t.Logf("seed %d", seed)
	direct := m.client()
	res, err := direct.Get(publish + "/")
	if err != nil {
		t.Fatal(err)
	}
	var hub struct{ Cursor string }
	err = json.NewDecoder(res.Body).Decode(&hub)
	res.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	ledger := faults.NewLedger()
	ledger.Epoch(hub.Cursor)

	all, end := context.WithCancel(t.Context())
	defer end()
	var following, publishing sync.WaitGroup
	defer following.Wait()
	defer end()
	followers := make([]*faults.Follower, holds)
	for i := range followers {
		name := fmt.Sprintf("%s %d", forms[i%len(forms)], i)
		f := faults.NewFollower(name, forms[i%len(forms)], m.client(), site, hub.Cursor, channels[i%len(channels):][:1], ledger, seed)
		followers[i] = f
		following.Go(func() { f.Run(all) })
	}
	until(t, "all to wait", func() bool { return m.held() == holds })

	poster := func(channel, name string) *faults.Poster {
		return &faults.Poster{Channel: channel, Name: name, Client: direct, Base: publish, Ledger: ledger, Chance: seed.Source(name+channel, 0), Pace: 200 * time.Millisecond}
	}
	pid := m.run("systemctl show -P MainPID caddy-comet")
	now, over := context.WithCancel(all)
	for i, channel := range channels {
		if i < len(channels)/2 { // some channels are busy, of others there is news while the server is away at the earliest
			publishing.Go(func() { poster(channel, "p").Run(now, all) })
		}
	}
	upgrade()
	over()
	for _, channel := range channels {
		publishing.Go(func() {
			poster(channel, faults.LastPublisher).Publish(all, faults.Token(channel, faults.LastPublisher, 0))
		})
	}
	publishing.Wait()
	if now := m.run("systemctl show -P MainPID caddy-comet"); now == pid || now == "0" {
		t.Errorf("the process was %s and is %s", pid, now)
	}

	var records []*faults.Record
	answers, cut := 0, 0
	for _, f := range followers {
		select {
		case <-f.Finished:
		case <-time.After(patience):
			t.Fatalf("%s is not at its end: %v", f.Name, f.Complaints)
		}
		records = append(records, &f.Record)
		answers, cut = answers+f.Answers, cut+f.Cut
	}
	for _, v := range ledger.Judge(faults.Law{}, records) {
		t.Error(v)
	}
	t.Logf("%d events, %d followers, %d answers, %d cut", ledger.Certain(), holds, answers, cut)
}

// TestLintianHasNothingToSay about the package with a program that is linked as that
// of a release. (That itself takes minutes to build.)
func TestLintianHasNothingToSay(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	write(t, source, "package main\n\nfunc main() { println(\"caddy-comet\") }\n")
	program := filepath.Join(dir, "program")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	first := packaged(t, filepath.Join(dir, "first"), "1.0.0", program)
	for line := range strings.Lines(command(t, find(t, "lintian"), "--allow-root", "--display-info", "--pedantic", first)) {
		// In a program of full size there are mistakes in spelling.
		if !strings.HasPrefix(line, "N: ") && !strings.Contains(line, "unused-override spelling-error-in-binary") {
			t.Error(line)
		}
	}

	// The same bytes again.
	second := packaged(t, filepath.Join(dir, "second"), "1.0.0", program)
	archives, err := filepath.Glob(filepath.Join(dir, "first", "*.tar.gz"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("%q (%v)", archives, err)
	}
	command(t, "cmp", first, second)
	command(t, "cmp", archives[0], filepath.Join(dir, "second", filepath.Base(archives[0])))
	list := command(t, "tar", "--list", "--file", archives[0])
	for _, file := range []string{"caddy-comet", "Caddyfile", "caddy-comet.service", "sysusers.conf", "tmpfiles.conf", "LICENSE", "licences.gz", "man/caddy-comet.8.gz", "completion/bash"} {
		if !regexp.MustCompile(`(?m)^caddy-comet-1\.0\.0-linux-[a-z0-9]+/` + regexp.QuoteMeta(file) + `$`).MatchString(list) {
			t.Errorf("the archive has no %s:\n%s", file, list)
		}
	}
}
