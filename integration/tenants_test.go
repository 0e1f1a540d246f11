package integration

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// needRoot leaves a test out where it cannot play several users.
func needRoot(t *testing.T) {
	t.Helper()
	const why = "this test needs root, to play several users"
	switch {
	case os.Geteuid() == 0:
	case os.Getenv("CI") != "":
		t.Fatal(why)
	default:
		t.Skip(why)
	}
}

// asUser returns the credentials of one of Debian's users.
func asUser(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// tmpfiles makes directories as systemd-tmpfiles does with a documented file,
// with our users in the place of those that it names.
func tmpfiles(t *testing.T, config string, users map[string]string) {
	t.Helper()
	for line := range strings.Lines(config) {
		f := strings.Fields(line)
		if len(f) != 6 || f[0] != "d" {
			continue
		}
		mode, err := strconv.ParseUint(f[2], 8, 32)
		if err != nil {
			t.Fatal(err)
		}
		owner, group := asUser(t, users[f[3]]), asUser(t, users[f[4]])
		if err := os.MkdirAll(f[1], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(f[1], int(owner.Uid), int(group.Gid)); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Chmod(f[1], uint32(mode)); err != nil { // os.Chmod has setgid elsewhere
			t.Fatal(err)
		}
	}
}

// homeOf makes a directory for what a server of that user keeps.
func homeOf(t *testing.T, dir, name string) string {
	t.Helper()
	home := filepath.Join(dir, "home-"+name)
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	u := asUser(t, name)
	if err := os.Chown(home, int(u.Uid), int(u.Gid)); err != nil {
		t.Fatal(err)
	}
	return home
}

// TestReferenceForTenants runs the example with several tenants, in the
// directories that stand beside it, with a user for each: each publishes to his
// own hub, by a file and by his socket, and nobody else can.
func TestReferenceForTenants(t *testing.T) {
	needRoot(t)
	const server, shop, forum, stranger = "daemon", "www-data", "games", "backup"
	dir := runDir(t)
	comet := dir + "/comet"
	tmpfiles(t, documented(t, "tmpfiles-tenants", "/run/comet", comet),
		map[string]string{"root": "root", "caddy": server, "shop": shop, "forum": forum})
	site(t, dir)
	fpm(t, dir, 2)
	write(t, filepath.Join(dir, "www", "post.php"),
		documented(t, "php-socket", "/run/comet/shop-publish", comet+"/shop-publish")+"echo $answer ?: curl_error($curl);")

	home := homeOf(t, dir, server)
	listen, apache := port(t), port(t)
	config := documented(t, "tenants",
		"{\n\tcomet {", "{\n\tauto_https off\n\tcomet {", "/run/comet", comet,
		"shop.example {", "http://shop.example:"+listen+" {", "forum.example {", "http://forum.example:"+listen+" {",
		"127.0.0.1:8080", "127.0.0.1:"+apache, "unix//run/php/forum.sock", "unix/"+dir+"/fpm.sock", "/srv/www/forum", dir+"/www")
	serving(t, startCaddy(t, asUser(t, server), home, config))

	curl := func(as string, args ...string) (string, error) {
		cmd := exec.Command("curl", append([]string{"-gsS", "--max-time", "30"}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: asUser(t, as)}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	site := func(name, path string) []string {
		return []string{"--resolve", name + ":" + listen + ":127.0.0.1", "http://" + name + ":" + listen + path}
	}
	// follow polls the shop's hub once, from now on.
	follow := func(t *testing.T) <-chan string {
		t.Helper()
		answered := make(chan string, 1)
		go func() {
			out, err := curl(stranger, site("shop.example", "/comet/orders")...)
			if err != nil {
				out += err.Error()
			}
			answered <- out
		}()
		until(t, "the poll to be held", func() bool { return strings.Contains(adminGet(t, home, "/comet/shop/"), `"held":1`) })
		return answered
	}

	t.Run("the shop's PHP publishes through its socket", func(t *testing.T) {
		answered := follow(t)
		if out, err := curl(stranger, site("forum.example", "/post.php")...); err != nil || !strings.Contains(out, `"receivers":1`) {
			t.Errorf("PHP got %s, %v", out, err)
		}
		if got := <-answered; !strings.Contains(got, `"data":{"id":42}`) {
			t.Errorf("answered %s", got)
		}
	})
	t.Run("the shop's PHP publishes by a file", func(t *testing.T) {
		answered := follow(t)
		cmd := exec.Command("sh", "-c", fmt.Sprintf(`umask 022; echo '{"id":43}' >> %s/shop/orders.jsonl`, comet))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: asUser(t, shop)}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got := <-answered; !strings.Contains(got, `"data":{"id":43}`) {
			t.Errorf("answered %s", got)
		}
	})
	t.Run("nobody else reaches the shop's socket or files", func(t *testing.T) {
		for _, as := range []string{forum, stranger} {
			if out, err := curl(as, "--unix-socket", comet+"/shop-publish/publish.sock", "-d", "x", "http://localhost/orders"); err == nil {
				t.Errorf("%s published: %s", as, out)
			}
			cmd := exec.Command("sh", "-c", "echo x >> "+comet+"/shop/orders.jsonl")
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: asUser(t, as)}
			if cmd.Run() == nil {
				t.Errorf("%s wrote into the shop's files", as)
			}
		}
	})
	t.Run("a touch in one hub is nothing in the other", func(t *testing.T) {
		cmd := exec.Command("touch", comet+"/forum/news.comet")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: asUser(t, forum)}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		until(t, "the forum to have the channel", func() bool { return strings.Contains(adminGet(t, home, "/comet/forum/"), `"news"`) })
		if list := adminGet(t, home, "/comet/shop/"); strings.Contains(list, "news") {
			t.Errorf("the shop has %s", list)
		}
	})
}
