package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The users of Debian who play those of the page.
const (
	hostServer = "daemon"
	hostShop   = "www-data"
	hostForum  = "games"
)

// hosting is the page docs/hosting.md, as it stands there, with our users.
type hosting struct {
	t                         *testing.T
	dir, comet, home, listen  string
	server                    *process
	directory, socket, victim string
}

func newHosting(t *testing.T) *hosting {
	t.Helper()
	needRoot(t)
	dir := runDir(t)
	h := &hosting{t: t, dir: dir, comet: dir + "/comet", listen: port(t)}
	h.directory, h.socket, h.victim = h.comet+"/"+hostForum, h.comet+"/publish/"+hostShop+".sock", h.comet+"/"+hostShop
	users := map[string]string{"root": "root", "caddy": hostServer, hostShop: hostShop, hostForum: hostForum}
	tmpfiles(t, documented(t, "tmpfiles-hosting", "/run/comet", h.comet, "shop", hostShop, "forum", hostForum), users)

	// As the page has it: the forum's pool is the shop's with another name.
	shop := documented(t, "conf-hosting-pool", "/run/php/", dir+"/", "/run/comet", h.comet, "/srv/www/", dir+"/www/", "caddy", hostServer,
		"shop", hostShop)
	config := "[global]\nerror_log = " + dir + "/fpm.log\ndaemonize = no\n" + shop + strings.ReplaceAll(shop, hostShop, hostForum)
	write(t, dir+"/fpm.conf", config)
	for _, name := range []string{hostShop, hostForum} {
		www, u := filepath.Join(dir, "www", name), asUser(t, name)
		if err := os.MkdirAll(www, 0o755); err != nil {
			t.Fatal(err)
		}
		client, err := os.ReadFile("../php/Comet.php")
		if err != nil {
			t.Fatal(err)
		}
		write(t, www+"/Comet.php", string(client))
		write(t, www+"/post.php", documented(t, "php-hosting", "/run/comet", h.comet, "shop", hostShop))
		write(t, www+"/id.php", "<?php echo get_current_user(), ' ', posix_geteuid() === "+fmt.Sprint(u.Uid)+" ? 'itself' : 'another';")
	}
	start(t, nil, find(t, "php-fpm[0-9]*", "php-fpm"), "--nodaemonize", "--fpm-config", dir+"/fpm.conf")
	until(t, "php-fpm to listen", listening("unix", dir+"/"+hostForum+".sock"))

	h.home = homeOf(t, dir, hostServer)
	h.server = startCaddy(t, asUser(t, hostServer), h.home, documented(t, "hosting",
		"/run/comet/admin", h.home, "/run/comet", h.comet, "/run/php", dir, "/srv/www", dir+"/www", "{\n\t# Whoever", "{\n\tauto_https off\n\t# Whoever",
		"import hub shop", "import hub "+hostShop, "import hub forum", "import hub "+hostForum,
		"import site shop shop.example", "import site "+hostShop+" http://shop.example:"+h.listen,
		"import site forum forum.example", "import site "+hostForum+" http://forum.example:"+h.listen))
	serving(t, h.server)
	return h
}

// as runs a command as a user.
func (h *hosting) as(user, command string) (string, error) {
	cmd := exec.Command("sh", "-c", "umask 022; "+command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: asUser(h.t, user)}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must is as for what may not fail.
func (h *hosting) must(user, command string) string {
	h.t.Helper()
	out, err := h.as(user, command)
	if err != nil {
		h.t.Fatalf("%s: %v: %s", command, err, out)
	}
	return out
}

func (h *hosting) visit(site, path string) string {
	return fmt.Sprintf("curl -gsS --max-time 60 --resolve %s:%s:127.0.0.1 http://%s:%s%s", site, h.listen, site, h.listen, path)
}

// delivers has a visitor of the shop wait, and what is done publish to him.
func (h *hosting) delivers(what, want string, act func()) {
	h.t.Helper()
	answered := make(chan string, 1)
	go func() {
		out, _ := h.as(hostForum, h.visit("shop.example", "/comet/orders"))
		answered <- out
	}()
	until(h.t, "the visitor to be held", func() bool { return strings.Contains(adminGet(h.t, h.home, "/comet/"+hostShop+"/"), `"held":1`) })
	act()
	if got := <-answered; !strings.Contains(got, want) {
		h.t.Errorf("%s: the visitor got %s", what, got)
	}
}

// publishes has the shop publish in each of its ways.
func (h *hosting) publishes() {
	h.t.Helper()
	h.delivers("PHP's POST", `"data":{"id":42}`, func() {
		if out := h.must(hostForum, h.visit("shop.example", "/post.php")); out != "published" {
			h.t.Errorf("the shop's PHP got %s", out)
		}
	})
	h.delivers("a line of a file", `"data":{"id":43}`, func() { h.must(hostShop, `echo '{"id":43}' >> `+h.victim+"/orders.jsonl") })
	h.delivers("a touch", `"channel":"orders"`, func() { h.must(hostShop, "touch "+h.victim+"/orders.comet") })
}

// TestTheHostingPageWorks as a new administrator would go through it.
func TestTheHostingPageWorks(t *testing.T) {
	h := newHosting(t)
	if out := h.must(hostForum, h.visit("shop.example", "/id.php")); !strings.HasSuffix(out, " itself") {
		t.Errorf("the shop's PHP runs as %s", out)
	}
	h.publishes()
	try := documented(t, "sh-hosting-try", "/run/comet", h.comet, "=shop", "="+hostShop, "/shop.sock", "/"+hostShop+".sock", "=forum", "="+hostForum)
	out, err := exec.Command("sh", "-c", try).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(lines) != 2 || !strings.HasPrefix(lines[0], `{"channel":"orders","cursor":"`) ||
		!strings.Contains(lines[1], fmt.Sprintf("the user with the number %d may not publish here", asUser(t, hostForum).Uid)) {
		t.Errorf("%v: %s", err, out)
	}
	if out, _ := exec.Command("curl", "-sS", "--unix-socket", h.socket, "-d", "x", "http://localhost/orders").CombinedOutput(); !strings.Contains(string(out), "the user with the number 0 may not publish here") {
		t.Errorf("root got %s", out)
	}
}

// TestAHostileTenantGetsNothing: the forum does what it can to publish in the shop's
// hub, to read what is the shop's, and to have the server stand still; the shop
// publishes as before.
func TestAHostileTenantGetsNothing(t *testing.T) {
	h := newHosting(t)
	log := func(words ...string) {
		t.Helper()
		until(t, "the log to say "+strings.Join(words, " … "), func() bool {
			for line := range strings.Lines(h.server.out.String()) {
				all := true
				for _, word := range words {
					all = all && strings.Contains(line, word)
				}
				if all {
					return true
				}
			}
			return false
		})
	}
	// afterwards waits until the server has looked at what was there before.
	marks := 0
	afterwards := func(t *testing.T) {
		t.Helper()
		marks++
		mark := fmt.Sprintf("mark%d", marks)
		h.must(hostForum, "touch "+h.directory+"/"+mark+".comet")
		until(t, mark, func() bool { return strings.Contains(adminGet(t, h.home, "/comet/"+hostForum+"/"+mark), `"history":1`) })
	}
	const secret = "the-secret-of-the-shop"

	t.Run("the shop's events at the forum's site", func(t *testing.T) {
		h.t = t
		h.must(hostShop, "echo '\""+secret+"\"' >> "+h.victim+"/inbox.jsonl")
		until(t, "the event", func() bool { return strings.Contains(adminGet(t, h.home, "/comet/"+hostShop+"/inbox"), `"history":1`) })
		var a struct{ Cursor string }
		at := h.must(hostForum, h.visit("shop.example", "/comet/inbox?wait=0"))
		if err := json.Unmarshal([]byte(at), &a); err != nil {
			t.Fatalf("%v: %s", err, at)
		}
		theirs, _, _ := strings.Cut(a.Cursor, ".")
		if out := h.must(hostForum, h.visit("shop.example", "/comet/inbox?wait=0\\&since="+theirs+".0")); !strings.Contains(out, secret) {
			t.Fatalf("the shop's own visitor, with such a cursor, gets %s", out)
		}
		if err := json.Unmarshal([]byte(h.must(hostForum, h.visit("forum.example", "/comet/inbox?wait=0"))), &a); err != nil {
			t.Fatal(err)
		}
		ours, _, _ := strings.Cut(a.Cursor, ".")
		for _, channels := range []string{"inbox", hostShop + "/inbox", "../" + hostShop + "/inbox", "..%2f" + hostShop + "%2finbox", hostShop + "%00inbox", "inbox@" + hostShop, hostShop + ":inbox", "*", "%2a"} {
			for _, since := range []string{theirs + ".0", theirs + ".1", ours + ".0", ours + ".1", "0.0", "0", "-1"} {
				for _, more := range []string{"", "-H 'X-Forwarded-Host: shop.example'", "-H 'Forwarded: host=shop.example'", "-H 'X-Original-URI: //shop.example/comet/inbox'"} {
					if out := h.must(hostForum, h.visit("forum.example", "/comet/"+channels+"?wait=0\\&since="+since)+" --path-as-is "+more); strings.Contains(out, secret) {
						t.Errorf("%s since %s %s: %s", channels, since, more, out)
					}
				}
			}
		}
	})
	before := adminGet(t, h.home, "/comet/"+hostShop+"/")
	t.Run("the shop's socket", func(t *testing.T) {
		for _, more := range []string{"", "-H 'Host: shop.example'", "-H 'Authorization: Bearer 0123456789abcdef'", "-H 'X-Forwarded-User: " + hostShop + "'", "-X DELETE", "-G"} {
			for _, path := range []string{"orders", hostShop + "/orders", "../" + hostShop + "/orders"} {
				if out := h.must(hostForum, "curl -sS --path-as-is --unix-socket "+h.socket+" "+more+" -d x http://localhost/"+path); !strings.Contains(out, "may not publish here") {
					t.Errorf("%s %s: %s", more, path, out)
				}
			}
		}
	})
	t.Run("the shop's hub by its own socket", func(t *testing.T) {
		own := h.comet + "/publish/" + hostForum + ".sock"
		for _, more := range []string{"-H 'Host: shop.example'", "-H 'Host: " + hostShop + "'"} {
			for _, path := range []string{"theirs", hostShop + "/theirs", "../" + hostShop + "/theirs", "comet/" + hostShop + "/theirs"} {
				h.must(hostForum, "curl -sS --path-as-is --unix-socket "+own+" "+more+" -d x http://localhost/"+path)
			}
		}
	})
	t.Run("the shop's PHP, its files and the admin endpoint", func(t *testing.T) {
		for _, command := range []string{
			"curl -sS --unix-socket " + h.dir + "/" + hostShop + ".sock http://localhost/", "ls " + h.victim, "echo x >> " + h.victim + "/orders.jsonl",
			"mv " + h.directory + " " + h.directory + "2", "ln -sfT " + h.victim + " " + h.directory, "rm " + h.socket, "mv " + h.socket + " " + h.socket + "2",
			"curl -sS --unix-socket " + h.home + "/admin.sock http://localhost/comet/",
		} {
			if out, err := h.as(hostForum, command); err == nil {
				t.Errorf("%s: %s", command, out)
			}
		}
	})
	t.Run("the shop's PHP files in the opcache", func(t *testing.T) {
		shop := filepath.Join(h.dir, "www", hostShop)
		config := shop + "/config.php"
		write(t, config, "<?php return '"+secret+"';")
		write(t, shop+"/uses.php", "<?php echo require 'config.php';")
		write(t, filepath.Join(h.dir, "www", hostForum, "steal.php"), "<?php var_dump(@include '"+config+"', function_exists('opcache_reset') && @opcache_reset());")
		if err := os.Chown(config, int(asUser(t, hostShop).Uid), -1); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(config, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(config, time.Now(), time.Now().Add(-time.Hour)); err != nil { // what is new is not cached
			t.Fatal(err)
		}
		for range 2 {
			if out := h.must(hostForum, h.visit("shop.example", "/uses.php")); out != secret {
				t.Fatalf("the shop's own page says %s", out)
			}
		}
		if out := h.must(hostForum, h.visit("forum.example", "/steal.php")); out != "bool(false)\nbool(false)\n" {
			t.Errorf("the forum's PHP gets %s", out)
		}
	})
	if now := adminGet(t, h.home, "/comet/"+hostShop+"/"); now != before {
		t.Errorf("the shop's hub was %s and is %s", before, now)
	}
	t.Run("links and a FIFO", func(t *testing.T) {
		// All of it can be read by the server, and some of it by everybody.
		h.must(hostShop, "echo "+secret+" > "+h.victim+"/page.jsonl")
		write(t, h.home+"/server.txt", secret+"\n")
		h.must(hostForum, fmt.Sprintf(`cd %s
			ln -s %s/page.jsonl absolute.jsonl
			ln -s ../%s/page.jsonl relative.jsonl
			ln -s ../../home-%s/server.txt server.jsonl
			ln -s /etc/passwd passwd.jsonl
			ln -s .. up
			ln -s up/%s/page.jsonl through.jsonl
			mkfifo fifo.jsonl fifo.comet
			echo first > own.jsonl`, h.directory, h.victim, hostShop, hostServer, hostShop))
		// Where the kernel does not forbid a link to another's file.
		if err := os.Link(h.victim+"/page.jsonl", h.directory+"/hard.jsonl"); err != nil {
			t.Fatal(err)
		}
		if out, err := h.as(hostForum, "ln /etc/passwd "+h.directory+"/linked.jsonl"); err == nil {
			t.Logf("fs.protected_hardlinks is off: %s", out)
		}
		for _, name := range []string{"absolute", "relative", "server", "passwd", "through"} {
			log("symlink that leaves the directory and is not followed", "/"+name+".jsonl")
		}
		log("belongs to another user than the watch's owner", "/hard.jsonl", "chown -h "+hostForum)
		afterwards(t)
		h.must(hostShop, "echo "+secret+" >> "+h.victim+"/page.jsonl") // news for whoever follows a link
		afterwards(t)
		all := adminGet(t, h.home, "/comet/"+hostForum+"/")
		for _, name := range []string{"absolute", "relative", "server", "passwd", "through", "fifo", "hard", "linked"} {
			if strings.Contains(all, `"`+name+`"`) {
				t.Errorf("the forum has the channel %s: %s", name, all)
			}
		}
		if !strings.Contains(all, `"own"`) {
			t.Errorf("the forum's own file is not read: %s", all)
		}
		h.t = t
		h.publishes()
	})
	t.Run("a hundred thousand files", func(t *testing.T) {
		h.t = t
		flood := make(chan error, 1)
		go func() {
			_, err := h.as(hostForum, "cd "+h.directory+" && seq -f flood%.0f.comet 100100 | xargs touch")
			flood <- err
		}()
		h.publishes()
		if err := <-flood; err != nil {
			t.Fatal(err)
		}
		log("too many files match", h.directory)
		h.publishes()
	})
	if strings.Contains(h.server.out.String(), secret) {
		t.Error("the log has the secret")
	}
	if out := adminGet(t, h.home, "/comet/"+hostForum+"/"); strings.Contains(out, secret) {
		t.Error("the forum has the secret")
	}
}
