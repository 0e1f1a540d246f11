package caddymodule

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

func init() {
	caddy.RegisterModule(new(App))
}

// App holds the settings of all hubs. It needs no configuration: without any
// there is one hub, `default`, with the built-in settings.
//
// A hub is an isolated set of channels; hubs share nothing. Once a hub is
// declared here, every `comet` and `comet_publish` handler must name the one
// that it serves, so that no tenant can meet another by omission.
type App struct {
	// Settings for every hub that does not have its own.
	Settings

	// The hubs by name. A name is made of letters, digits, dots, dashes and
	// underscores, begins with a letter or digit and has at most 64 characters.
	Hubs map[string]*HubConfig `json:"hubs,omitempty"`

	// Whether held requests are parked: their connections are taken from Caddy's
	// server while they wait and cost a small part of the memory. The answers are
	// the same. Default: true, unless the environment variable COMET_PARK is off.
	Park *bool `json:"park,omitempty"`

	ctx    caddy.Context
	logger *zap.Logger
	logs   loggers

	mu sync.Mutex
	// uses are the hubs that this generation mentions.
	uses map[string]*hubUse
	// servers are those on which the hook for the process's end is set, and
	// whether a comet directive stands there.
	servers map[*caddyhttp.Server]bool
	// peers are the servers that note who connects.
	peers map[*caddyhttp.Server]bool
	// policies are those of the servers that have a handler of ours: policiesOf.
	policies map[*caddyhttp.Server]string
	// homes take parked connections back, those of each server. nil where the
	// server's cannot be parked.
	homes map[*caddyhttp.Server]*home
	// retired: no more are made.
	retired bool
	// views are the hubs that status pages show, "" for all.
	views []string
	generation
}

// HubConfig are the settings of one hub.
type HubConfig struct {
	Settings

	// The files that feed the hub.
	Watch []Watch `json:"watch,omitempty"`
}

// defaultHub is the one hub of a configuration that declares none.
const defaultHub = "default"

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "comet", New: func() caddy.Module { return new(App) }}
}

var hubName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func checkHubName(name string) error {
	if hubName.MatchString(name) {
		return nil
	}
	return fmt.Errorf("hub %q: a hub's name has letters, digits, dots, dashes and underscores, begins with a letter or digit, and has 64 characters at most", name)
}

// Provision checks the settings and refers to the hubs. It touches nothing that
// a running configuration uses.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	a.logger = noting(ctx.Logger())
	a.logs = loggersOf(ctx)
	a.uses = make(map[string]*hubUse)
	a.servers = make(map[*caddyhttp.Server]bool)
	a.peers = make(map[*caddyhttp.Server]bool)
	a.policies = make(map[*caddyhttp.Server]string)
	a.homes = make(map[*caddyhttp.Server]*home)
	a.generation.retire = make(chan struct{})
	a.generation.ready = make(chan struct{})
	if err := a.Settings.check(); err != nil {
		return err
	}
	if len(a.Hubs) == 0 {
		if _, err := a.fitted(); err != nil {
			return err
		}
	}
	for name, config := range a.Hubs {
		if err := checkHubName(name); err != nil {
			return err
		}
		if config == nil {
			config = new(HubConfig)
			a.Hubs[name] = config
		}
		if err := config.check(); err != nil {
			return fmt.Errorf("hub %s: %w", name, err)
		}
		use, err := a.use(name)
		if err != nil {
			return err
		}
		if _, err := use.settings.fitted(); err != nil {
			return fmt.Errorf("hub %s: %w", name, err)
		}
		if err := a.watch(name, use, config.Watch); err != nil {
			return err
		}
	}
	return registerMetrics(ctx.GetMetricsRegistry())
}

// serve has a handler's hub taken into use and returns what it needs of it. name
// may be empty in a configuration without declared hubs.
func (a *App) serve(name string, settings Settings, watches []Watch) (*hubUse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case len(a.Hubs) == 0 && name == "":
		name = defaultHub
	case len(a.Hubs) == 0 && name != defaultHub:
		return nil, fmt.Errorf("hub %q is not declared; add to the global options: comet { hub %s }", name, name)
	case name == "":
		return nil, fmt.Errorf("no hub is named, and hubs are declared in the global options: add one of %s", strings.Join(a.hubNames(), ", "))
	case len(a.Hubs) > 0 && a.Hubs[name] == nil:
		return nil, fmt.Errorf("hub %q is not declared; declared are %s", name, strings.Join(a.hubNames(), ", "))
	}
	if err := settings.check(); err != nil {
		return nil, err
	}
	use, err := a.use(name)
	if err != nil {
		return nil, err
	}
	for _, limit := range []struct {
		name          string
		earlier, here int
		set           *int
	}{
		{"max_holds", use.limits.MaxHolds, settings.MaxHolds, &use.limits.MaxHolds},
		{"max_channels", use.limits.MaxChannels, settings.MaxChannels, &use.limits.MaxChannels},
	} {
		if limit.earlier != 0 && limit.here != 0 && limit.earlier != limit.here {
			return nil, fmt.Errorf("%s is %d here and %d elsewhere for the same hub %s: set it once", limit.name, limit.here, limit.earlier, name)
		}
		*limit.set = or(limit.here, limit.earlier)
	}
	use.settings = use.limits.over(use.settings)
	if _, err := use.settings.fitted(); err != nil {
		return nil, fmt.Errorf("hub %s: %w", name, err)
	}
	if err := a.watch(name, use, watches); err != nil {
		return nil, err
	}
	return use, nil
}

// doorbellNamespace is behind a hub's name that of its event variables. No hub has such
// a name by itself.
const doorbellNamespace = "/doorbell"

// doorbells returns the namespace of a hub's event variables: a hub of its own,
// so that numbers neither push out other channels nor are pushed out by them.
func (a *App) doorbells(of *hubUse, keep *Keep) (use *hubUse, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := of.hub.name + doorbellNamespace
	if use = a.uses[name]; use == nil {
		if use, err = a.use(name); err != nil {
			return nil, err
		}
		use.of = of
	}
	switch {
	case use.keep == nil:
		use.keep = keep
	case keep != nil && *keep != *use.keep:
		return nil, fmt.Errorf("keep is not the same as elsewhere for the same hub %s: set it once", of.hub.name)
	}
	use.settings, err = use.keep.settings(of.settings)
	return use, err
}

// use returns the generation's use of a hub, new if need be.
func (a *App) use(name string) (*hubUse, error) {
	if use := a.uses[name]; use != nil {
		return use, nil
	}
	use := &hubUse{settings: a.Settings}
	config := a.Hubs[name]
	if of, _, namespace := strings.Cut(name, "/"); namespace {
		use.settings = a.uses[of].settings
	} else if config != nil {
		use.settings = config.Settings.over(a.Settings)
		use.limits = Settings{MaxHolds: config.MaxHolds, MaxChannels: config.MaxChannels}
	}
	shared, err := referHub(name, use.settings.store(name).Path != "")
	if err != nil {
		return nil, fmt.Errorf("hub %s: %w", name, err)
	}
	use.hub = shared
	a.uses[name] = use
	return use, nil
}

// home is that of a server's parked connections, nil if they cannot be parked.
func (a *App) home(srv *caddyhttp.Server) *home {
	if !a.parks() {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	h, known := a.homes[srv]
	if !known && !a.retired {
		policies, ok := a.policies[srv]
		if !ok && len(srv.TLSConnPolicies) > 0 {
			policies = unknownPolicies
		}
		h = newHome(srv, policies, a.logger)
		a.homes[srv] = h
	}
	return h
}

func (a *App) parks() bool {
	if a.Park != nil {
		return *a.Park
	}
	return os.Getenv("COMET_PARK") != "off"
}

// http is the configuration's http app.
func (a *App) http() *caddyhttp.App {
	app, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return new(caddyhttp.App)
	}
	return app.(*caddyhttp.App)
}

func (a *App) hubNames() []string { return slices.SortedFunc(maps.Keys(a.Hubs), figures.ByName) }

// sharedHubs are the hubs that the generation mentions, in the order of their names. It
// may be asked while the generation ends.
func (a *App) sharedHubs() []*sharedHub {
	a.mu.Lock()
	defer a.mu.Unlock()
	shared := make([]*sharedHub, 0, len(a.uses))
	for _, name := range slices.SortedFunc(maps.Keys(a.uses), figures.ByName) {
		shared = append(shared, a.uses[name].hub)
	}
	return shared
}

// Interface guards
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
