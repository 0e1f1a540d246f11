package doctor

import (
	"slices"
	"strings"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// isOf reports whether a hub is that one, or its event variables.
func isOf(hub, name string) bool {
	of, _, _ := strings.Cut(hub, "/")
	return hub == name || of == name
}

// OfHub are the facts of one hub and its event variables, and of the process.
func (f *Facts) OfHub(name string) *Facts {
	one := &Facts{Process: f.Process}
	for _, h := range f.Hubs {
		if isOf(h.Name, name) {
			one.Hubs = append(one.Hubs, h)
		}
	}
	for _, w := range f.Watches {
		if w.Hub == name {
			one.Watches = append(one.Watches, w)
		}
	}
	return one
}

// OfHub is what the configuration has of one hub.
func (s *Setup) OfHub(name string) *Setup {
	one := new(Setup)
	listens := make(map[string]bool)
	for _, l := range s.Lines {
		if isOf(l.Hub, name) {
			one.Lines = append(one.Lines, l)
			listens[strings.Join(l.Listen, " ")] = true
		}
	}
	for _, p := range s.Publishers {
		if p.Hub == name {
			one.Publishers = append(one.Publishers, p)
		}
	}
	for _, site := range s.Sites {
		if slices.ContainsFunc(site.Hubs, func(hub string) bool { return isOf(hub, name) }) {
			one.Sites = append(one.Sites, site)
		}
	}
	if slices.Contains(s.Backends, name) {
		one.Backends = []string{name}
	}
	for _, server := range s.Servers {
		if listens[strings.Join(server.Listen, " ")] {
			one.Servers = append(one.Servers, server)
		}
	}
	return one
}

// Ordered is the same in the order of the hubs' names, in which the facts are. Within a
// hub the order is the configuration's.
func (s *Setup) Ordered() *Setup {
	one := *s
	one.Lines, one.Publishers, one.Sites, one.Backends = slices.Clone(s.Lines), slices.Clone(s.Publishers), slices.Clone(s.Sites), slices.Clone(s.Backends)
	slices.SortStableFunc(one.Lines, func(a, b Line) int { return figures.ByName(a.Hub, b.Hub) })
	slices.SortStableFunc(one.Publishers, func(a, b Publisher) int { return figures.ByName(a.Hub, b.Hub) })
	slices.SortStableFunc(one.Sites, func(a, b Site) int { return slices.CompareFunc(a.Hubs, b.Hubs, figures.ByName) })
	slices.SortStableFunc(one.Backends, figures.ByName)
	return &one
}
