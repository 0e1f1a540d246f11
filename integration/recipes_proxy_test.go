package integration

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// behind starts a server by a recipe's Caddyfile for a proxy in front, which enters
// its socket as www-data, and lays out the site. It returns how to publish a line.
func behind(t *testing.T, dir, recipe string) (publish func(line string)) {
	t.Helper()
	needRoot(t)
	comet := dir + "/comet"
	tmpfiles(t, fmt.Sprintf("d %[1]s 0755 root root -\nd %[1]s/example 2750 www-data caddy -\nd %[1]s/nginx 2750 caddy www-data -\nd %[1]s/apache 2750 caddy www-data -\n", comet),
		map[string]string{"root": "root", "caddy": "daemon", "www-data": "www-data"})
	site(t, dir)
	write(t, dir+"/www/live.html", fmt.Sprintf(livePage, "comet.js"))
	home := homeOf(t, dir, "daemon")
	serving(t, startCaddy(t, asUser(t, "daemon"), home, documented(t, recipe, "/run/comet", comet)))
	return func(line string) {
		t.Helper()
		cmd := exec.Command("sh", "-c", `echo "$1" >> "$2"`, "sh", line, comet+"/example/orders.jsonl")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// throughProxy follows by an event stream and by each way of comet.js.
func throughProxy(t *testing.T, base string, publish func(line string)) {
	t.Helper()
	next := follow(t, base+"/comet/orders")
	publish(`{"id":1}`)
	if got := next(); got != `{"id":1}` {
		t.Errorf("the line is told as %s", got)
	}
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it
	for i, c := range []struct{ options, transport string }{{"{}", "websocket"}, {"{transports: ['sse']}", "sse"}, {"{transports: ['poll']}", "poll"}} {
		t.Run("comet.js goes by "+c.transport, func(t *testing.T) {
			tab, leave := chromedp.NewContext(chromium)
			defer leave()
			s := &live{base: base}
			s.follow(t, tab, "/live.html", c.options, "orders")
			opened(t, tab, c.transport)
			publish(fmt.Sprintf(`{"id":%d}`, i+2))
			until(t, "the line to arrive", func() bool { return script[int](t, tab, "got.length") == 1 })
			opened(t, tab, c.transport)
		})
	}
}

// TestTheNginxRecipeWorks: one that has no PHP of ours, with WebSockets.
func TestTheNginxRecipeWorks(t *testing.T) {
	dir := runDir(t)
	publish := behind(t, dir, "nginx-recipe-comet")
	listen := port(t)
	nginx(t, dir, listen, documented(t, "nginx-recipe-http", "/run/comet", dir+"/comet"),
		fmt.Sprintf("root %s/www;\n", dir)+documented(t, "nginx-recipe-server"))
	throughProxy(t, "http://127.0.0.1:"+listen, publish)

	file := dir + "/events.conf"
	write(t, file, documented(t, "nginx-recipe-events")+"http {}\n")
	if out, err := exec.Command(find(t, "nginx"), "-t", "-c", file, "-g", "pid "+dir+"/t.pid; error_log stderr;").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestTheApacheRecipeWorks: Apache in front, by mod_proxy and with WebSockets.
func TestTheApacheRecipeWorks(t *testing.T) {
	t.Parallel()
	dir := runDir(t)
	publish := behind(t, dir, "apache-behind")
	listen := port(t)
	var config strings.Builder
	fmt.Fprintf(&config, "ServerRoot %[1]s\nPidFile %[1]s/apache.pid\nServerName site.example\nErrorLog %[1]s/apache.log\nMutex file:%[1]s\nListen 127.0.0.1:%[2]s\n", dir, listen)
	for _, m := range []string{"mpm_event", "authz_core", "dir", "mime", "deflate", "filter", "setenvif", "env", "headers", "proxy", "proxy_http"} {
		fmt.Fprintf(&config, "LoadModule %s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", m)
	}
	fmt.Fprintf(&config, "User www-data\nGroup www-data\nTypesConfig /etc/mime.types\nDocumentRoot %[1]s/www\n<Directory %[1]s/www>\n\tAllowOverride None\n\tRequire all granted\n</Directory>\nAddOutputFilterByType DEFLATE text/html text/event-stream application/json\n", dir)
	config.WriteString(documented(t, "apache-event") + documented(t, "apache-proxy", "/run/comet", dir+"/comet"))
	file := dir + "/apache.conf"
	write(t, file, config.String())
	start(t, nil, find(t, "apache2"), "-f", file, "-D", "FOREGROUND")
	until(t, "Apache to listen", listening("tcp", "127.0.0.1:"+listen))
	throughProxy(t, "http://127.0.0.1:"+listen, publish)
	if got := status(t, "http://127.0.0.1:"+listen+"/comet/orders?wait=0", "Accept-Encoding", "gzip"); got != http.StatusOK {
		t.Errorf("a poll is answered with %d", got)
	}
}

// TestTheApacheRecipeMovesTheSite: its sed finds what Debian delivers.
func TestTheApacheRecipeMovesTheSite(t *testing.T) {
	dir := runDir(t)
	folders(t, dir+"/sites-available")
	for _, name := range []string{"ports.conf", "sites-available/000-default.conf", "sites-available/default-ssl.conf"} {
		b, err := os.ReadFile("/etc/apache2/" + name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/"+name, string(b))
	}
	var seds strings.Builder
	for line := range strings.Lines(documented(t, "sh-apache-front", "/etc/apache2", dir)) {
		if strings.HasPrefix(line, "sed ") {
			seds.WriteString(line)
		}
	}
	if out, err := exec.Command("bash", "-euc", seds.String()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ports, err := exec.Command("grep", "-rhE", `^\s*(Listen|<VirtualHost)`, dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(ports), "Listen") != 1 || !strings.Contains(string(ports), "Listen 127.0.0.1:8080\n") || !strings.Contains(string(ports), "<VirtualHost *:8080>") {
		t.Errorf("Apache is left with %q", ports)
	}
}

// TestTheCDNRecipeWorks: a visitor's address is what the CDN says, and nobody else.
func TestTheCDNRecipeWorks(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	fpm(t, dir, 1)
	listen := port(t)
	own := documented(t, "cdn", "173.245.48.0/20", "127.0.0.2/32", "max_holds_per_ip 300", "max_holds_per_ip 1",
		"example.com", "http://127.0.0.1:"+listen, "/srv/www/example", dir+"/www", "unix//run/php/php-fpm.sock", "unix/"+dir+"/fpm.sock")
	caddy(t, dir, strings.Replace(own, "{\n", "{\n\tauto_https off\n", 1))
	base := "http://127.0.0.1:" + listen
	// curl says from which address it asks.
	curl := func(from, visitor string, args ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), "curl", append([]string{"-s", "--interface", from, "-H", "CF-Connecting-IP: " + visitor}, args...)...)
	}
	for _, c := range []struct{ from, want string }{{"127.0.0.2", "203.0.113.9"}, {"127.0.0.3", "127.0.0.3"}} {
		out, err := curl(c.from, "203.0.113.9", base+"/see.php").Output()
		if err != nil || !strings.Contains(string(out), `"REMOTE_ADDR":"`+c.want+`"`) {
			t.Errorf("from %s PHP sees %s, %v", c.from, out, err)
		}
	}
	// Each visitor of the CDN has the one hold that an address may have.
	count := held(t, dir, "native")
	for i, visitor := range []string{"203.0.113.1", "203.0.113.2", "2001:db8::1"} {
		cmd := curl("127.0.0.2", visitor, base+"/comet/orders")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		until(t, "the visitor to be held", func() bool { return count() == i+1 })
	}
	out, err := curl("127.0.0.2", "203.0.113.1", "-o", "/dev/null", "-w", "%{http_code}", base+"/comet/orders").Output()
	if err != nil || string(out) != "503" {
		t.Errorf("who has his share is told %s, %v", out, err)
	}
}
