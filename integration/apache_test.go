package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// apache starts an Apache with mod_php on dir/www, with README's lines for it.
func apache(t *testing.T, dir, listen string) *process {
	t.Helper()
	module, _ := filepath.Glob("/usr/lib/apache2/modules/libphp*.so")
	if len(module) == 0 {
		t.Fatal("mod_php is missing; integration/install.sh apache installs it")
	}
	var config strings.Builder
	fmt.Fprintf(&config, "ServerRoot %[1]s\nPidFile %[1]s/apache.pid\nServerName site.example\nErrorLog %[1]s/apache.log\nMutex file:%[1]s\n", dir)
	for _, m := range []string{"mpm_prefork", "authz_core", "dir", "mime", "rewrite", "remoteip", "setenvif", "env"} {
		fmt.Fprintf(&config, "LoadModule %s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", m)
	}
	fmt.Fprintf(&config, "LoadModule php_module %s\n", module[len(module)-1])
	if os.Geteuid() == 0 {
		config.WriteString("User www-data\nGroup www-data\n")
	}
	fmt.Fprintf(&config, `TypesConfig /etc/mime.types
DocumentRoot %[1]s/www
DirectoryIndex index.php index.html
<Directory %[1]s/www>
	AllowOverride All
	Require all granted
</Directory>
<FilesMatch "^\.">
	Require all denied
</FilesMatch>
<FilesMatch \.php$>
	SetHandler application/x-httpd-php
</FilesMatch>
StartServers 2
MinSpareServers 1
MaxSpareServers 2
MaxRequestWorkers 2
%[2]s`, dir, documented(t, "apache", "127.0.0.1:8080", "127.0.0.1:"+listen))
	file := filepath.Join(dir, "apache.conf")
	write(t, file, config.String())
	p := start(t, nil, find(t, "apache2"), "-f", file, "-D", "FOREGROUND")
	until(t, "Apache to listen", listening("tcp", "127.0.0.1:"+listen))
	return p
}

// TestReadmeForApache runs README's part (b): the site is the same as Apache
// alone serves it, .htaccess included, polls are held, and PHP sees the visitor.
func TestReadmeForApache(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	behind, listen, tls, direct := port(t), port(t), port(t), port(t)
	apache(t, dir, behind)
	change := []string{"/run/comet/example", dir + "/run", "127.0.0.1:8080", "127.0.0.1:" + behind}
	front := documented(t, "apache-front", append(change, "example.com {", "http://site.example:"+listen+" {\n\tbind 127.0.0.1")...)
	secure := documented(t, "apache-front", append(change, "example.com {", "https://site.example:"+tls+" {\n\tbind 127.0.0.1\n\ttls internal")...)
	caddy(t, dir, fmt.Sprintf(`{
	auto_https disable_redirects
	skip_install_trust
}
%s
%s
http://site.example:%s {
	bind 127.0.0.1
	reverse_proxy 127.0.0.1:%s
}
`, front, secure, direct, behind))

	sameWithAndWithout(t, "http://127.0.0.1:"+listen, "http://127.0.0.1:"+direct, "site.example")

	see := func(t *testing.T, args ...string) map[string]any {
		t.Helper()
		out, err := exec.Command("curl", append([]string{"-sk", "--resolve", "site.example:" + tls + ":127.0.0.1",
			"--resolve", "site.example:" + listen + ":127.0.0.1", "--interface", "127.0.0.2"}, args...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		var seen struct{ Server map[string]any }
		if err := json.Unmarshal(out, &seen); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return seen.Server
	}
	t.Run("PHP sees the visitor's address and https", func(t *testing.T) {
		seen := see(t, "https://site.example:"+tls+"/pretty/page")
		for name, want := range map[string]any{"REMOTE_ADDR": "127.0.0.2", "HTTPS": "on", "HTTP_HOST": "site.example:" + tls, "QUERY_STRING": "pretty=page"} {
			if seen[name] != want {
				t.Errorf("%s is %v, not %v", name, seen[name], want)
			}
		}
	})
	t.Run("a visitor cannot forge them", func(t *testing.T) {
		seen := see(t, "-H", "X-Forwarded-For: 203.0.113.9", "-H", "X-Forwarded-Proto: https", "http://site.example:"+listen+"/see.php")
		if seen["REMOTE_ADDR"] != "127.0.0.2" || seen["HTTPS"] != nil {
			t.Errorf("REMOTE_ADDR is %v, HTTPS %v", seen["REMOTE_ADDR"], seen["HTTPS"])
		}
	})

	t.Run("a hundred polls are held with two workers, and a touch by PHP wakes them", func(t *testing.T) {
		all := pollers(100)
		wait := everybody(t, all, func(p *poller) error {
			req, _ := http.NewRequest("GET", "http://127.0.0.1:"+listen+"/comet.php?subscribed[news]=0", nil)
			req.Host = "site.example"
			res, err := p.client.Do(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			var got struct{ K map[string]int64 }
			if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.K["news"] == 0 {
				return fmt.Errorf("answered %v, %v", got, err)
			}
			return nil
		})
		count := held(t, dir, "novcomet")
		until(t, "all to be held", func() bool { return count() == len(all) })
		if out, err := exec.Command("curl", "-s", "-H", "Host: site.example", "http://127.0.0.1:"+listen+"/comet.php?publish=news").Output(); err != nil || string(out) != "true" {
			t.Fatalf("PHP's publish answered %s, %v", out, err)
		}
		wait()
	})
}
