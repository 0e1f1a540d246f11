package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestWebSocketsInABrowser opens one over each protocol, publishes, and stops the
// server, which says goodbye.
func TestWebSocketsInABrowser(t *testing.T) {
	t.Setenv("GODEBUG", "http2xconnect=1")
	dir := runDir(t)
	plain11, secure, publish := port(t), port(t), port(t)
	if err := os.Mkdir(filepath.Join(dir, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "www", "page.html"), `<!DOCTYPE html><title>socket</title><script>
var told = [], code = '';
const url = new URL('/comet/orders', location.href);
url.protocol = url.protocol.replace('http', 'ws');
const socket = new WebSocket(url);
socket.onmessage = ({ data }) => {
	const message = JSON.parse(data);
	if (message.subscribed) told.push('subscribed ' + message.subscribed);
	else if (message.channel) told.push(message.channel + ' ' + JSON.stringify(message.data));
	else if (message.retry !== undefined) told.push('bye');
	else if (!told.length) socket.send('{"subscribe":["alerts"]}');
};
socket.onclose = (event) => code = String(event.code);
</script>`)
	server := caddy(t, dir, fmt.Sprintf(`{
	local_certs
	skip_install_trust
	auto_https disable_redirects
	grace_period 10s
}
http://localhost:%[1]s, https://localhost:%[2]s {
	root %[4]s/www
	log {
		output file %[4]s/access.log
	}
	encode
	comet /comet/*
	file_server
}
http://127.0.0.1:%[3]s {
	bind 127.0.0.1
	comet_publish
}
`, plain11, secure, publish, dir))
	chromium := browser(t, chromedp.Flag("ignore-certificate-errors", true))
	open(t, chromium, "about:blank") // starts it
	hasCertificate(t, secure)
	pages := map[string]string{"HTTP/1.1": "http://localhost:" + plain11, "HTTP/2.0": "https://localhost:" + secure}
	for protocol, base := range pages {
		ctx := tab(t, chromium)
		open(t, ctx, base+"/page.html")
		until(t, "the socket to follow both channels", func() bool { return script[int](t, ctx, "told.length") == 1 })
		for _, channel := range []string{"orders", "alerts"} {
			res, err := plain.Post("http://127.0.0.1:"+publish+"/"+channel, "application/json", strings.NewReader(`{"by":"`+protocol+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
		}
		until(t, "both events", func() bool { return script[int](t, ctx, "told.length") == 3 })
		want := fmt.Sprintf(`subscribed alerts|orders {"by":"%[1]s"}|alerts {"by":"%[1]s"}`, protocol)
		if got := script[string](t, ctx, "told.join('|')"); got != want {
			t.Errorf("%s: %s, want %s", protocol, got, want)
		}
		defer func() {
			until(t, "the goodbye", func() bool { return script[string](t, ctx, "code") != "" })
			if got := script[string](t, ctx, "told.at(-1) + ' ' + code"); got != "bye 1001" {
				t.Errorf("%s: %s", protocol, got)
			}
		}()
	}
	defer func() {
		<-server.done
		log, err := os.ReadFile(filepath.Join(dir, "access.log"))
		if err != nil {
			t.Fatal(err)
		}
		for protocol := range pages {
			said := false
			for line := range strings.Lines(string(log)) {
				said = said || strings.Contains(line, `"/comet/orders"`) && strings.Contains(line, protocol) && strings.Contains(line, `"comet":"stopped"`)
			}
			if !said {
				t.Errorf("no WebSocket over %s is in the access log:\n%s", protocol, log)
			}
		}
	}()
	_ = server.cmd.Process.Signal(syscall.SIGTERM)
}
