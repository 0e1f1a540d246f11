package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Lines says what each comet line takes over, and what cuts or mixes it.
func Lines(setup *Setup, facts *Facts) (found []Finding) {
	if len(setup.Lines) == 0 && len(setup.Backends) == 0 {
		return []Finding{noLine.found("comet /comet/*   # in the site's block of the Caddyfile; then: systemctl reload caddy-comet")}
	}
	sites := make(map[string][]string)
	for _, l := range setup.Lines {
		who := "everybody may listen"
		if len(l.Guards) > 0 {
			who = "who may listen: " + strings.Join(l.Guards, ", ")
		}
		found = append(found, fine("lines", "%s on %s is held (%s) in the hub %s; %s", l.where(), strings.Join(l.Listen, " "), l.Dialect, l.Hub, who))
		if l.Hub == "default" {
			name := cmp.Or(strings.Join(l.Hosts, " "), strings.Join(l.Listen, " "))
			if !slices.Contains(sites[l.Hub], name) {
				sites[l.Hub] = append(sites[l.Hub], name)
			}
		}
	}
	for hub, names := range sites {
		if len(names) > 1 {
			found = append(found, sharedHub.found("comet { hub shop }   # in the global options, one for each site, and \"hub shop\" in the site's comet line", strings.Join(names, ", "), hub))
		}
	}
	for _, s := range setup.Servers {
		if s.Comet && s.WriteTimeout > 0 {
			found = append(found, writeTimeout.found("take \"write "+s.WriteTimeout.String()+"\" out of timeouts in the Caddyfile's servers block", strings.Join(s.Listen, " "), s.WriteTimeout))
		}
	}
	held := 0
	for _, h := range facts.Hubs {
		held += h.Held
	}
	return append(found, fine("lines", "%d requests are held now", held))
}

// where is what the line matches, as people write it.
func (l *Line) where() string {
	paths := cmp.Or(strings.Join(l.Paths, " "), "everything")
	if len(l.Hosts) == 0 {
		return paths
	}
	return strings.Join(l.Hosts, " ") + " " + paths
}

// Limits compares what the hubs may hold with what the machine allows.
func Limits(sys System, facts *Facts) (found []Finding) {
	holds := 0
	for _, h := range facts.Hubs {
		if !strings.Contains(h.Name, "/") { // whose holds are counted with their hub's
			holds += h.MaxHolds
		}
	}
	switch files := facts.Process.OpenFiles; {
	case files == 0:
		found = append(found, unknown("limits", "", "how many files the server may have open is not told by this system"))
	case files < uint64(holds)+spare:
		found = append(found, fewFiles.found("LimitNOFILE=1048576   # in the service's unit (systemctl edit caddy-comet), or lower max_holds", files, holds))
	default:
		found = append(found, fine("limits", "the server may have %d files open; max_holds is %d altogether", files, holds))
	}
	for _, s := range []struct {
		name  string
		least int
	}{
		{"net.core.somaxconn", 1024}, {"fs.file-max", holds + spare}, {"net.netfilter.nf_conntrack_max", holds + spare},
	} {
		if n, ok := sysctl(sys, s.name); ok && n < int64(s.least) {
			found = append(found, smallSysctl.found(fmt.Sprintf("echo '%s = %d' >> /etc/sysctl.d/90-comet.conf && sysctl --system", s.name, s.least), s.name, n, s.least))
		}
	}
	return found
}

// Full says which hubs have refused somebody for want of room.
func Full(facts *Facts) (found []Finding) {
	for _, h := range facts.Hubs {
		found = append(found, h.full()...)
	}
	return found
}

// full says for which limits the hub has refused somebody.
func (h *Hub) full() (found []Finding) {
	hub, _, variables := strings.Cut(h.Name, "/")
	if h.NoHolds > 0 {
		found = append(found, hubFull.found(fmt.Sprintf("max_holds %d   # in the block of the hub %s; or raise its max_memory, if that decides", 2*h.MaxHolds, hub), h.Name, h.NoHolds, "max_holds", h.MaxHolds))
	}
	switch {
	case h.NoChannels == 0:
	case variables:
		found = append(found, hubFull.found(fmt.Sprintf("keep 10m %d   # in the block of the doorbell line of the hub %s", 2*h.MaxChannels, hub), h.Name, h.NoChannels, "the count of keep", h.MaxChannels))
	default:
		found = append(found, hubFull.found(fmt.Sprintf("max_channels %d   # in the block of the hub %s; or raise its max_memory, if that decides", 2*h.MaxChannels, hub), h.Name, h.NoChannels, "max_channels", h.MaxChannels))
	}
	return found
}

// spare are the descriptors that are for anything but held requests.
const spare = 1000

// silence is how long a poll or a stream may say nothing.
func silence(facts *Facts, hub string) time.Duration {
	for _, h := range facts.Hubs {
		if h.Name == hub {
			return max(h.Hold+h.Hold/5, h.Heartbeat)
		}
	}
	return 30 * time.Second
}
