package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoPagePublishesByItsVisitorsBrowser: a page of another site has the browser
// send to the visitor's own machine whatever a browser sends unasked. All of it
// comes there, and nothing is published.
func TestNoPagePublishesByItsVisitorsBrowser(t *testing.T) {
	dir, listen, publish := runDir(t), port(t), port(t)
	acts := map[string]string{
		"form, text/plain":     `form('POST', 'text/plain')`,
		"form, urlencoded":     `form('POST', 'application/x-www-form-urlencoded')`,
		"form, multipart":      `form('POST', 'multipart/form-data')`,
		"form, GET":            `form('GET', '')`,
		"fetch, no-cors":       `fetch(door + '/stolen', {method: 'POST', mode: 'no-cors', body: 'x'})`,
		"fetch, no-cors, GET":  `fetch(door + '/stolen?data=x', {mode: 'no-cors'})`,
		"fetch, no referrer":   `fetch(door + '/stolen', {method: 'POST', mode: 'no-cors', body: 'x', referrerPolicy: 'no-referrer'})`,
		"beacon":               `navigator.sendBeacon(door + '/stolen', 'x')`,
		"picture":              `new Image().src = door + '/stolen?data=x'`,
		"script":               `element('script', 'src', door + '/stolen?callback=x')`,
		"frame":                `element('iframe', 'src', door + '/stolen')`,
		"frame without origin": `element('iframe', 'srcdoc', '<script>fetch("' + door + '/stolen", {method: "POST", mode: "no-cors", body: "x"})<\/script>', 'allow-scripts')`,
	}
	write(t, filepath.Join(dir, "page.html"), fmt.Sprintf(`<!DOCTYPE html><title>elsewhere</title><body><script>
const door = 'http://127.0.0.1:%s';
function element(name, attribute, value, sandbox) {
	const e = document.createElement(name);
	if (sandbox) e.setAttribute('sandbox', sandbox);
	e[attribute] = value;
	document.body.append(e);
	return e;
}
function form(method, type) {
	const frame = element('iframe', 'name', 'f' + Math.random().toString().slice(2));
	const f = element('form', 'action', door + '/stolen');
	f.method = method;
	if (type) f.enctype = type;
	f.target = frame.name;
	f.innerHTML = '<input name="a" value="b">';
	f.submit();
}
</script></body>`, publish))
	caddy(t, dir, fmt.Sprintf(`{
	auto_https off
}
http://localhost:%[1]s {
	bind 127.0.0.1
	root %[2]s
	file_server
}
http://127.0.0.1:%[3]s {
	bind 127.0.0.1
	comet_publish
}
`, listen, dir, publish))
	ctx := browser(t)
	open(t, ctx, "http://localhost:"+listen+"/page.html")
	came := 0
	for name, act := range acts {
		t.Run(name, func(t *testing.T) {
			script[string](t, ctx, act+"; 'done'")
			came++
			until(t, "the browser's request to be refused", func() bool {
				return strings.Contains(adminGet(t, dir, "/metrics"), fmt.Sprintf("caddy_comet_denied_total{hub=\"default\",reason=\"publisher\"} %d\n", came))
			})
		})
	}
	if _, list := get(t, "http://127.0.0.1:"+publish+"/"); strings.Contains(list, "stolen") {
		t.Errorf("there is %s", list)
	}
}
