package integration

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// diagnosis is what `caddy comet doctor --json` says.
type diagnosis struct {
	Verdict  string
	Findings []struct{ Check, Verdict, Seen, Cure, Page string }
	code     int
}

// has looks for a finding with a part of its sentence and of its cure.
func (d *diagnosis) has(t *testing.T, check, verdict, seen, cure string) {
	t.Helper()
	for _, f := range d.Findings {
		if f.Check == check && f.Verdict == verdict && strings.Contains(f.Seen, seen) && strings.Contains(f.Cure, cure) {
			return
		}
	}
	t.Errorf("%s has no %s %q, %q in\n%+v", check, verdict, seen, cure, d.Findings)
}

// cure is what is to be typed against the only finding of a kind.
func (d *diagnosis) cure(t *testing.T, check, verdict string) string {
	t.Helper()
	for _, f := range d.Findings {
		if f.Check == check && f.Verdict == verdict {
			return f.Cure
		}
	}
	t.Fatalf("%s has no %s in\n%+v", check, verdict, d.Findings)
	return ""
}

// doctor examines the server whose admin socket is in dir.
func doctor(t *testing.T, user *syscall.Credential, dir string, args ...string) *diagnosis {
	t.Helper()
	args = append([]string{"comet", "doctor", "--json", "--wait", "1s", "--address", "unix/" + dir + "/admin.sock", "--fpm-config", filepath.Dir(dir) + "/*/fpm.conf"}, args...)
	cmd := exec.Command(binary, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	cmd.Dir = "/"
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	d := &diagnosis{code: cmd.ProcessState.ExitCode()}
	if err := json.Unmarshal(out.Bytes(), d); err != nil {
		t.Fatalf("%v: %s %s", err, out.String(), errs.String())
	}
	return d
}

// TestTheDoctorFindsAHealthySiteHealthy, with PHP behind it, and what is not as it
// should be when that is so.
func TestTheDoctorFindsAHealthySiteHealthy(t *testing.T) {
	needRoot(t)
	dir, listen, publish := runDir(t), port(t), port(t)
	site(t, dir)
	write(t, filepath.Join(dir, "www", "lock.php"), `<?php session_start(); usleep(600000); echo 'done';`)
	write(t, filepath.Join(dir, "www", "free.php"), `<?php session_start(['read_and_close' => true]); usleep(600000); echo 'done';`)
	pool := fpm(t, dir, 4)
	home := homeOf(t, dir, "daemon")
	caddyfile := fmt.Sprintf(`{
	auto_https off
}
http://127.0.0.1:%[1]s {
	comet /comet/* {
		watch %[2]s/run/*.comet
		watch %[2]s/run/*.jsonl lines
		watch %[2]s/run/*.txt content
	}
	comet /comet.php* novcomet
%[3]s}
http://127.0.0.1:%[4]s, http://localhost:%[4]s {
	bind 127.0.0.1
	comet_publish
}
`, listen, dir, phpSite(dir), publish)
	server := startCaddy(t, asUser(t, "daemon"), home, caddyfile)
	serving(t, server)
	base := "http://127.0.0.1:" + listen
	examine := func(args ...string) *diagnosis {
		t.Helper()
		return doctor(t, nil, home, append(args, "--fpm-config", dir+"/fpm.conf")...)
	}

	t.Run("a healthy one", func(t *testing.T) {
		d := examine(base)
		d.has(t, "server", "ok", "the server runs as daemon", "")
		d.has(t, "files", "ok", "PHP's user www-data can write in "+dir+"/run", "")
		for _, f := range d.Findings {
			if f.Verdict == "fail" {
				t.Errorf("%+v", f)
			}
			if f.Page == "" && f.Verdict == "warn" {
				t.Errorf("a warning without a page: %+v", f)
			}
		}
		touches := 0
		for _, f := range d.Findings {
			if f.Check == "touch" && f.Verdict == "ok" && strings.Contains(f.Seen, "by ") {
				touches++
			}
		}
		if touches != 3 {
			t.Errorf("%d of the three kinds of watches were told of:\n%+v", touches, d.Findings)
		}
		d.has(t, "publish", "ok", "the publish endpoint at 127.0.0.1:"+publish+" answers", "")
		d.has(t, "php", "ok", "runs as www-data", "")
		d.has(t, "reach", "ok", "comes to a comet line (native)", "")
		d.has(t, "streaming", "ok", "one by one", "")
		d.has(t, "address", "ok", "127.0.0.1", "")
		if left, _ := filepath.Glob(dir + "/run/*doctor*"); len(left) > 0 {
			t.Errorf("it left %v", left)
		}
		if d.code != 0 && d.code != 1 {
			t.Errorf("the exit code is %d", d.code)
		}
	})
	t.Run("a session that is locked, and one that is not", func(t *testing.T) {
		examine(base, "--page", "/lock.php").has(t, "session", "warn", "two requests of one visitor to /lock.php wait for each other", "read_and_close")
		examine(base, "--page", "/free.php").has(t, "session", "ok", "do not wait for each other", "")
	})
	t.Run("nobody may use the socket but the server's user and root", func(t *testing.T) {
		d := doctor(t, asUser(t, "games"), home)
		d.has(t, "server", "fail", "is not for the user games", "sudo caddy comet doctor")
		if d.code != 2 {
			t.Errorf("the exit code is %d", d.code)
		}
	})
	t.Run("a directory in which PHP cannot write, until its cure is typed", func(t *testing.T) {
		if err := os.Chown(dir+"/run", 0, 0); err != nil {
			t.Fatal(err)
		}
		d := examine()
		d.has(t, "files", "fail", "PHP's user www-data cannot write in "+dir+"/run", "install -d -o www-data -g daemon -m 2750 "+dir+"/run")
		if out, err := exec.Command("sh", "-c", d.cure(t, "files", "fail")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		d = examine()
		d.has(t, "files", "ok", "PHP's user www-data can write in "+dir+"/run", "")
		d.has(t, "touch", "ok", dir+"/run", "")
	})
	t.Run("a directory that is missing, until its cure is typed", func(t *testing.T) {
		if err := os.RemoveAll(dir + "/run"); err != nil {
			t.Fatal(err)
		}
		d := examine()
		d.has(t, "files", "fail", "the watched directory "+dir+"/run is not there", "install -d -o www-data -g daemon")
		if out, err := exec.Command("sh", "-c", d.cure(t, "files", "fail")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		until(t, "the directory to be found again", func() bool { return strings.Contains(adminGet(t, home, "/comet/"), `"mode":"`) })
		examine().has(t, "files", "ok", "PHP's user www-data can write", "")
	})
	t.Run("php-fpm that is down", func(t *testing.T) {
		pool.stop()
		examine().has(t, "php", "fail", "php-fpm cannot be reached", "systemctl start")
	})
	t.Run("a server that is down", func(t *testing.T) {
		server.stop()
		d := examine()
		d.has(t, "server", "fail", "no server answers at the admin endpoint", "systemctl start caddy-comet")
		d = examine(base)
		d.has(t, "server", "warn", "only what can be seen from outside is checked", "")
		d.has(t, "reach", "fail", "nobody listens at 127.0.0.1:"+listen, "")
	})
}

// TestTheDoctorNamesTheProxyThatHoldsBack, cuts, and says nothing of visitors; and
// finds nothing of that where it is set up as documented.
func TestTheDoctorNamesTheProxyThatHoldsBack(t *testing.T) {
	dir, behind := runDir(t), port(t)
	caddy(t, dir, fmt.Sprintf(`{
	auto_https off
	servers {
		trusted_proxies static 127.0.0.1
	}
}
http://127.0.0.1:%[2]s {
	bind 127.0.0.1
	comet /comet/*
	php_fastcgi unix/%[1]s/fpm.sock {
		env REMOTE_ADDR {client_ip}
	}
}
`, dir, behind))
	location := func(lines string) string {
		return "location / {\nproxy_pass http://127.0.0.1:" + behind + ";\n" + lines + "\n}\n"
	}
	const says = "proxy_set_header Host $http_host;\nproxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
	for _, c := range []struct {
		name, lines                string
		check, verdict, seen, cure string
	}{
		{"as it should be", says, "streaming", "ok", "one by one", ""},
		{"as it should be", says, "address", "ok", "127.0.0.1, and not the proxy's", ""},
		{"one that collects", says + "proxy_buffering on;\nproxy_ignore_headers X-Accel-Buffering;", "streaming", "fail", "events are held back on the way by nginx: of 5 events 200 ms apart, none came", "proxy_buffering off;"},
		{"one that cuts", says + "proxy_read_timeout 1s;", "silence", "fail", "a silent request was cut after", "proxy_read_timeout 5m;"},
		{"one that knows no WebSockets", says, "websocket", "warn", "WebSockets do not come through by nginx", "proxy_set_header Upgrade $http_upgrade;"},
		{"one that knows WebSockets", says + "proxy_http_version 1.1;\n" + documented(t, "nginx-websocket"), "websocket", "ok", "comes through", ""},
		{"one that names nobody", "proxy_set_header Host $http_host;", "address", "warn", "does not say who the visitor is", "X-Forwarded-For"},
		{"one that asks by its own name", "proxy_set_header X-Forwarded-For $remote_addr;\nproxy_set_header Host backend.example;", "reach", "fail", "by something else than a comet line", ""},
		{"one whose server is gone", "proxy_pass http://127.0.0.1:9;", "reach", "fail", "502 Bad Gateway: the proxy there does not reach", "nginx"},
	} {
		t.Run(c.name+", "+c.check, func(t *testing.T) {
			t.Parallel()
			through := port(t)
			text := location(c.lines)
			if strings.HasPrefix(c.lines, "proxy_pass") {
				text = "location / {\n" + c.lines + "\n}\n"
			}
			nginx(t, dir, through, documented(t, "nginx-map"), text)
			d := doctor(t, nil, dir, "--wait", "3s", "http://127.0.0.1:"+through)
			d.has(t, c.check, c.verdict, c.seen, c.cure)
		})
	}
}

// TestTheDoctorReadsCertificates: for another name, too old, of nobody known, and a
// good one.
func TestTheDoctorReadsCertificates(t *testing.T) {
	dir, listen := runDir(t), port(t)
	authority, key := certificate(t, dir, "authority", nil, nil, time.Now().Add(time.Hour), "authority")
	for name, c := range map[string]struct {
		host, seen, verdict string
		until               time.Time
		known               bool
	}{
		"good":           {"localhost", "comes to a comet line", "ok", time.Now().Add(time.Hour), true},
		"another name":   {"other.example", "is for other.example, not for this name", "fail", time.Now().Add(time.Hour), true},
		"too old":        {"localhost", "and now it is not", "fail", time.Now().Add(-time.Hour), true},
		"nobody's known": {"localhost", "is signed by nobody whom this machine trusts", "fail", time.Now().Add(time.Hour), false},
	} {
		t.Run(name, func(t *testing.T) {
			certificate(t, dir, "site", authority, key, c.until, c.host)
			server := caddy(t, dir, fmt.Sprintf("{\n\tauto_https disable_redirects\n}\nhttps://%s:%s, https://localhost:%[2]s {\n\ttls %[3]s/site.crt %[3]s/site.key\n\tcomet /comet/*\n}\n", "127.0.0.1", listen, dir))
			defer server.stop()
			if c.known {
				t.Setenv("SSL_CERT_FILE", dir+"/authority.crt")
			}
			d := doctor(t, nil, dir, "https://localhost:"+listen)
			d.has(t, "reach", c.verdict, c.seen, "")
			if c.verdict == "ok" {
				d.has(t, "http", "ok", "HTTP/2.0", "")
			}
		})
	}
}

// certificate writes one for the host, signed by the authority or by itself, and its
// key.
func certificate(t *testing.T, dir, name string, authority *x509.Certificate, by *ecdsa.PrivateKey, until time.Time, host string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until,
	}
	if authority == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		authority, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, name+".crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, filepath.Join(dir, name+".key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}
