package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/source"
)

func init() {
	caddy.RegisterModule(new(Comet))
}

// Comet holds the comet requests of a site: long polls and event streams. A
// held request costs the site behind it nothing; it is answered when something
// is published on a channel that it follows.
//
// All requests that reach the handler are its own, except those by which a
// dialect publishes: they go on to the site, whose publishing (touching a file)
// is seen from here.
type Comet struct {
	// The language that the clients speak: `native` (polls and streams of many
	// kinds, channels in the path), `novcomet` (the protocol of NovComet.js),
	// `filechat` (a chat on one file) or `doorbell` (event variables). Default:
	// `native`.
	Dialect string `json:"dialect,omitempty"`

	// The hub that the clients follow. Needed once hubs are declared in the
	// `comet` app, and only then allowed.
	Hub string `json:"hub,omitempty"`

	// The channels of every request, whatever it names. Default: those that the
	// request names, or with `filechat` that of its only watch.
	Channels []string `json:"channels,omitempty"`

	// Files that feed the hub.
	Watch []Watch `json:"watch,omitempty"`

	// How long a poll waits if nothing happens. Default: the hub's.
	Hold caddy.Duration `json:"hold,omitempty"`

	// Answers publish requests of the dialect here instead of passing them to
	// the site: a GET that changes something, so only for sites where anybody
	// may publish. With `novcomet` it touches the watched file, with `filechat`
	// it writes it.
	AnswerPublish bool `json:"answer_publish,omitempty"`

	// Lets pages of any other site read what happens here, through a script
	// element (JSONP). With `native` only.
	JSONP bool `json:"jsonp,omitempty"`
	// Deflate lets the messages of WebSockets be compressed (RFC 7692), once for all
	// who get the same; it helps where events are large. With `native` only. Default:
	// false.
	Deflate bool `json:"deflate,omitempty"`

	// Other sites whose pages may listen, with their visitors' cookies: scheme, host
	// and perhaps port each. Default: none.
	Origins []string `json:"origins,omitempty"`

	// Has the site decide who may listen. Default: everybody may who reaches the
	// address.
	Authorize *Authorize `json:"authorize,omitempty"`

	// How long and how many event variables stay set. With `doorbell` only.
	Keep *Keep `json:"keep,omitempty"`

	// Who may listen shows a token that the site signs.
	Token *Token `json:"token,omitempty"`

	// Sets the hub's max_holds, for configurations that have no global block.
	MaxHolds int `json:"max_holds,omitempty"`

	// Sets the hub's max_channels, likewise.
	MaxChannels int `json:"max_channels,omitempty"`

	app     *App
	use     *hubUse
	dialect dialect.Dialect
	// publish publishes in the site's place. nil where that never happens.
	publish publisher
	logger  *zap.Logger
}

// publisher publishes what a dialect's own publish requests say, and answers
// them.
type publisher interface {
	publish(w http.ResponseWriter, r *http.Request, channel string, data []byte)
}

// CaddyModule returns the Caddy module information.
func (*Comet) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.comet", New: func() caddy.Module { return new(Comet) }}
}

// nativeDialect is the dialect of a directive that names none.
const nativeDialect = "native"

// Provision refers to the hub.
func (c *Comet) Provision(ctx caddy.Context) error {
	c.logger = noting(ctx.Logger())
	c.Dialect = or(c.Dialect, nativeDialect)
	if !slices.Contains(dialect.Names(), c.Dialect) {
		return fmt.Errorf("dialect %q is not known%s", c.Dialect, didYouMean(c.Dialect, dialect.Names()))
	}
	app, err := ctx.App("comet")
	if err != nil {
		return err
	}
	c.app = app.(*App)
	where := c.Dialect
	if srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		where += " on " + strings.Join(srv.Listen, " ")
	}
	if err := c.provision(where); err != nil {
		return fmt.Errorf("comet %s: %w", where, err)
	}
	c.app.onShutdown(ctx, true)
	return nil
}

func (c *Comet) provision(where string) (err error) {
	if c.use, err = c.app.serve(c.Hub, c.settings(), c.Watch); err != nil {
		return err
	}
	c.use.directives = append(c.use.directives, where)
	if err := c.speak(c.use.settings.heartbeat()); err != nil {
		return err
	}
	if c.Authorize != nil {
		if err := c.Authorize.provision(); err != nil {
			return err
		}
	}
	if c.Token != nil {
		if err := c.Token.provision(c.logger); err != nil {
			return err
		}
	}
	if c.Dialect == "doorbell" {
		if c.use, err = c.app.doorbells(c.use, c.Keep); err != nil {
			return err
		}
		c.publish = setVariable{c.use.hub}
	}
	return nil
}

func (c *Comet) settings() Settings {
	return Settings{Hold: c.Hold, MaxHolds: c.MaxHolds, MaxChannels: c.MaxChannels}
}

// check reports what is wrong with the directive by itself, whatever else there
// is: a Caddyfile's mistake is told with its line then.
func (c *Comet) check() error {
	trial := *c
	trial.Dialect = or(c.Dialect, nativeDialect)
	if err := trial.settings().check(); err != nil {
		return err
	}
	if _, err := trial.Keep.settings(Settings{}); err != nil {
		return err
	}
	if err := c.Authorize.check(); err != nil {
		return err
	}
	for _, origin := range c.Origins {
		if err := checkOrigin(origin); err != nil {
			return err
		}
	}
	return trial.speak(0)
}

// speak makes the dialect, and what publishes in the site's place.
func (c *Comet) speak(heartbeat time.Duration) (err error) {
	patient := c.Dialect == "filechat" || c.Dialect == "doorbell"
	switch {
	case c.Keep != nil && c.Dialect != "doorbell":
		return errors.New("keep is for the dialect doorbell; the history option says what channels keep")
	case c.Deflate && c.Dialect != "native":
		return errors.New("deflate is for WebSockets, which the native dialect has")
	case c.Hold != 0 && patient:
		return fmt.Errorf("hold: who speaks %s waits for as long as it takes; take it out", c.Dialect)
	case len(c.Watch) > 0 && c.Dialect == "doorbell":
		return errors.New("watch: no file sets an event variable; move it to the directive whose clients are to hear of the file")
	case len(c.Channels) > maxFixed:
		return fmt.Errorf("channel: %d names are too many; %d are the most", len(c.Channels), maxFixed)
	case len(c.Channels) == 0:
		c.Channels = nil
	}
	if c.Dialect == "filechat" {
		if err := c.chatChannel(); err != nil {
			return err
		}
	}
	c.dialect, err = dialect.New(c.Dialect, dialect.Options{
		AnswerPublish: c.AnswerPublish, Channels: c.Channels, JSONP: c.JSONP, Heartbeat: heartbeat,
	})
	if err == nil && c.AnswerPublish {
		hub := ""
		if c.use != nil {
			hub = c.use.hub.name
		}
		c.publish, err = newFilePublisher(c.Dialect, hub, c.Watch, c.Channels)
	}
	return err
}

// maxFixed is how many channels a directive may name.
const maxFixed = 1000

// chatChannel checks the watches of a filechat, and takes the channel from the
// only one where none is named.
func (c *Comet) chatChannel() error {
	for _, config := range c.Watch {
		w, err := source.ParseWatch(config.Glob, config.What)
		if err != nil {
			return err
		}
		if w.What != source.Content {
			return fmt.Errorf("a chat's message is its file's content: write watch %s content", w.Glob)
		}
		if len(c.Channels) == 0 && len(c.Watch) == 1 && !strings.Contains(w.Glob, "*") {
			name, _ := w.Channel(filepath.Base(w.Glob))
			c.Channels = []string{name}
		}
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Comet)(nil)
	_ caddyhttp.MiddlewareHandler = (*Comet)(nil)
)
