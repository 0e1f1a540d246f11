package caddymodule

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"

	"github.com/caddy-comet/caddy-comet/internal/access"
	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/log"
	"github.com/caddy-comet/caddy-comet/internal/source"
)

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
		if err != nil || n < 1 || n > maxCount {
			return d.Errf("%q is no number from 1 up to %d", a[0], maxCount)
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

// maxSize bounds every size, so that none overflows.
const maxSize = 1 << 40

func flag(v *bool) option {
	return option{read: func(d *caddyfile.Dispenser) error {
		*v = true
		_, err := args(d, "no argument", 0, 0)
		return err
	}}
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

// words reads a line of one or more words; several lines add up.
func words(v *[]string, usage string) option {
	return option{many: true, read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, usage, 1, 100)
		*v = append(*v, a...)
		return err
	}}
}

func userOption(v *[]string) option {
	return option{many: true, read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, "the names or numbers of Unix users, as in user shop", 1, 100)
		if err != nil {
			return err
		}
		for _, name := range a {
			if err := access.CheckUser(name); err != nil {
				return d.WrapErr(err)
			}
		}
		*v = append(*v, a...)
		return nil
	}}
}

func watchOption(v *[]Watch) option {
	const usage = "a path, perhaps touches, content or lines, and perhaps the files' owner, as in watch /run/comet/*.comet touches owner shop"
	return option{many: true, read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, usage, 1, 4)
		if err != nil {
			return err
		}
		w := Watch{Glob: a[0]}
		rest := a[1:]
		if len(rest) > 0 && rest[0] != "owner" {
			w.What = rest[0]
			if known := []string{"touches", "content", "lines"}; !slices.Contains(known, w.What) {
				return d.Errf("watch: %q cannot be watched%s", w.What, didYouMean(w.What, known))
			}
			rest = rest[1:]
		}
		if len(rest) > 0 {
			if len(rest) != 2 || rest[0] != "owner" {
				return d.Errf("watch takes %s", usage)
			}
			w.Owner = rest[1]
			if err := access.CheckUser(w.Owner); err != nil {
				return d.WrapErr(err)
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

// hasUnit reports whether a size ends in its unit. "1,000" and "1.5" do not, and
// most likely are a count.
func hasUnit(size string) bool { return strings.ContainsAny(size[len(size)-1:], "bBkKmMgGtTi") }

func storeOption(v *string) option {
	return option{read: func(d *caddyfile.Dispenser) error {
		a, err := args(d, "one directory, as in store /var/lib/comet, or off", 1, 1)
		if err != nil {
			return err
		}
		*v = a[0]
		if a[0] == storeOff {
			return nil
		}
		if err := log.CheckStore(a[0]); err != nil {
			return d.WrapErr(err)
		}
		return nil
	}}
}
