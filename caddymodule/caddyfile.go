package caddymodule

import (
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("comet", parseGlobal)
	httpcaddyfile.RegisterHandlerDirective("comet", parseComet)
	httpcaddyfile.RegisterHandlerDirective("comet_publish", parsePublish)
	// After authentication and encode, before everything that answers.
	httpcaddyfile.RegisterDirectiveOrder("comet", httpcaddyfile.After, "encode")
	httpcaddyfile.RegisterDirectiveOrder("comet_publish", httpcaddyfile.After, "encode")
}

// options returns the sub-directives that a hub and the global block share.
func (s *Settings) options() options {
	return options{
		"history":            historyOption(&s.History),
		"max_history":        size(&s.MaxHistory),
		"max_in_flight":      size(&s.MaxInFlight),
		"max_memory":         size(&s.MaxMemory),
		"max_event":          size(&s.MaxEvent),
		"max_holds":          number(&s.MaxHolds),
		"max_channels":       number(&s.MaxChannels),
		"max_publish_rate":   rateOption(&s.MaxPublishRate),
		"presence":           presenceOption(&s.Presence),
		"max_holds_per_ip":   number(&s.MaxHoldsPerIP),
		"max_holds_per_user": number(&s.MaxHoldsPerUser),
		"hold":               duration(&s.Hold),
		"heartbeat":          duration(&s.Heartbeat),
		"lease":              duration(&s.Lease),
		"store":              storeOption(&s.Store),
	}
}

// parseGlobal reads the global option. Syntax:
//
//	comet {
//		history      [<count>] [<age>] [<size>] | off
//		max_history  <size>
//		max_in_flight <size>
//		max_memory   <size>
//		max_event    <size>
//		max_holds    <number>
//		presence <channel>… { … }
//		max_holds_per_ip <number>
//		max_holds_per_user <number>
//		max_publish_rate <n>/s|m|h [burst <n>]
//		max_channels <number>
//		hold         <duration>
//		heartbeat    <duration>
//		lease        <duration>
//		store        <directory>|off
//		park         on|off
//		hub <name> {
//			watch <glob> [touches|content|lines] [owner <user>]
//			…     # and all of the above
//		}
//	}
func parseGlobal(d *caddyfile.Dispenser, earlier any) (any, error) {
	d.Next() // the option's name
	if earlier != nil {
		return nil, d.Err("the global option comet stands twice; merge the blocks into one")
	}
	if _, err := args(d, "no argument, but a block", 0, 0); err != nil {
		return nil, err
	}
	app := new(App)
	o := app.Settings.options()
	o["hub"] = option{many: true, read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, "one name", 1, 1)
		if err != nil {
			return err
		}
		if err := checkHubName(a[0]); err != nil {
			return d.WrapErr(err)
		}
		if app.Hubs[a[0]] != nil {
			return d.Errf("hub %s is declared twice; merge the blocks into one", a[0])
		}
		if app.Hubs == nil {
			app.Hubs = make(map[string]*HubConfig)
		}
		config := new(HubConfig)
		app.Hubs[a[0]] = config
		ho := config.Settings.options()
		ho["watch"] = watchOption(&config.Watch)
		return ho.parse(d, "hub")
	}}
	o["park"] = option{read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, "on or off", 1, 1)
		if err != nil {
			return err
		}
		on := a[0] == "on"
		if !on && a[0] != "off" {
			return d.Errf("park %s: on or off", a[0])
		}
		app.Park = &on
		return nil
	}}
	if err := o.parse(d, "the global option comet"); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "comet", Value: caddyconfig.JSON(app, nil)}, nil
}

// parseComet reads the directive. Syntax:
//
//	comet [<matcher>] [native|novcomet|filechat|doorbell] {
//		hub          <name>
//		channel      <name>…
//		watch        <glob> [touches|content|lines] [owner <user>]
//		hold         <duration>
//		keep         [<age>] [<count>]
//		authorize    <path> { … }
//		origins      <origin>…
//		token        [<secret>] {
//			key      <secret>…
//			key_file <path>…
//			jwks     <path or url>
//			audience <name>
//			cookie   <name>
//			query    <name>
//		}
//		max_holds    <number>
//		max_channels <number>
//		answer_publish
//		jsonp
//		deflate
//	}
func parseComet(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	c := new(Comet)
	return c, c.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive; see parseComet for the syntax.
func (c *Comet) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	line := *d
	a := d.RemainingArgs()
	if err := matcherFirst(d, "comet", a); err != nil {
		return err
	}
	switch len(a) {
	case 0:
	case 1:
		c.Dialect = a[0]
		if !slices.Contains(dialect.Names(), a[0]) {
			return d.Errf("dialect %q is not known%s", a[0], didYouMean(a[0], dialect.Names()))
		}
	default:
		return d.Errf("comet takes one dialect, not %d words; the hub goes into the block: hub %s", len(a), a[1])
	}
	err := options{
		"hub":       text(&c.Hub),
		"channel":   channelOption(&c.Channels),
		"keep":      keepOption(&c.Keep),
		"authorize": authorizeOption(&c.Authorize),
		"origins": {read: func(d *caddyfile.Dispenser) (err error) {
			c.Origins, err = args(d, "one or more origins, as in origins https://app.example", 1, 100)
			return err
		}},
		"watch":          watchOption(&c.Watch),
		"hold":           duration(&c.Hold),
		"token":          tokenOption(&c.Token),
		"max_holds":      number(&c.MaxHolds),
		"max_channels":   number(&c.MaxChannels),
		"answer_publish": flag(&c.AnswerPublish),
		"jsonp":          flag(&c.JSONP),
		"deflate":        flag(&c.Deflate),
	}.parse(d, "comet")
	if err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return line.WrapErr(err)
	}
	return nil
}

// matcherFirst reports a matcher that stands behind another word: Caddy takes
// only the first word for one.
func matcherFirst(d *caddyfile.Dispenser, directive string, a []string) error {
	for i, arg := range a {
		if strings.HasPrefix(arg, "/") || strings.HasPrefix(arg, "@") || arg == "*" {
			others := slices.Delete(slices.Clone(a), i, i+1)
			return d.Errf("the matcher goes first: %s", strings.Join(append([]string{directive, arg}, others...), " "))
		}
	}
	return nil
}

// parsePublish reads the directive. Syntax:
//
//	comet_publish [<matcher>] [<hub>] {
//		user     <name|number>…
//		key      <secret>…
//		key_file <path>…
//		jwt_key  <secret> <issuer>
//		rate     <n>/s|m|h [burst <n>]
//		max_event <size>
//	}
func parsePublish(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	p := new(Publish)
	return p, p.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive; see parsePublish for the syntax.
func (p *Publish) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	a := d.RemainingArgs()
	if err := matcherFirst(d, "comet_publish", a); err != nil {
		return err
	}
	if len(a) > 1 {
		return d.Err("comet_publish takes at most one hub")
	}
	if len(a) == 1 {
		p.Hub = a[0]
	}
	return options{
		"user":      userOption(&p.Users),
		"key":       words(&p.Keys, "one or more secrets"),
		"rate":      rateOption(&p.Rate),
		"max_event": size(&p.MaxEvent),
		"key_file":  words(&p.KeyFiles, "one or more files, as in key_file /etc/caddy/shop.keys"),
		"jwt_key": jwtKeyOption("a secret and the iss of the tokens, as in jwt_key {env.GRIP_KEY} shop", "", true,
			func(k JWTKey) { p.JWTKeys = append(p.JWTKeys, k) }),
	}.parse(d, "comet_publish")
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*Comet)(nil)
	_ caddyfile.Unmarshaler = (*Publish)(nil)
)
