package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// nginx starts one that listens there, with these lines in its http and its server block.
func nginx(t *testing.T, dir, listen, http, server string) {
	t.Helper()
	file := filepath.Join(dir, "nginx-"+listen)
	write(t, file, fmt.Sprintf(`user www-data;
pid %[1]s.pid;
error_log stderr;
daemon off;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path %[1]s-body; fastcgi_temp_path %[1]s-fcgi; proxy_temp_path %[1]s-proxy; scgi_temp_path %[1]s-scgi; uwsgi_temp_path %[1]s-uwsgi;
%[3]s
	server {
		listen 127.0.0.1:%[2]s;
%[4]s
	}
}
`, file, listen, http, server))
	start(t, nil, find(t, "nginx"), "-c", file)
	until(t, "nginx to listen", listening("tcp", "127.0.0.1:"+listen))
}

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

	serve := fmt.Sprintf("root %s/www;\n", dir)
	nginx(t, dir, listen, "", serve+front)
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
	t.Run("the library goes by an event stream, and by a WebSocket with the documented lines", func(t *testing.T) {
		write(t, filepath.Join(dir, "www", "live.html"), fmt.Sprintf(livePage, "comet.js"))
		through := port(t)
		passes := strings.NewReplacer("\tproxy_set_header Connection \"\";\n", documented(t, "nginx-websocket"), "Host $host;", "Host $http_host;").Replace(front)
		nginx(t, dir, through, documented(t, "nginx-map"), serve+passes)
		chromium := browser(t)
		open(t, chromium, "about:blank") // starts it
		for i, c := range []struct{ port, options, transport string }{
			{listen, "{}", "sse"}, {through, "{}", "websocket"}, {through, "{transports: ['sse']}", "sse"}, {through, "{transports: ['poll']}", "poll"},
		} {
			s := &live{base: "http://127.0.0.1:" + c.port}
			tab, leave := chromedp.NewContext(chromium)
			channel := fmt.Sprintf("c%d", i)
			s.follow(t, tab, "/live.html", c.options, channel)
			opened(t, tab, c.transport)
			get(t, s.base+"/comet.php?publish="+channel)
			until(t, "the touch to arrive by "+c.transport, func() bool { return script[int](t, tab, "got.length") == 1 })
			opened(t, tab, c.transport)
			leave()
		}
	})
	t.Run("the old page answers while we are stopped", func(t *testing.T) {
		server.stop()
		if res, body := get(t, base+"/comet.php?subscribed[a]=0"); res.StatusCode != 200 || body != "the old page" {
			t.Errorf("%s: %s", res.Status, body)
		}
	})
}
