package caddymodule

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// validate does what `caddy validate` does with a Caddyfile.
func validate(t *testing.T, globals, sites string) error {
	t.Helper()
	caddyfile := "{\n\tadmin off\n\tauto_https off\n" + globals + "\n}\n" + sites
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	if err != nil {
		return err
	}
	return validateJSON(t, config)
}

func validateJSON(t *testing.T, config []byte) error {
	t.Helper()
	var c caddy.Config
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(&c)
}

// TestValidateFindsEveryMistake has what `caddy validate` says, whether the
// Caddyfile or the configuration is wrong.
func TestValidateFindsEveryMistake(t *testing.T) {
	const two = "comet {\nhub shop\nhub forum\n}"
	for _, c := range []struct{ name, globals, sites, want string }{
		// which hub
		{"no hub anywhere", "", ":1 {\ncomet\n}\n:2 {\ncomet_publish\n}", ""},
		{"the default hub by its name", "", ":1 {\ncomet {\nhub default\n}\n}", ""},
		{"a hub that nobody declared", "", ":1 {\ncomet {\nhub shop\n}\n}", `hub "shop" is not declared; add to the global options: comet { hub shop }`},
		{"publish in one that nobody declared", "", ":1 {\ncomet_publish shop\n}", `hub "shop" is not declared`},
		{"no hub where some are declared", two, ":1 {\ncomet\n}", `no hub is named, and hubs are declared in the global options: add one of forum, shop`},
		{"publish: no hub where some are declared", two, ":1 {\ncomet_publish\n}", `add one of forum, shop`},
		{"another than the declared ones", two, ":1 {\ncomet {\nhub shpo\n}\n}", `hub "shpo" is not declared; declared are forum, shop`},
		{"default is not declared", two, ":1 {\ncomet {\nhub default\n}\n}", `hub "default" is not declared`},
		{"one hub in several directives", two, ":1 {\ncomet /a {\nhub shop\n}\ncomet /b novcomet {\nhub shop\n}\n}\n:2 {\ncomet {\nhub forum\n}\n}", ""},
		{"a hub's name", "comet {\nhub a/b\n}", ":1 {\nrespond ok\n}", `hub "a/b": a hub's name has letters, digits`},
		{"a hub's name begins with a dot", "comet {\nhub .a\n}", ":1 {\nrespond ok\n}", `begins with a letter or digit`},
		{"a long hub's name", "comet {\nhub " + strings.Repeat("a", 65) + "\n}", ":1 {\nrespond ok\n}", `64 characters at most`},

		// limits
		{"max_holds agree", "", ":1 {\ncomet /a {\nmax_holds 5\n}\ncomet /b {\nmax_holds 5\n}\n}", ""},
		{"max_holds differ", "", ":1 {\ncomet /a {\nmax_holds 5\n}\ncomet /b {\nmax_holds 6\n}\n}", `for the same hub default: set it once`},
		{"max_channels differ", "", ":1 {\ncomet /a {\nmax_channels 5\n}\ncomet /b {\nmax_channels 6\n}\n}", `max_channels is `},
		{"max_holds differs from the hub's", "comet {\nhub shop {\nmax_holds 9\n}\n}", ":1 {\ncomet {\nhub shop\nmax_holds 5\n}\n}", `max_holds is 5 here and 9 elsewhere for the same hub shop: set it once`},
		{"max_holds over the default for all", "comet {\nmax_holds 9\n}", ":1 {\ncomet {\nmax_holds 5\n}\n}", ""},
		{"hold too short", "", ":1 {\ncomet {\nhold 500ms\n}\n}", `hold 500ms: a poll must wait at least 1s`},
		{"heartbeat too short", "comet {\nheartbeat 10ms\n}", ":1 {\nrespond ok\n}", `heartbeat 10ms: at least 1s`},
		{"a hub's hold too short", "comet {\nhub a {\nhold 1ms\n}\n}", ":1 {\nrespond ok\n}", `hub a: hold 1ms`},

		// stores
		{"a store", "comet {\nstore /var/lib/comet-of-nobody\n}", ":1 {\ncomet\n}", ""},
		{"a hub's own store, and none", "comet {\nstore /var/lib/comet-of-nobody\nhub a {\nstore /var/lib/comet-of-a\n}\nhub b {\nstore off\n}\n}", ":1 {\nrespond ok\n}", ""},

		// watches
		{"a relative path", "", ":1 {\ncomet {\nwatch run/*.comet\n}\n}", `not an absolute path`},
		{"a star in a directory", "", ":1 {\ncomet {\nwatch /run/*/a.comet\n}\n}", `the * is in a directory's name`},
		{"two stars", "", ":1 {\ncomet {\nwatch /run/*.*\n}\n}", `more than one *`},
		{"what", "", ":1 {\ncomet {\nwatch /run/*.c line\n}\n}", `watch: "line" cannot be watched; did you mean "lines"?`},
		{"in a hub's block", "comet {\nhub a {\nwatch ../x\n}\n}", ":1 {\nrespond ok\n}", `not an absolute path`},
		{"the same twice in one hub", "", ":1 {\ncomet /a {\nwatch /run/c/*.c\nwatch /run/c/*.c\n}\ncomet /b {\nwatch /run/c/*.c\n}\n}", ""},
		{"the same of two hubs", "comet {\nhub a {\nwatch /run/c/*.c\n}\nhub b {\nwatch /run/c/*.c\n}\n}", ":1 {\nrespond ok\n}", `match the same files: one file feeds one hub`},
		{"globs of two hubs that overlap", "comet {\nhub a {\nwatch /run/c/*.c\n}\nhub b\n}", ":1 {\ncomet {\nhub b\nwatch /run/c/shop*\n}\n}", `watch /run/c/shop* of hub b and watch /run/c/*.c of hub a match the same files`},
		{"a file that another hub's glob matches", "comet {\nhub a {\nwatch /run/c/*.c\n}\nhub b {\nwatch /run/c/x.c lines\n}\n}", ":1 {\nrespond ok\n}", `one file feeds one hub`},
		{"globs of two hubs that do not", "comet {\nhub a {\nwatch /run/c/a-*.c\n}\nhub b {\nwatch /run/c/b-*.c\n}\n}", ":1 {\nrespond ok\n}", ""},

		{"an owner", "comet {\nhub a {\nwatch /run/c/*.c owner root\nwatch /run/d/*.c lines owner 1003\n}\n}", ":1 {\nrespond ok\n}", ""},
		{"an owner that there is not", "", ":1 {\ncomet {\nwatch /run/c/*.c owner no-such-user-of-comet\n}\n}", `watch /run/c/*.c: owner: user no-such-user-of-comet: there is no such user on this machine`},
		{"no owner's name", "", ":1 {\ncomet {\nwatch /run/c/*.c owner a:b\n}\n}", `user "a:b": write the name or the number of a Unix user, at Caddyfile:`},
		{"an owner without a name", "", ":1 {\ncomet {\nwatch /run/c/*.c lines owner\n}\n}", `and perhaps the files' owner, as in watch /run/comet/*.comet touches owner shop, at Caddyfile:`},
		{"the owner first", "", ":1 {\ncomet {\nwatch /run/c/*.c owner shop lines\n}\n}", `watch takes a path`},
		{"two owners for the same files", "comet {\nhub a {\nwatch /run/c/*.c owner root\n}\n}", ":1 {\ncomet {\nhub a\nwatch /run/c/x* content\n}\n}", `of hub a match the same files and have not the same owner: write the same owner for both`},
		{"one owner written in two ways", "comet {\nhub a {\nwatch /run/c/*.c owner root\n}\n}", ":1 {\ncomet {\nhub a\nwatch /run/c/*.c owner 0\n}\n}", ""},
		{"answer_publish and an owner", "", ":1 {\ncomet novcomet {\nwatch /run/c/*.c owner root\nanswer_publish\n}\n}", `answer_publish: the server itself would make the files of /run/c/*.c, and owner root refuses them; take one of the two out`},

		// answer_publish
		{"answer_publish", "", ":1 {\ncomet novcomet {\nwatch /run/c/*.c\nanswer_publish\n}\n}", ""},
		{"answer_publish without a watch", "", ":1 {\ncomet novcomet {\nanswer_publish\n}\n}", `answer_publish needs the file that it is to change: add a line such as watch /run/comet/*.comet`},
		{"answer_publish with one file", "", ":1 {\ncomet novcomet {\nwatch /run/c/a.c\nanswer_publish\n}\n}", `answer_publish needs the file`},
		{"answer_publish with lines", "", ":1 {\ncomet novcomet {\nwatch /run/c/*.c lines\nanswer_publish\n}\n}", `answer_publish needs the file`},
		{"answer_publish in native", "", ":1 {\ncomet {\nwatch /run/c/*.c\nanswer_publish\n}\n}", `answer_publish: the dialect native has no publish requests`},

		{"answer_publish of a chat", "", ":1 {\ncomet filechat {\nchannel b\nwatch /srv/*.txt content\nanswer_publish\n}\n}", ""},

		// event variables
		{"doorbell", "", ":1 {\ncomet doorbell {\nkeep 100 1m\n}\n}", ""},
		{"doorbell: no hub where some are declared", two, ":1 {\ncomet doorbell\n}", `no hub is named, and hubs are declared in the global options: add one of forum, shop`},
		{"doorbell: of two hubs", two, ":1 {\ncomet /a doorbell {\nhub shop\nkeep 5\n}\ncomet /b doorbell {\nhub forum\nkeep 6\n}\n}", ""},
		{"doorbell: keep differs", "", ":1 {\ncomet /a doorbell {\nkeep 5m\n}\ncomet /b doorbell {\nkeep 6m\n}\n}", `keep is not the same as elsewhere for the same hub default: set it once`},
		{"doorbell: keep set once", "", ":1 {\ncomet /a doorbell {\nkeep 5m\n}\ncomet /b doorbell\n}", ``},
		{"a namespace is no hub", two, ":1 {\ncomet /a doorbell {\nhub shop\n}\ncomet /b {\nhub shop/doorbell\n}\n}", `hub "shop/doorbell" is not declared`},
		{"nor one to publish in", two, "http:// {\nbind unix//run/x.sock\ncomet /a doorbell {\nhub shop\n}\ncomet_publish shop/doorbell\n}", `hub "shop/doorbell" is not declared`},

		// the door for publishers
		{"tenants: a port without key", two, "http://127.0.0.1:2020 {\nbind 127.0.0.1\ncomet_publish shop\n}", `comet_publish on 127.0.0.1:2020: hubs are declared, and every user of this machine reaches a port, so each tenant needs a Unix socket (bind unix//run/comet/shop-publish/publish.sock|0660) or a key`},
		{"tenants: a port with a key", two, "http://127.0.0.1:2020 {\nbind 127.0.0.1\ncomet_publish shop {\nkey 0123456789abcdef\n}\n}", ""},
		{"tenants: a socket", two, "http:// {\nbind unix//run/comet/x.sock|0660\ncomet_publish shop\n}", ""},
		{"tenants: a socket and a port", two, "http:// {\nbind unix//run/comet/x.sock 127.0.0.1\ncomet_publish shop\n}", `every user of this machine reaches a port`},
		{"tenants: in a handle of a port", two, ":2020 {\nhandle /p/* {\nroute {\ncomet_publish shop\n}\n}\n}", `every user of this machine reaches a port`},
		{"tenants: an abstract socket", two, "http:// {\nbind unix/@shop\ncomet_publish shop\n}", `every user of this machine reaches a port`},
		{"tenants: a named user on a socket", two, "http:// {\nbind unix//run/comet/x.sock|0666\ncomet_publish shop {\nuser root 1003\n}\n}", ""},
		{"tenants: a named user on an abstract socket", two, "http:// {\nbind unix/@shop\ncomet_publish shop {\nuser root\n}\n}", ""},
		{"a named user on a port", "", ":1 {\ncomet_publish {\nuser root\n}\n}", `comet_publish on :1: a port does not tell which user connects; bind a Unix socket alone (bind unix//run/comet/default-publish/publish.sock|0666), or set a key, too`},
		{"a named user and a key on a port", "", ":1 {\ncomet_publish {\nuser root\nkey 0123456789abcdef\n}\n}", ""},
		{"a user that there is not", "", "http:// {\nbind unix//run/comet/x.sock|0666\ncomet_publish {\nuser no-such-user-of-comet\n}\n}", `comet_publish: user no-such-user-of-comet: there is no such user on this machine; make it (useradd --system no-such-user-of-comet), or write a number`},
		{"nobody", "", "http:// {\nbind unix//run/comet/x.sock|0666\ncomet_publish {\nuser nobody\n}\n}", `its number 65534 is what the kernel says for all users of other containers, too`},
		{"no user at all", "", ":1 {\ncomet_publish {\nuser\n}\n}", `user takes the names or numbers of Unix users, as in user shop, at Caddyfile:`},
		{"no name of a user", "", ":1 {\ncomet_publish {\nuser ../shop\n}\n}", `user "../shop": write the name or the number of a Unix user, at Caddyfile:`},
		{"a key file that is not there", "", ":1 {\ncomet_publish {\nkey_file /nowhere/keys\n}\n}", `comet_publish: key_file /nowhere/keys: there is no such file; make it: openssl rand -hex 16 | install -m 640 -g `},
		{"a key file of everybody", "", ":1 {\ncomet_publish {\nkey_file /etc/passwd\n}\n}", `key_file /etc/passwd: every user of this machine may read or write it; shut it: chgrp `},
		{"a key file somewhere", "", ":1 {\ncomet_publish {\nkey_file keys\n}\n}", `key_file keys: not an absolute path`},
		{"a key with a brace", "", ":1 {\ncomet_publish {\nkey secret{part}0123456789\n}\n}", `key: it has braces with no known placeholder in them; keep it in a file instead: key_file <path>`},
		{"a rate", "", ":1 {\ncomet_publish {\nrate 600/m burst 50\nmax_event 64KiB\n}\n}", ""},
		{"a rate without a time", "", ":1 {\ncomet_publish {\nrate 50\n}\n}", `"50" is no rate; write one as in 50/s, 600/m or 1000/h, at Caddyfile:`},
		{"a rate of none", "", ":1 {\ncomet_publish {\nrate 0/s\n}\n}", `rate: events and burst go from 1 up to 1000000, at Caddyfile:`},
		{"a rate of a day", "", ":1 {\ncomet_publish {\nrate 5/d\n}\n}", `"5/d" is no rate`},
		{"a burst without a number", "", ":1 {\ncomet_publish {\nrate 5/s burst\n}\n}", `after 5/s comes nothing, or burst and a number`},
		{"a burst of none", "", ":1 {\ncomet_publish {\nrate 5/s burst 0\n}\n}", `"0" is no number of events at one go`},
		{"two rates", "", ":1 {\ncomet_publish {\nrate 5/s\nrate 6/s\n}\n}", `rate is set twice`},
		{"a publisher's event over the hub's", "comet {\nmax_event 64KiB\n}", ":1 {\ncomet_publish {\nmax_event 65KiB\n}\n}", `max_event 65 KiB is more than the 64 KiB that the hub takes; raise the hub's max_event, or take the line out here`},
		{"a short key", "", ":1 {\ncomet_publish {\nkey short\n}\n}", `key: 5 characters are too few to be a secret; use at least 16, for example from: openssl rand -hex 16`},
		{"one short key of two", "", ":1 {\ncomet_publish {\nkey 0123456789abcdef x\n}\n}", `key: 1 characters`},
		{"a key that signs", two, ":1 {\ncomet_publish shop {\njwt_key " + tokenKey + " realm\njwt_key base64:" + strings.Repeat("k", 43) + " realm\n}\n}", ""},
		{"… and a named user on a port", "", ":1 {\ncomet_publish {\nuser root\njwt_key " + tokenKey + " realm\n}\n}", ""},
		{"… of nobody", "", ":1 {\ncomet_publish {\njwt_key " + tokenKey + "\n}\n}", `jwt_key takes a secret and the iss of the tokens, as in jwt_key {env.GRIP_KEY} shop, at Caddyfile:`},
		{"… that is short", "", ":1 {\ncomet_publish {\njwt_key changeme realm\n}\n}", `jwt_key: key: a secret has 32 bytes or more, and this one 8; make one by: openssl rand -hex 32, at Caddyfile:`},
		{"… that is no base64", "", ":1 {\ncomet_publish {\njwt_key base64:_" + tokenKey + " realm\n}\n}", `jwt_key: key: what stands behind base64: is no base64`},
		{"… from nowhere", "", ":1 {\ncomet_publish {\njwt_key {env.COMET_NO_SUCH_KEY} realm\n}\n}", `comet_publish: jwt_key: key: `},
		{"a key from nowhere", "", ":1 {\ncomet_publish {\nkey {env.COMET_NO_SUCH_KEY}\n}\n}", `key: `},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := validate(t, c.globals, c.sites)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("the error is\n\t%v\nand should say\n\t%s", err, c.want)
			}
		})
	}
}

// TestValidateFindsMistakesInJSON has what no Caddyfile can say.
func TestValidateFindsMistakesInJSON(t *testing.T) {
	app := `{"admin":{"disabled":true},"apps":{"comet":%s}}`
	handler := `{"admin":{"disabled":true},"apps":{"http":{"servers":{"s":{"listen":[":1"],"routes":[{"handle":[%s]}]}}}}}`
	for _, c := range []struct{ name, form, part, want string }{
		{"an unknown field", app, `{"histroy":{}}`, `unknown field "histroy"`},
		{"an unknown field of a handler", handler, `{"handler":"comet","max_hold":1}`, `unknown field "max_hold"`},
		{"a negative total", app, `{"max_memory":-1}`, `max_memory cannot be negative`},
		{"more holds than there can be", app, `{"max_holds":1000000000}`, `1000000000 are too many`},
		{"more bytes than there can be", app, `{"max_in_flight":4611686018427387904}`, `4611686018427387904 bytes are too many; 1TiB is the most`},
		{"a total that is too small", app, `{"max_memory":100000}`, `max_memory 98KiB is too small; write one as in 64MiB`},
		{"a total that is too small for what is set", app, `{"max_memory":67108864,"max_history":33554432,"hubs":{"h":{"max_holds":1000}}}`, `hub h: max_memory 64MiB is too small for max_history 32MiB, max_holds 1000 (72KiB each, so 70MiB); raise it, or lower them or leave them out`},
		{"an event that no history takes", app, `{"max_event":2097152,"max_history":1048576}`, `max_event 2.0MiB does not fit: max_history, which is 1.0MiB, must be as much, and max_in_flight, which is 64MiB, four times as much`},
		{"an event that is too much at once", app, `{"max_event":33554432}`, `max_in_flight, which is 64MiB, four times as much`},
		{"a negative size", app, `{"max_event":-1}`, `max_event cannot be negative`},
		{"a negative number", app, `{"hubs":{"a":{"max_holds":-1}}}`, `hub a: max_holds cannot be negative`},
		{"a negative age", app, `{"history":{"age":-5}}`, `history: age and bytes cannot be negative`},
		{"no history", app, `{"history":{"count":-1}}`, ``},
		{"a relative store", app, `{"store":"data"}`, `store data: not an absolute path; write one as in store /var/lib/comet`},
		{"a hub's store that is a file", app, `{"hubs":{"a":{"store":"/etc/passwd"}}}`, `hub a: store /etc/passwd: it is a file; name a directory`},
		{"a store of a directive", handler, `{"handler":"comet","store":"/var/lib/comet"}`, `unknown field "store"`},
		{"a hub that is null", app, `{"hubs":{"a":null}}`, ``},
		{"durations as text", app, `{"hold":"25s","heartbeat":"1m","history":{"age":"2h"}}`, ``},
		{"a rate of none", handler, `{"handler":"comet_publish","rate":{}}`, `rate: events and burst go from 1 up to 1000000`},
		{"a rate in no time", handler, `{"handler":"comet_publish","rate":{"events":5,"per":"1ms"}}`, `rate: the time goes from 1s up to 1h`},
		{"a rate for ever", handler, `{"handler":"comet_publish","rate":{"events":5,"per":"2h"}}`, `rate: the time goes from 1s up to 1h`},
		{"a negative burst", handler, `{"handler":"comet_publish","rate":{"events":5,"burst":-1}}`, `rate: events and burst go from 1`},
		{"a publisher's negative size", handler, `{"handler":"comet_publish","max_event":-1}`, `max_event cannot be negative`},
		{"users that are none", handler, `{"handler":"comet_publish","users":["a b"]}`, `user "a b": write the name or the number of a Unix user`},
		{"an unknown dialect", handler, `{"handler":"comet","dialect":"nativ"}`, `dialect "nativ" is not known; did you mean "native"?`},
		{"a channel with a control character", handler, `{"handler":"comet","dialect":"filechat","channels":["a\u0007"]}`, `it has the control character U+0007`},
		{"a channel with a control character in native", handler, `{"handler":"comet","channels":["a\u0000"]}`, `has a character that is not allowed`},
		{"an empty channel", handler, `{"handler":"comet","channels":[""]}`, `name is empty`},
		{"no channels", handler, `{"handler":"comet","channels":[]}`, ``},
		{"too many channels", handler, `{"handler":"comet","channels":["a"` + strings.Repeat(`,"a"`, 1000) + `]}`, `channel: 1001 names are too many; 1000 are the most`},
		{"a negative count to keep", handler, `{"handler":"comet","dialect":"doorbell","keep":{"count":-1}}`, `keep: age and count cannot be negative`},
		{"a negative age to keep", handler, `{"handler":"comet","dialect":"doorbell","keep":{"age":"-1s"}}`, `keep: age and count cannot be negative`},
		{"too many to keep", handler, `{"handler":"comet","dialect":"doorbell","keep":{"count":36028797018963969}}`, `100000000 are the most`},
		{"nothing to keep", handler, `{"handler":"comet","dialect":"doorbell","keep":{}}`, ``},
		{"keep elsewhere", handler, `{"handler":"comet","keep":{}}`, `keep is for the dialect doorbell`},
		{"an unknown thing to watch", handler, `{"handler":"comet","dialect":"filechat","watch":[{"glob":"/srv/a.txt","what":"contents"}]}`, `"contents" cannot be watched`},
		{"a directive is told by its dialect and address", handler, `{"handler":"comet","dialect":"filechat"}`, `comet filechat on :1: dialect filechat: it follows one channel`},
		{"a negative hold", handler, `{"handler":"comet","hold":-1}`, `hold cannot be negative`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := validateJSON(t, fmt.Appendf(nil, c.form, c.part))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("the error is\n\t%v\nand should say\n\t%s", err, c.want)
			}
		})
	}
}

// TestValidateBesideARunningServerTouchesNothing: no limit, watch, file or
// socket changes, and no hub stays behind.
func TestValidateBesideARunningServerTouchesNothing(t *testing.T) {
	name, other, bad := unique("shop"), unique("other"), unique("bad")
	s := newServer(t)
	globals := "comet {\nhub " + name + " {\nmax_holds 7\nwatch DIR/*.comet\n}\n}"
	sites := "http://SITE {\ncomet {\nhub " + name + "\n}\n}"
	s.reload(globals, sites)
	h, _ := findHub(name)
	before := h.Limits()
	watches := fmt.Sprint(watching())
	descriptors := countDescriptors(t)

	socket := s.dir + "/v.sock"
	candidate := "comet {\nhold 1m\nhub " + name + " {\nmax_holds 1\nmax_event 10\nwatch " + s.dir + "/new/*.jsonl lines\n}\nhub " + other + "\n}"
	site := "http:// {\nbind unix/" + socket + "\ncomet_publish " + other + "\ncomet /c novcomet {\nhub " + name + "\nwatch " + s.dir + "/a/*.c\nanswer_publish\n}\n}"
	for range 3 {
		if err := validate(t, candidate, site); err != nil {
			t.Fatal(err)
		}
		if err := validate(t, strings.ReplaceAll(candidate, other, bad), site); err == nil {
			t.Fatal("a wrong configuration passed")
		}
	}
	if h.Limits() != before {
		t.Errorf("limits became %+v", h.Limits())
	}
	if now := fmt.Sprint(watching()); now != watches {
		t.Errorf("watches became %s; they were %s", now, watches)
	}
	if now := countDescriptors(t); now > descriptors {
		t.Errorf("%d descriptors are open; it were %d", now, descriptors)
	}
	for _, path := range []string{socket, s.dir + "/new", s.dir + "/a"} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s was made", path)
		}
	}
	for _, n := range []string{other, bad} {
		if _, ok := hubs.References(n); ok {
			t.Errorf("hub %s stayed behind", n)
		}
	}
	if n, _ := hubs.References(name); n != 1 {
		t.Errorf("%d references to the running hub; want 1", n)
	}
	if again, ok := findHub(name); !ok || again != h {
		t.Error("the running hub is another one")
	}
	get("http://"+s.site+"/x?wait=0").wants(t, 200, `"events":[]`)
}

func countDescriptors(t *testing.T) int {
	t.Helper()
	plain.CloseIdleConnections()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc")
	}
	n := 0
	for _, e := range entries { // what others opened for a moment does not count
		if link, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil &&
			(strings.HasPrefix(link, "socket:") || strings.Contains(link, "inotify") || strings.HasPrefix(link, os.TempDir())) {
			n++
		}
	}
	return n
}

// listen keeps a port busy without SO_REUSEPORT.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
