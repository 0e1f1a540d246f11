package doctor

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Publish says by which ways events come into each hub, whether its endpoints answer,
// and whether PHP may use them.
func Publish(sys System, setup *Setup, facts *Facts, php *PHP) (found []Finding) {
	for _, hub := range facts.Hubs {
		ways := waysInto(hub.Name, setup, facts)
		if _, variables, _ := strings.Cut(hub.Name, "/"); variables != "" {
			continue // which their visitors set
		}
		if len(ways) == 0 {
			found = append(found, noPublisher.found("http://127.0.0.1:2020, http://localhost:2020 {\n\tbind 127.0.0.1\n\tcomet_publish\n}   # in the Caddyfile; or a watch line", hub.Name))
			continue
		}
		found = append(found, fine("publish", "events come into the hub %s by %s", hub.Name, strings.Join(ways, ", ")))
	}
	for _, p := range setup.Publishers {
		for _, listen := range p.Listen {
			found = append(found, p.check(sys, listen, php.usersOf(sys, setup, p.Hub))...)
		}
	}
	return found
}

func waysInto(hub string, setup *Setup, facts *Facts) (ways []string) {
	for _, w := range facts.Watches {
		if w.Hub == hub {
			ways = append(ways, w.Glob+" ("+w.What+")")
		}
	}
	for _, p := range setup.Publishers {
		if p.Hub == hub {
			ways = append(ways, "posts to "+strings.Join(p.Listen, " ")+" ("+p.who()+")")
		}
	}
	if slices.Contains(setup.Backends, hub) {
		ways = append(ways, "headers of PHP's answers (comet_backend)")
	}
	return ways
}

// who may publish.
func (p *Publisher) who() string {
	var who []string
	if len(p.Users) > 0 {
		who = append(who, "the users "+strings.Join(p.Users, ", "))
	}
	if p.Keys {
		who = append(who, "who has a key")
	}
	if len(who) == 0 {
		return "whoever on this machine reaches it"
	}
	return strings.Join(who, " and ")
}

func (p *Publisher) check(sys System, listen string, users []string) (found []Finding) {
	if path, socket := strings.CutPrefix(listen, "unix/"); socket {
		return p.checkSocket(sys, path, users)
	}
	address := strings.TrimPrefix(strings.TrimPrefix(listen, "tcp4/"), "tcp/")
	if strings.HasPrefix(address, ":") {
		address = "127.0.0.1" + address
	}
	for i, host := range p.names(address) {
		switch answer, err := ask("tcp", address, host); {
		case err != nil && i == 0:
			return append(found, publisherDead.found("systemctl reload caddy-comet && journalctl -u caddy-comet -n 50   # what does it say of this address?", listen, cause(err)))
		case err == nil && answer == "":
			found = append(found, publisherHost.found(fmt.Sprintf("http://%s, http://%s {   # in the Caddyfile, in the place of the first alone", p.names(address)[0], host), host))
		}
	}
	return append(found, fine("publish", "the publish endpoint at %s answers; %s may publish there", listen, p.who()))
}

// names are the hosts by which PHP may reach an address: those that the configuration
// has, and the one that people write instead.
func (p *Publisher) names(address string) (names []string) {
	_, port, _ := net.SplitHostPort(address)
	for _, host := range append(slices.Clone(p.Hosts), "127.0.0.1", "localhost") {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if name := net.JoinHostPort(host, port); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (p *Publisher) checkSocket(sys System, path string, users []string) (found []Finding) {
	for _, name := range users {
		u, err := sys.User(name)
		if err != nil {
			continue
		}
		if may, known := sys.May(u, path, "w"); known && !may {
			found = append(found, mayNotConnect.found("bind unix/"+path+"|0666   # in the Caddyfile, with \"user "+name+"\" in comet_publish; each directory above needs x for "+name, name, path))
		}
		if len(p.Users) > 0 && !p.Keys && !slices.Contains(p.Users, name) && !slices.Contains(p.Users, fmt.Sprint(u.UID)) {
			found = append(found, mayNotPublish.found("user "+name+"   # in the comet_publish block", p.Hub, name, path, strings.Join(p.Users, ", ")))
		}
	}
	switch _, err := ask("unix", path, "localhost"); {
	case isPermission(err):
		return append(found, unknown("publish", "sudo caddy-comet comet doctor", "the user %s may not connect to %s, so whether it answers is not known", sys.Self().Name, path))
	case err != nil:
		return append(found, publisherDead.found("systemctl reload caddy-comet && journalctl -u caddy-comet -n 50   # what does it say of this address?", path, cause(err)))
	}
	return append(found, fine("publish", "the publish endpoint at %s answers; %s may publish there", path, p.who()))
}

// ask sends a GET, and returns something of the answer's body. Also a refusal is an
// answer.
func ask(network, address, host string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	res, err := client.Get("http://" + host + "/")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 100))
	return string(body), err
}
