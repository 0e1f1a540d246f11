package integration

import (
	"fmt"
	"strings"
	"testing"
)

// TestTheDocumentedPagesWork opens what docs/client.md has, as it is, on the
// documented site: with its Content Security Policy where there is no inline script.
func TestTheDocumentedPagesWork(t *testing.T) {
	s := newLive(t)
	strict := port(t)
	s.config += documented(t, "client-csp", "example.com", "http://127.0.0.1:"+strict, "/srv/www/example", s.dir+"/www")
	s.start(t)
	const shown = "var shown = [], light = {}; function show(what) { shown.push(JSON.stringify(what.data || what)); }\n"
	page := func(name, body string) {
		write(t, s.dir+"/www/"+name+".html", "<!DOCTYPE html><title>waiting</title>"+body)
	}
	write(t, s.dir+"/www/orders.json", `["old"]`)
	write(t, s.dir+"/www/token.txt", "one")
	write(t, s.dir+"/www/shown.js", shown)
	write(t, s.dir+"/www/module.js", documented(t, "js-client-module")+"window.live = live; window.off = off;")
	write(t, s.dir+"/www/page.html", documented(t, "html-client"))
	write(t, s.dir+"/www/both.html", documented(t, "html-client-legacy"))
	page("since", "<script src='/comet/comet.js'></script><script>"+shown+documented(t, "js-client-since")+"</script>")
	page("state", "<script src='/comet/comet.js'></script><script>"+shown+"var live = comet('/comet');\n"+documented(t, "js-client-state", "location.reload()", "show('gap')")+"live.on('orders', show);</script>")
	page("strict", "<script src='/shown.js'></script><script type=module src='/module.js'></script>")
	page("token", "<script src='/comet/comet.js'></script><script>"+shown+documented(t, "js-client-token", "/token.php", "/token.txt")+"</script>")
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it
	best := s.best(t)
	for _, c := range []struct{ name, base, shows, want string }{
		{"page", s.base, "document.querySelector('#list').innerText", `{"id":1}`},
		{"both", s.base, "document.querySelector('#last').innerText", `{"id":1}`},
		{"since", s.base, "shown.join()", `"old",{"id":1}`},
		{"state", s.base, "light.textContent + light.title + shown.join()", best + `{"id":1}`},
		{"token", s.base, "shown.join()", `{"id":1}`},
		{"strict", "http://127.0.0.1:" + strict, "shown.join()", `{"id":1}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab := tab(t, chromium)
			open(t, tab, c.base+"/"+c.name+".html")
			s.only(t, best)
			until(t, "the page to be connected", func() bool { return script[bool](t, tab, "typeof live === 'undefined' || live.state === 'open'") })
			res, err := plain.Post(s.publish+"/orders", "application/json", strings.NewReader(`{"id":1}`))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			until(t, "the event to be shown", func() bool { return script[string](t, tab, c.shows) == c.want })
			if c.name == "strict" {
				// The library's ways are all there is to a strict policy.
				script[bool](t, tab, "off(), live.close(), true")
				for _, transport := range []string{"stream", "poll", best} {
					script[bool](t, tab, fmt.Sprintf("import('/comet/comet.esm.js').then((m) => { window.live = m.comet('/comet', {transports: ['%s']}); live.on('a', show); }), true", transport))
					opened(t, tab, transport)
					script[bool](t, tab, "live.close(), true")
				}
			}
			open(t, tab, "about:blank")
			until(t, "the connection to be gone with the page", func() bool { return len(s.held(t)) == 0 })
		})
	}
}
