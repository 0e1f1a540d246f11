package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmeForNginx runs README's part (c): nginx in front keeps the site and
// passes the comet requests on; where we are stopped, the old page answers.
func TestReadmeForNginx(t *testing.T) {
	needRoot(t)
	dir := runDir(t)
	comet := dir + "/comet"
	tmpfiles(t, documented(t, "tmpfiles", "/run/comet", comet),
		map[string]string{"root": "root", "caddy": "daemon", "example": "www-data", "www-data": "www-data"})
	site(t, dir)
	write(t, filepath.Join(dir, "www", "comet.php"), fmt.Sprintf(`<?php
if (($_GET['publish'] ?? '') != '') {
	touch("%s/example/$_GET[publish].comet");
	echo json_encode(array('by' => $_SERVER['REMOTE_ADDR'], 'https' => !empty($_SERVER['HTTPS']), 'host' => $_SERVER['HTTP_HOST']));
} else {
	echo 'the old page';
}
`, comet))
	fpm(t, dir, 1)
	listen := port(t)
	home := homeOf(t, dir, "daemon")
	server := startCaddy(t, asUser(t, "daemon"), home, documented(t, "nginx-behind", "/run/comet", comet,
		"/srv/www/example", dir+"/www", "unix//run/php/php-fpm.sock", "unix/"+dir+"/fpm.sock"))
	serving(t, server)
	front := documented(t, "nginx", "/run/comet", comet, "/run/php/php-fpm.sock", dir+"/fpm.sock",
		"include fastcgi_params", "include /etc/nginx/fastcgi_params")

	config := fmt.Sprintf(`user www-data;
pid %[1]s/nginx.pid;
error_log stderr;
daemon off;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path %[1]s/body; fastcgi_temp_path %[1]s/fcgi; proxy_temp_path %[1]s/proxy; scgi_temp_path %[1]s/scgi; uwsgi_temp_path %[1]s/uwsgi;
	server {
		listen 127.0.0.1:%[2]s;
		root %[1]s/www;
%[3]s
	}
}
`, dir, listen, front)
	file := filepath.Join(dir, "nginx.conf")
	write(t, file, config)
	start(t, nil, find(t, "nginx"), "-c", file)
	until(t, "nginx to listen", listening("tcp", "127.0.0.1:"+listen))
	base := "http://127.0.0.1:" + listen

	t.Run("an event stream comes through nginx at once", func(t *testing.T) {
		req, _ := http.NewRequest("GET", base+"/comet/news", nil)
		req.Header.Set("Accept", "text/event-stream")
		res, err := plain.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "id: ") {
		}
		_, body := get(t, base+"/comet.php?publish=news")
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "data:") {
		}
		if lines.Err() != nil || lines.Text() != "data: " {
			t.Errorf("the stream says %q, %v", lines.Text(), lines.Err())
		}
		var seen struct {
			By, Host string
			HTTPS    bool
		}
		if err := json.Unmarshal([]byte(body), &seen); err != nil || seen.By != "127.0.0.1" || seen.HTTPS || seen.Host != "127.0.0.1" {
			t.Errorf("PHP behind both sees %s, %v", body, err)
		}
	})
	t.Run("a poll is held", func(t *testing.T) {
		answered := make(chan string, 1)
		go func() {
			res, err := plain.Get(base + "/comet.php?subscribed[a]=0")
			if err != nil {
				answered <- err.Error()
				return
			}
			defer res.Body.Close()
			line, _ := bufio.NewReader(res.Body).ReadString('}')
			answered <- line
		}()
		until(t, "the poll to be held", func() bool { return strings.Contains(adminGet(t, home, "/comet/"), `"held":1`) })
		get(t, base+"/comet.php?publish=a")
		if got := <-answered; !strings.HasPrefix(got, `{"s":1,"k":{"a":`) {
			t.Errorf("answered %s", got)
		}
	})
	t.Run("the old page answers while we are stopped", func(t *testing.T) {
		server.stop()
		if res, body := get(t, base+"/comet.php?subscribed[a]=0"); res.StatusCode != 200 || body != "the old page" {
			t.Errorf("%s: %s", res.Status, body)
		}
	})
}
