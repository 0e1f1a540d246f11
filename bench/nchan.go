//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
)

// nchan is nginx with the module Nchan, as Debian packages them.
type nchan struct{ workers int }

// nginxModule is where Debian's libnginx-mod-nchan puts the module.
const nginxModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

func (nchan) dialect() string { return "nchan" }

// configure implements [program]. What differs from the defaults is there so
// that both servers do the same: as many connections, as much history, one
// version of TLS.
func (n nchan) configure(s site) (*exec.Cmd, error) {
	page := ""
	if s.php != "" {
		page = fmt.Sprintf(`	location ~ \.php$ {
		include /etc/nginx/fastcgi_params;
		fastcgi_param SCRIPT_FILENAME %s$uri;
		fastcgi_pass unix:%s;
	}
`, s.root, s.php)
	}
	config := fmt.Sprintf(`daemon off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
load_module %[2]s;
worker_processes %[3]d;
worker_rlimit_nofile 20000;
events {
	worker_connections 19000;
}
http {
	access_log off;
	keepalive_timeout 30m;
	keepalive_requests 1000000;
	client_body_temp_path %[1]s/body;
	fastcgi_temp_path %[1]s/fastcgi;
	proxy_temp_path %[1]s/proxy;
	scgi_temp_path %[1]s/scgi;
	uwsgi_temp_path %[1]s/uwsgi;
	server {
		listen %[4]s backlog=4096;
		listen %[5]s ssl http2 backlog=4096;
		ssl_certificate %[7]s;
		ssl_certificate_key %[8]s;
		ssl_protocols TLSv1.3;
		location ~ ^/comet/(\w+)$ {
			nchan_subscriber longpoll eventsource websocket;
			nchan_channel_id $1;
			nchan_subscriber_first_message newest;
		}
%[9]s	}
	server {
		listen %[6]s;
		location ~ ^/publish/(\w+)$ {
			nchan_publisher;
			nchan_channel_id $1;
			nchan_message_buffer_length 10;
			nchan_message_timeout 10m;
		}
		location = /status {
			nchan_stub_status;
		}
	}
}
`, s.dir, nginxModule, n.workers, s.plain, s.secure, s.publish, s.certificate, s.key, page)
	if err := os.WriteFile(s.path("nginx.conf"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	nginx, err := find("nginx")
	return exec.Command(nginx, "-p", s.dir, "-c", s.path("nginx.conf")), err
}

// there implements [program].
func (nchan) there(context.Context, site) error {
	if _, err := os.Stat(nginxModule); err != nil {
		return errors.New("libnginx-mod-nchan is missing; integration/install.sh nginx installs it")
	}
	_, err := find("nginx")
	return err
}

var (
	subscribers  = regexp.MustCompile(`(?m)^subscribers: (\d+)$`)
	nchanVersion = regexp.MustCompile(`(?m)^nchan version: (\S+)$`)
)

// held implements [program].
func (nchan) held(ctx context.Context, s site) (int, error) {
	text, err := nchanStatus(ctx, s)
	if err != nil {
		return 0, err
	}
	m := subscribers.FindStringSubmatch(text)
	if m == nil {
		return 0, errors.New("nchan_stub_status names no subscribers")
	}
	return strconv.Atoi(m[1])
}

func nchanStatus(ctx context.Context, s site) (string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	b, err := fetch(ctx, &client, "http://"+s.publish+"/status")
	return string(b), err
}
