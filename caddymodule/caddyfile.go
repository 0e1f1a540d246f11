package caddymodule

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/dustin/go-humanize"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/source"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("comet", parseGlobal)
	httpcaddyfile.RegisterHandlerDirective("comet", parseComet)
	httpcaddyfile.RegisterHandlerDirective("comet_publish", parsePublish)
	// After authentication and encode, before everything that answers.
	httpcaddyfile.RegisterDirectiveOrder("comet", httpcaddyfile.After, "encode")
	httpcaddyfile.RegisterDirectiveOrder("comet_publish", httpcaddyfile.After, "encode")
}

// options are the sub-directives of a block. Each reads its own arguments.
type options map[string]option

type option struct {
	read func(d *caddyfile.Dispenser) error
	// many: may stand more than once.
	many bool
}

// parse reads a block. What is unknown or repeated is an error that says what
// was probably meant.
func (o options) parse(d *caddyfile.Dispenser, of string) error {
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		opt, ok := o[name]
		switch {
		case !ok:
			return d.Errf("unknown subdirective %q of %s%s", name, of, didYouMean(name, slices.Collect(maps.Keys(o))))
		case seen[name] && !opt.many:
			return d.Errf("%s is set twice in %s; keep one", name, of)
		}
		seen[name] = true
		if err := opt.read(d); err != nil {
			return err
		}
	}
	return nil
}

// args reads the rest of the line, which must have one of the lengths.
func args(d *caddyfile.Dispenser, usage string, least, most int) ([]string, error) {
	name := d.Val()
	a := d.RemainingArgs()
	if len(a) < least || len(a) > most {
		return nil, d.Errf("%s takes %s", name, usage)
	}
	return a, nil
}

func duration(v *caddy.Duration) option {
	return option{read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, "one duration, as in 25s", 1, 1)
		if err != nil {
			return err
		}
		t, err := caddy.ParseDuration(a[0])
		if err != nil || t <= 0 {
			return d.Errf("%q is no duration; write one as in 25s or 2m", a[0])
		}
		*v = caddy.Duration(t)
		return nil
	}}
}

func number(v *int) option {
	return option{read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, "one number", 1, 1)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(a[0])
		if err != nil || n < 1 {
			return d.Errf("%q is no number from 1 up", a[0])
		}
		*v = n
		return nil
	}}
}

func size[T int | int64](v *T) option {
	return option{read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, "one size, as in 64MiB", 1, 1)
		if err != nil {
			return err
		}
		n, err := humanize.ParseBytes(a[0])
		if err != nil || n < 1 || n > maxSize {
			return d.Errf("%q is no size; write one as in 512KiB or 64MiB", a[0])
		}
		*v = T(n)
		return nil
	}}
}

func flag(v *bool) option {
	return option{read: func(d *caddyfile.Dispenser) error {
		*v = true
		_, err := args(d, "no argument", 0, 0)
		return err
	}}
}

func watchOption(v *[]Watch) option {
	return option{many: true, read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, "a path and perhaps touches, content or lines, as in watch /run/comet/*.comet touches", 1, 2)
		if err != nil {
			return err
		}
		w := Watch{Glob: a[0]}
		if len(a) == 2 {
			w.What = a[1]
			if known := []string{"touches", "content", "lines"}; !slices.Contains(known, a[1]) {
				return d.Errf("watch: %q cannot be watched%s", a[1], didYouMean(a[1], known))
			}
		}
		if _, err := source.ParseWatch(w.Glob, w.What); err != nil {
			return d.WrapErr(err)
		}
		*v = append(*v, w)
		return nil
	}}
}

func channelOption(v *[]string) option {
	return option{read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, "one or more names, as in channel news", 1, 1000)
		if err != nil {
			return err
		}
		for _, name := range a {
			if err := hub.CheckChannel(name); err != nil {
				return d.WrapErr(err)
			}
		}
		*v = a
		return nil
	}}
}

// keepOption reads `keep <age> <count>`, in any order: they are told apart by
// the age's unit.
func keepOption(v **Keep) option {
	return option{read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, "an age and a count, as in keep 10m 100000", 1, 2)
		if err != nil {
			return err
		}
		k := new(Keep)
		*v = k
		for _, arg := range a {
			var twice bool
			if n, err := strconv.Atoi(arg); err == nil && n > 0 {
				twice, k.Count = k.Count != 0, n
			} else if t, err := caddy.ParseDuration(arg); err == nil && t > 0 {
				twice, k.Age = k.Age != 0, caddy.Duration(t)
			} else {
				return d.Errf("keep: %q is no age (10m) or count (100000)", arg)
			}
			if twice {
				return d.Errf("keep: %q is a second value of its kind", arg)
			}
		}
		return nil
	}}
}

// maxSize bounds every size, so that none overflows.
const maxSize = 1 << 40

// hasUnit reports whether a size ends in its unit. "1,000" and "1.5" do not, and
// most likely are a count.
func hasUnit(size string) bool { return strings.ContainsAny(size[len(size)-1:], "bBkKmMgGtTi") }

// historyOption reads `history off` or `history <count> <age> <size>`, any of
// them in any order: they are told apart by their units.
func historyOption(v **History) option {
	return option{read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, "a count, an age and a size, as in history 100 10m 1MiB, or off", 1, 3)
		if err != nil {
			return err
		}
		h := new(History)
		*v = h
		if len(a) == 1 && a[0] == "off" {
			h.Count = -1
			return nil
		}
		for _, arg := range a {
			var twice bool
			if n, err := strconv.Atoi(arg); err == nil && n > 0 {
				twice, h.Count = h.Count != 0, n
			} else if t, err := caddy.ParseDuration(arg); err == nil && t > 0 {
				twice, h.Age = h.Age != 0, caddy.Duration(t)
			} else if b, err := humanize.ParseBytes(arg); err == nil && b > 0 && b <= maxSize && hasUnit(arg) {
				twice, h.Bytes = h.Bytes != 0, int64(b)
			} else {
				return d.Errf("history: %q is no count (100), age (10m) or size (1MiB); for none write history off", arg)
			}
			if twice {
				return d.Errf("history: %q is a second value of its kind", arg)
			}
		}
		return nil
	}}
}

// options returns the sub-directives that a hub and the global block share.
func (s *Settings) options() options {
	return options{
		"history":      historyOption(&s.History),
		"max_history":  size(&s.MaxHistory),
		"max_event":    size(&s.MaxEvent),
		"max_holds":    number(&s.MaxHolds),
		"max_channels": number(&s.MaxChannels),
		"hold":         duration(&s.Hold),
		"heartbeat":    duration(&s.Heartbeat),
		"lease":        duration(&s.Lease),
	}
}

// parseGlobal reads the global option. Syntax:
//
//	comet {
//		history      [<count>] [<age>] [<size>] | off
//		max_history  <size>
//		max_event    <size>
//		max_holds    <number>
//		max_channels <number>
//		hold         <duration>
//		heartbeat    <duration>
//		lease        <duration>
//		park         on|off
//		hub <name> {
//			watch <glob> [touches|content|lines]
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
//		watch        <glob> [touches|content|lines]
//		hold         <duration>
//		keep         [<age>] [<count>]
//		max_holds    <number>
//		max_channels <number>
//		answer_publish
//		jsonp
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
		"hub":            text(&c.Hub),
		"channel":        channelOption(&c.Channels),
		"keep":           keepOption(&c.Keep),
		"watch":          watchOption(&c.Watch),
		"hold":           duration(&c.Hold),
		"max_holds":      number(&c.MaxHolds),
		"max_channels":   number(&c.MaxChannels),
		"answer_publish": flag(&c.AnswerPublish),
		"jsonp":          flag(&c.JSONP),
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

func text(v *string) option {
	return option{read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, "one name", 1, 1)
		if err == nil {
			*v = a[0]
		}
		return err
	}}
}

// parsePublish reads the directive. Syntax:
//
//	comet_publish [<matcher>] [<hub>] {
//		key <secret>…
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
		"key": {many: true, read: func(d *caddyfile.Dispenser) error {
			keys, err := args(d, "one or more secrets", 1, 100)
			p.Keys = append(p.Keys, keys...)
			return err
		}},
	}.parse(d, "comet_publish")
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*Comet)(nil)
	_ caddyfile.Unmarshaler = (*Publish)(nil)
)
