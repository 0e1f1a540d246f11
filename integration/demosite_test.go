package integration

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// demoSite is php-demo with its own Caddyfile and a real php-fpm, as run.sh
// starts it, on ports of its own.
type demoSite struct {
	dir string
	// Ports; status is where php-fpm says how it is.
	http, https, publish, status string
	env                          []string
	server                       *process
}

// demoDir lays the demo out: its pages, and where it touches.
func demoDir(t *testing.T) string {
	t.Helper()
	dir := runDir(t)
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	own(t, filepath.Join(dir, "run"))
	// www-data may not be allowed to read the checkout.
	for _, part := range []string{"php-demo/public", "php"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS("../"+part)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func startDemo(t *testing.T) *demoSite {
	t.Helper()
	dir := demoDir(t)
	write(t, filepath.Join(dir, "run", "chat.txt"), "Hello")
	own(t, filepath.Join(dir, "run", "chat.txt"))
	fpm(t, dir, 2)
	d := &demoSite{dir: dir, http: port(t), https: port(t), publish: port(t), status: port(t)}
	d.env = []string{
		"COMET_SITE=http://:" + d.http + ", https://localhost:" + d.https + ", https://127.0.0.1:" + d.https,
		"COMET_DEMO_HTTPS_PORT=" + d.https, "COMET_DEMO_PUBLISH_PORT=" + d.publish,
		"COMET_DEMO_WITHOUT_PORT=" + port(t), "COMET_DEMO_STATUS_PORT=" + d.status,
		"COMET_ROOT=" + dir + "/php-demo/public", "COMET_RUN=" + dir + "/run",
		"PHP_FPM=unix/" + dir + "/fpm.sock", "PHP_FPM_WITHOUT=unix/" + dir + "/fpm.sock",
		"PHP_FPM_STATUS=unix/" + dir + "/status.sock", "PHP_FPM_WITHOUT_STATUS=unix/" + dir + "/status.sock",
		"CADDY_ADMIN=unix/" + dir + "/admin.sock",
		"XDG_DATA_HOME=" + dir + "/caddy-data", "XDG_CONFIG_HOME=" + dir + "/caddy-config", "HOME=" + dir,
	}
	d.start(t)
	return d
}

// start starts the server, on the same ports each time.
func (d *demoSite) start(t *testing.T) {
	t.Helper()
	d.server = start(t, d.env, binary, "run", "--config", "../php-demo/Caddyfile")
	serving(t, d.server)
	until(t, "https to be served", func() bool {
		res, err := careless.Get("https://localhost:" + d.https + "/style.css")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// careless trusts every certificate.
var careless = &http.Client{Timeout: patience, Transport: &http.Transport{
	DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
}}

// php lets the site's PHP publish.
func (d *demoSite) php(t *testing.T, way, channel, text string) {
	t.Helper()
	res, err := plain.PostForm("http://127.0.0.1:"+d.http+"/publish.php", url.Values{"way": {way}, "channel": {channel}, "text": {text}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("publish.php: %s", res.Status)
	}
}

// post publishes by a POST, without PHP.
func (d *demoSite) post(t *testing.T, channel, contentType, body string) {
	t.Helper()
	res, err := plain.Post("http://127.0.0.1:"+d.publish+"/"+channel, contentType, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("POST /%s: %s", channel, res.Status)
	}
}

// held is how many requests are held on a channel.
func (d *demoSite) held(t *testing.T, channel string) int {
	t.Helper()
	_, body := get(t, "http://127.0.0.1:"+d.publish+"/"+channel)
	var answer struct {
		Held int `json:"held"`
	}
	_ = json.Unmarshal([]byte(body), &answer) // an unknown channel holds nobody
	return answer.Held
}
