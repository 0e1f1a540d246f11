package doctor

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Version says by which HTTP browsers come.
func (o *Outside) Version() Finding {
	h3 := ""
	if strings.Contains(o.header.Get("Alt-Svc"), "h3") {
		h3 = ", and are offered HTTP/3"
	}
	switch {
	case o.URL.Scheme == "http":
		return fine("http", "visitors get %s, as always without TLS: browsers open no more than six connections to a host (comet.js shares one between its tabs)", o.proto)
	case strings.HasPrefix(o.proto, "HTTP/1"):
		return oldHTTP.found("listen 443 ssl http2;   # in nginx; \"Protocols h2 http/1.1\" in Apache; in Caddy it is on unless protocols leaves h2 out", o.proto)
	}
	return fine("http", "visitors get %s%s", o.proto, h3)
}

// WebSocket asks for one, and sees whether that arrives. Who asks is refused, but then
// it has arrived.
func (o *Outside) WebSocket() Finding {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	as := *o
	as.Client = o.oldClient()
	as.Header = o.Header.Clone()
	if as.Header == nil {
		as.Header = make(http.Header)
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "Y29tZXQgZG9jdG9yIGtleQ==",
	} {
		as.Header.Set(name, value)
	}
	before := len(o.arrivals())
	_, err := as.get(ctx, "")
	arrivals := o.arrivals()
	switch {
	case len(arrivals) <= before && err != nil:
		return unknown("websocket", "", "whether WebSockets come through is not known: %s", shorten(cause(err)))
	case len(arrivals) <= before || !strings.EqualFold(arrivals[len(arrivals)-1].Upgrade, "websocket"):
		return noUpgrade.found("proxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection $comet_connection;   # in nginx, with the map of docs/client.md#behind-nginx; until then comet.js goes by an event stream", o.by(nil))
	}
	return fine("websocket", "a request for a WebSocket comes through")
}

// oldClient is a client that speaks HTTP/1 alone, as browsers do for a WebSocket where
// a proxy stands between.
func (o *Outside) oldClient() *http.Client {
	client := *o.Client
	if t, ok := client.Transport.(*http.Transport); ok {
		t = t.Clone()
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
		client.Transport = t
	}
	return &client
}

// Seen says what PHP sees of a visitor, from how our request arrived, and how one that
// says to be from [somewhere].
func (o *Outside) Seen(a, told *Arrival) []Finding {
	site := o.site(a)
	return []Finding{o.address(a, told, site), o.scheme(a, site), o.host(a)}
}

// somewhere is an address that nobody has (RFC 5737), by which it shows whether the
// server believes who connects to it.
const somewhere = "192.0.2.1"

// pretend asks as if a proxy before us had passed it on for [somewhere].
func (o *Outside) pretend() *Arrival {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	as := *o
	as.Header = o.Header.Clone()
	if as.Header == nil {
		as.Header = make(http.Header)
	}
	as.Header.Set("X-Forwarded-For", somewhere)
	before := len(o.arrivals())
	if _, err := as.get(ctx, "wait=0"); err != nil {
		return nil
	}
	if arrivals := o.arrivals(); len(arrivals) > before {
		return &arrivals[len(arrivals)-1]
	}
	return nil
}

// site is what PHP stands behind the line at which we arrived.
func (o *Outside) site(a *Arrival) *Site {
	if o.Setup == nil {
		return nil
	}
	for i, s := range o.Setup.Sites {
		if slices.Contains(s.Hubs, a.Hub) && (len(s.Hosts) == 0 || matches(s.Hosts, o.URL.Hostname())) {
			return &o.Setup.Sites[i]
		}
	}
	return nil
}

func (o *Outside) address(a, told *Arrival, site *Site) Finding {
	name, behind := known(o.header)
	behind = behind || a.ForwardedFor != ""
	believed := a.Client != "" && a.Client != a.Peer || told != nil && told.Client == somewhere
	given := site != nil && strings.Contains(site.Env["REMOTE_ADDR"], "client_ip") || site != nil && site.Proxy
	switch {
	case behind && a.ForwardedFor == "":
		return noForward.found("proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;   # in nginx; Apache's mod_proxy and most others do so by themselves", peerName(a)+" ("+name+")")
	case behind && !believed && a.ForwardedFor == a.Peer && told != nil && told.ForwardedFor == a.Peer:
		return unknown("address", "caddy-comet comet doctor "+o.shown()+"   # from another machine", "the proxy and the visitor have the same address, %s, so whom PHP sees is not known", a.Peer)
	case behind && !believed:
		return proxyIP.found(trust(a.Peer)+"\n"+tell(site), peerName(a))
	case behind && !given && site != nil:
		return proxyIP.found(tell(site), peerName(a))
	case site == nil:
		return unknown("address", "", "the server takes %s for the visitor; what PHP sees is not known, since no PHP stands behind this line", a.Client)
	case site.Proxy:
		return unknown("address", "RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1   # in Apache, by a2enmod remoteip", "the server takes %s for the visitor and tells %s so by X-Forwarded-For; whether PHP there sees it is not known", a.Client, strings.Join(site.Dial, " "))
	case behind:
		return fine("address", "PHP sees the visitor's address, %s, and not the proxy's", a.Client)
	}
	return fine("address", "PHP sees the visitor's address, %s", a.Client)
}

// peerName is the address of who connects, which a Unix socket has none of.
func peerName(a *Arrival) string {
	if a.Peer == "" || a.Peer == "@" {
		return "the Unix socket"
	}
	return a.Peer
}

// trust is what has the server believe the proxy.
func trust(peer string) string {
	line := "trusted_proxies_unix"
	if ip, err := netip.ParseAddr(peer); err == nil {
		line = "trusted_proxies static " + ip.WithZone("").String()
	}
	return "servers { " + line + " }   # in the global options, for what follows after X-Forwarded-For to count"
}

// tell is what has PHP see the visitor.
func tell(site *Site) string {
	if site != nil && site.Proxy {
		return "RemoteIPHeader X-Forwarded-For   # and RemoteIPInternalProxy with this server's address, in Apache (a2enmod remoteip)"
	}
	return "env REMOTE_ADDR {client_ip}   # in the block of php_fastcgi"
}

func (o *Outside) scheme(a *Arrival, site *Site) Finding {
	outside := o.URL.Scheme
	switch {
	case outside == "http":
		return fine("scheme", "visitors have http, and so does PHP")
	case site == nil:
		return unknown("scheme", "", "visitors have https; what PHP sees is not known, since no PHP stands behind this line")
	case site.Proxy && (a.TLS || a.ForwardedProto == "https"):
		return unknown("scheme", "SetEnvIf X-Forwarded-Proto https HTTPS=on   # in Apache, by a2enmod setenvif", "visitors have https, and the server behind is told so by X-Forwarded-Proto; whether PHP there sees it is not known")
	case a.TLS || site.Env["HTTPS"] != "" && a.ForwardedProto == "https":
		return fine("scheme", "visitors have https, and so does PHP")
	case a.ForwardedProto != "https":
		return plainPHP.found("proxy_set_header X-Forwarded-Proto $scheme;   # in nginx; in Apache: RequestHeader set X-Forwarded-Proto https\n" + tellScheme)
	}
	return plainPHP.found(tellScheme)
}

const tellScheme = "map {header.X-Forwarded-Proto} {https} {\n\thttps on\n\tdefault \"\"\n}   # in the site's block of the Caddyfile, and \"env HTTPS {https}\" in that of php_fastcgi"

func (o *Outside) host(a *Arrival) Finding {
	// With its port: a WebSocket is refused where the page's origin is another.
	if !strings.EqualFold(usualPort(a.Host, o.URL.Scheme), usualPort(o.URL.Host, o.URL.Scheme)) {
		return otherHost.found("proxy_set_header Host $http_host;   # in nginx; in Apache: ProxyPreserveHost On", a.Host, o.URL.Host)
	}
	return fine("host", "PHP sees the host %s, as visitors have it", a.Host)
}

// usualPort leaves the port out that a scheme has anyway.
func usualPort(host, scheme string) string {
	return strings.TrimSuffix(host, map[string]string{"http": ":80", "https": ":443"}[scheme])
}
