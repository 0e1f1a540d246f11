package integration

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// fpm starts a php-fpm with so many workers on dir/fpm.sock. As root, PHP runs
// as www-data, as it does on a real host. More lines of the pool may follow.
func fpm(t *testing.T, dir string, workers int, pool ...string) *process {
	t.Helper()
	config := fmt.Sprintf(`[global]
error_log = %[1]s/fpm.log
daemonize = no
[www]
listen = %[1]s/fpm.sock
listen.mode = 0666
listen.backlog = 1024
pm = static
pm.max_children = %[2]d
pm.status_path = /status
pm.status_listen = %[1]s/status.sock
catch_workers_output = yes
`, dir, workers)
	if os.Geteuid() == 0 {
		config += "user = www-data\ngroup = www-data\n"
	}
	config += strings.Join(pool, "\n")
	file := filepath.Join(dir, "fpm.conf")
	write(t, file, config)
	p := start(t, nil, find(t, "php-fpm[0-9]*", "php-fpm"), "--nodaemonize", "--fpm-config", file)
	until(t, "php-fpm to listen", listening("unix", dir+"/fpm.sock"))
	return p
}

// site lays out a PHP site that belongs to PHP's user: dir/www with the
// NovComet page's PHP and pages that show what PHP sees, dir/run for touches.
func site(t *testing.T, dir string) {
	t.Helper()
	for _, d := range []string{"www", "run"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	own(t, filepath.Join(dir, "run"))
	for name, text := range map[string]string{
		"index.php": "<?php echo 'home ', getmypid();",
		// The publishing half of the seed's comet.php. Its other half must not be
		// reached at all: it says so, instead of sleeping.
		"comet.php": fmt.Sprintf(`<?php
$publish = (string) filter_input(INPUT_GET, 'publish');
if ($publish != '') {
	echo json_encode(touch("%s/run/$publish.comet"));
} else {
	http_response_code(500);
	echo 'PHP would sleep here';
}
`, dir),
		"see.php": `<?php
header('Content-Type: application/json');
$seen = array();
foreach (array('REMOTE_ADDR', 'HTTPS', 'HTTP_HOST', 'SERVER_NAME', 'REQUEST_URI', 'QUERY_STRING', 'REQUEST_METHOD',
	'SCRIPT_NAME', 'PATH_INFO', 'HTTP_X_FORWARDED_FOR', 'HTTP_X_FORWARDED_PROTO', 'CONTENT_TYPE') as $name) {
	$seen[$name] = $_SERVER[$name] ?? null;
}
echo json_encode(array('server' => $seen, 'get' => $_GET, 'post' => $_POST, 'cookie' => $_COOKIE,
	'body' => md5(file_get_contents('php://input'))));
`,
		"cookie.php":   `<?php setcookie('a', '1'); setcookie('b', 'x y', 0, '/'); header('X-Own: yes'); echo 'cookies';`,
		"redirect.php": `<?php header('Location: /index.php?from=redirect', true, 303);`,
		"missing.php":  `<?php http_response_code(404); echo 'own not-found page';`,
		"large.php": `<?php
header('Content-Type: application/octet-stream');
header('Content-Length: 20000000');
mt_srand(42);
for ($i = 0; $i < 200; $i++) { $s = ''; for ($j = 0; $j < 1000; $j++) { $s .= pack('V', mt_rand()); } echo str_repeat($s, 25); }
`,
		"upload.php": `<?php echo json_encode(array_map(function ($f) { return array($f['name'], $f['size'], md5_file($f['tmp_name'])); }, $_FILES));`,
		"stream.php": `<?php while (ob_get_level()) ob_end_flush(); for ($i = 0; $i < 3; $i++) { echo "tick $i\n"; flush(); usleep(100000); }`,
		"style.css":  "body { color: teal }\n",
		".env":       "SECRET=1\n",
		".htaccess":  "RewriteEngine On\nRewriteRule ^pretty/(.*)$ see.php?pretty=$1 [QSA,L]\n",
	} {
		write(t, filepath.Join(dir, "www", name), text)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// own gives a file to PHP's user, who is our own unless we are root.
func own(t *testing.T, file string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	u, err := user.Lookup("www-data")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(file, uid, gid); err != nil {
		t.Fatal(err)
	}
}

// phpSite is the Caddyfile's part that serves dir/www by php-fpm.
func phpSite(dir string) string {
	return fmt.Sprintf(`	root %[1]s/www
	@hidden path */.*
	error @hidden 404
	php_fastcgi unix/%[1]s/fpm.sock {
		flush_interval -1
	}
	file_server
`, dir)
}
