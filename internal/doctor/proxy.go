package doctor

import (
	"net/http"
	"strings"
)

// proxy is what stands before the server, by what an answer says of itself.
type proxy struct {
	name string
	// flush is what to type so that it keeps nothing back, and patience so that it cuts
	// nothing.
	flush, patience string
}

var proxies = []struct {
	header, word string
	proxy
}{
	{"Server", "cloudflare", proxy{"Cloudflare", "turn off for the comet path whatever changes answers: Rocket Loader, response buffering, compression rules", "hold 25s   # in the global comet options; Cloudflare ends what is silent for 100 s"}},
	{"Server", "nginx", nginx}, {"Server", "openresty", nginx}, {"Server", "tengine", nginx},
	{"Server", "apache", proxy{"Apache", "ProxyPass /comet/ http://… flushpackets=on   # and SetEnv no-gzip 1 for this path; then: apachectl graceful", "ProxyTimeout 300   # and timeout=300 behind ProxyPass; then: apachectl graceful"}},
	{"Server", "litespeed", proxy{"LiteSpeed", "turn off the cache and compression for the comet path", "raise the proxy's Response Timeout"}},
	{"Via", "varnish", proxy{"Varnish", "if (req.url ~ \"^/comet/\") { return (pipe); }   # in vcl_recv", "set bereq.first_byte_timeout = 300s;   # in vcl_backend_fetch"}},
	{"X-Varnish", "", proxy{"Varnish", "if (req.url ~ \"^/comet/\") { return (pipe); }   # in vcl_recv", "set bereq.first_byte_timeout = 300s;   # in vcl_backend_fetch"}},
	{"Via", "cloudfront", proxy{"CloudFront", "a cache behaviour for the comet path with the policy CachingDisabled and no compression", "raise the origin's response timeout"}},
}

var nginx = proxy{
	"nginx",
	"proxy_buffering off;   # in nginx's location for the comet path, and no proxy_ignore_headers X-Accel-Buffering; then: nginx -s reload",
	"proxy_read_timeout 5m;   # in nginx's location for the comet path; then: nginx -s reload",
}

// proxyOf is what passed the answer on, as far as it says so.
func proxyOf(h http.Header) proxy {
	for _, p := range proxies {
		for _, v := range h.Values(p.header) {
			if strings.Contains(strings.ToLower(v), p.word) {
				return p.proxy
			}
		}
	}
	name := "a proxy or firewall"
	if server := h.Get("Server"); server != "" && !strings.Contains(server, "Caddy") {
		name = "a proxy that calls itself " + shorten(server)
	}
	return proxy{name, "turn buffering, compression and caching off for the comet path in " + name, "raise the time-outs of " + name + ", or lower hold in the global comet options"}
}

// known reports whether something stands before the server that says so.
func known(h http.Header) (name string, ok bool) {
	p := proxyOf(h)
	return p.name, p.name != "a proxy or firewall"
}
