package caddymodule

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// TestCaddyfilesAdaptAsTheyDid compares testdata/*.caddyfiletest: a Caddyfile, a
// line of dashes, and the JSON that comes out or a part of the error. After a
// change that is meant, run it with COMET_UPDATE=1 and read the difference.
func TestCaddyfilesAdaptAsTheyDid(t *testing.T) {
	files, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, ok := strings.Cut(string(content), "----------\n")
			if !ok {
				t.Fatal("no line of dashes")
			}
			if got := string(caddyfile.Format([]byte(input))); got != input {
				t.Errorf("caddy fmt would change the input to:\n%s", got)
			}
			config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), nil)
			for _, w := range warnings {
				t.Errorf("warning: line %d: %s", w.Line, w.Message)
			}
			if want != "" && !strings.HasPrefix(want, "{") {
				if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
					t.Errorf("the error is\n\t%v\nand should say\n\t%s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, config, "", "\t"); err != nil {
				t.Fatal(err)
			}
			pretty.WriteByte('\n')
			if os.Getenv("COMET_UPDATE") != "" {
				if err := os.WriteFile(file, []byte(input+"----------\n"+pretty.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if pretty.String() != want {
				t.Errorf("adapted to:\n%s", pretty.String())
			}
		})
	}
}

// TestMistakesInACaddyfileAreErrorsThatSayWhatToWrite has every error of the
// directives and of the global option.
func TestMistakesInACaddyfileAreErrorsThatSayWhatToWrite(t *testing.T) {
	for _, c := range []struct{ name, globals, site, want string }{
		// the directive comet
		{"unknown dialect", "", "comet /c novcomt", `dialect "novcomt" is not known; did you mean "novcomet"?`},
		{"dialect like none", "", "comet /c xyz", `dialect "xyz" is not known; known are `},
		{"matcher behind the dialect", "", "comet novcomet /x", `the matcher goes first: comet /x novcomet`},
		{"named matcher behind", "", "@m path /x\ncomet native @m", `the matcher goes first: comet @m native`},
		{"two dialects", "", "comet /c native shop", `comet takes one dialect, not 2 words; the hub goes into the block: hub shop`},
		{"unknown subdirective", "", "comet {\nwhach /x/*.y\n}", `unknown subdirective "whach" of comet; did you mean "watch"?`},
		{"unknown, like none", "", "comet {\nzzzzzz 1\n}", `unknown subdirective "zzzzzz" of comet; known are answer_publish, `},
		{"upper case", "", "comet {\nHold 5s\n}", `did you mean "hold"?`},
		{"hub twice", "", "comet {\nhub a\nhub b\n}", `hub is set twice in comet; keep one`},
		{"hold twice", "", "comet {\nhold 5s\nhold 6s\n}", `hold is set twice in comet`},
		{"flag twice", "", "comet {\nanswer_publish\nanswer_publish\n}", `answer_publish is set twice`},
		{"flag with argument", "", "comet {\nanswer_publish yes\n}", `answer_publish takes no argument`},
		{"hub without name", "", "comet {\nhub\n}", `hub takes one name`},
		{"hub with two names", "", "comet {\nhub a b\n}", `hub takes one name`},
		{"watch without path", "", "comet {\nwatch\n}", `watch takes a path, perhaps touches, content or lines, and perhaps the files' owner`},
		{"watch with three", "", "comet {\nwatch /a/* lines more\n}", `watch takes a path, perhaps`},
		{"hold without value", "", "comet {\nhold\n}", `hold takes one duration, as in 25s`},
		{"hold without unit", "", "comet {\nhold 25\n}", `"25" is no duration; write one as in 25s or 2m`},
		{"hold negative", "", "comet {\nhold -5s\n}", `"-5s" is no duration`},
		{"hold zero", "", "comet {\nhold 0s\n}", `"0s" is no duration`},
		{"max_holds text", "", "comet {\nmax_holds many\n}", `"many" is no number from 1 up`},
		{"max_holds zero", "", "comet {\nmax_holds 0\n}", `"0" is no number from 1 up`},
		{"max_channels two", "", "comet {\nmax_channels 1 2\n}", `max_channels takes one number`},
		{"a hub's setting", "", "comet {\nheartbeat 5s\n}", `unknown subdirective "heartbeat" of comet`},

		// what a dialect has no use for
		{"keep elsewhere", "", "comet {\nkeep 10m\n}", `keep is for the dialect doorbell; the history option says what channels keep, at Caddyfile:2`},
		{"keep: nothing", "", "comet doorbell {\nkeep\n}", `keep takes an age and a count, as in keep 10m 100000`},
		{"keep: three", "", "comet doorbell {\nkeep 10m 5 5\n}", `keep takes an age and a count`},
		{"keep: set twice", "", "comet doorbell {\nkeep 10m\nkeep 5\n}", `keep is set twice in comet; keep one`},
		{"keep: two ages", "", "comet doorbell {\nkeep 10m 5m\n}", `keep: "5m" is a second value of its kind`},
		{"keep: two counts", "", "comet doorbell {\nkeep 10 5\n}", `keep: "5" is a second value of its kind`},
		{"keep: negative", "", "comet doorbell {\nkeep -10m\n}", `keep: "-10m" is no age (10m) or count (100000)`},
		{"keep: a negative count", "", "comet doorbell {\nkeep -5\n}", `keep: "-5" is no age (10m) or count (100000)`},
		{"keep: zero", "", "comet doorbell {\nkeep 0\n}", `keep: "0" is no age (10m) or count (100000)`},
		{"keep: a size", "", "comet doorbell {\nkeep 1MiB\n}", `keep: "1MiB" is no age (10m) or count (100000)`},
		{"keep: more than a number holds", "", "comet doorbell {\nkeep 99999999999999999999\n}", `is no age (10m) or count (100000)`},
		{"keep: more than memory holds", "", "comet doorbell {\nkeep 36028797018963969\n}", `keep 36028797018963969: 100000000 are the most`},
		{"keep: an age beyond all", "", "comet doorbell {\nkeep 9999999d\n}", `is no age (10m) or count (100000)`},
		{"keep: too short", "", "comet doorbell {\nkeep 1ms\n}", `keep 1ms: at least 1s`},
		{"doorbell: channel", "", "comet doorbell {\nchannel a\n}", `dialect doorbell: each request names its number; take the channel option out`},
		{"doorbell: jsonp", "", "comet doorbell {\njsonp\n}", `it has neither answer_publish nor jsonp`},
		{"doorbell: answer_publish", "", "comet doorbell {\nanswer_publish\n}", `setting is always answered here`},
		{"doorbell: hold", "", "comet doorbell {\nhold 5s\n}", `hold: who speaks doorbell waits for as long as it takes; take it out`},
		{"doorbell: watch", "", "comet doorbell {\nwatch /run/c/*.c\n}", `watch: no file sets an event variable; move it to the directive whose clients are to hear of the file`},
		{"novcomet: channel", "", "comet novcomet {\nchannel a\n}", `dialect novcomet: each request names its channels; take the channel option out`},
		{"novcomet: jsonp", "", "comet novcomet {\njsonp\n}", `it has no JSONP; the native dialect has`},
		{"filechat: nothing", "", "comet filechat", `it follows one channel: name it by the channel option, or by a watch of one file's content, as in watch /srv/www/data.txt content`},
		{"filechat: jsonp", "", "comet filechat {\nchannel a\njsonp\n}", `it has no JSONP; the native dialect has`},
		{"filechat: hold", "", "comet filechat {\nchannel a\nhold 5s\n}", `hold: who speaks filechat waits for as long as it takes`},
		{"filechat: two channels", "", "comet filechat {\nchannel a b\n}", `it follows one channel`},
		{"filechat: touches", "", "comet filechat {\nwatch /srv/data.txt\n}", `a chat's message is its file's content: write watch /srv/data.txt content`},
		{"filechat: lines", "", "comet filechat {\nwatch /srv/data.txt lines\n}", `write watch /srv/data.txt content`},
		{"filechat: one wrong of two", "", "comet filechat {\nchannel b\nwatch /srv/b.txt content\nwatch /srv/data.txt lines\n}", `write watch /srv/data.txt content`},
		{"filechat: any file", "", "comet filechat {\nwatch /srv/*.txt content\n}", `it follows one channel`},
		{"filechat: two files", "", "comet filechat {\nwatch /srv/a.txt content\nwatch /srv/b.txt content\n}", `it follows one channel`},
		{"filechat: answer_publish without the file", "", "comet filechat {\nchannel b\nwatch /srv/a.txt content\nanswer_publish\n}", `answer_publish needs the file that it is to change: add a line such as watch /srv/www/b.txt content`},
		{"native: answer_publish", "", "comet {\nwatch /srv/*.txt\nanswer_publish\n}", `answer_publish: the dialect native has no publish requests`},
		{"native: a channel that no client can name", "", "comet {\nchannel a/b\n}", `has a character that is not allowed; use letters, digits and ._:@=+-`},
		{"channel: nothing", "", "comet {\nchannel\n}", `channel takes one or more names, as in channel news`},
		{"channel: twice", "", "comet {\nchannel a\nchannel b\n}", `channel is set twice in comet; keep one`},
		{"channel: empty", "", "comet {\nchannel \"\"\n}", `not a channel name: it is empty`},
		{"channel: long", "", "comet filechat {\nchannel " + strings.Repeat("a", 256) + "\n}", `it has 256 bytes, and 255 are allowed`},
		{"jsonp with argument", "", "comet {\njsonp f\n}", `jsonp takes no argument`},
		{"the line is told", "", "respond ok\ncomet /a/* {\nhold 1ms\n}", `hold 1ms: a poll must wait at least 1s, or clients ask without a pause, at Caddyfile:3`},

		// token
		{"token: nothing", "", "comet {\ntoken\n}", `token needs a key that tokens are signed with, as in: token {env.COMET_TOKEN_KEY}; make one by: openssl rand -hex 32, at Caddyfile:3`},
		{"token: no key", "", "comet {\ntoken {\ncookie a\n}\n}", `token needs a key that tokens are signed with`},
		{"token: two", "", "comet {\ntoken a b\n}", `token takes one secret, or a block`},
		{"token: twice", "", "comet {\ntoken {env.A}\ntoken {env.B}\n}", `token is set twice in comet; keep one`},
		{"token: short", "", "comet {\ntoken secret\n}", `token: key: a secret has 32 bytes or more, and this one 6; make one by: openssl rand -hex 32, at Caddyfile:3`},
		{"token: short in the block", "", "comet {\ntoken {\nkey {env.A} secret\n}\n}", `a secret has 32 bytes or more, and this one 6`},
		{"token: unknown", "", "comet {\ntoken {\nkey_files /a\n}\n}", `unknown subdirective "key_files" of token; did you mean "key_file"?`},
		{"token: key without value", "", "comet {\ntoken {\nkey\n}\n}", `key takes one or more secrets`},
		{"token: key_file without value", "", "comet {\ntoken {\nkey_file\n}\n}", `key_file takes one or more paths`},
		{"token: jwks twice", "", "comet {\ntoken {\njwks /a\njwks /b\n}\n}", `jwks is set twice in token; keep one`},
		{"token: jwks by http", "", "comet {\ntoken {\njwks http://example.com/keys\n}\n}", `token: jwks http://example.com/keys: an absolute path is needed, or an address of https`},
		{"token: a relative path", "", "comet {\ntoken {\njwks keys.json\n}\n}", `token: jwks keys.json: an absolute path is needed`},
		{"token: cookie", "", "comet {\ntoken {\nkey {env.A}\ncookie a=b\n}\n}", `token: cookie "a=b" is no name; use letters, digits and _ . -`},
		{"token: query", "", "comet {\ntoken {\nkey {env.A}\nquery a&b\n}\n}", `token: query "a&b" is no name`},

		// the directive comet_publish
		{"publish: two hubs", "", "comet_publish a b", `comet_publish takes at most one hub`},
		{"publish: matcher behind", "", "comet_publish shop /x", `the matcher goes first: comet_publish /x shop`},
		{"publish: unknown", "", "comet_publish {\nkeys abc\n}", `unknown subdirective "keys" of comet_publish; did you mean "key"?`},
		{"publish: key without value", "", "comet_publish {\nkey\n}", `key takes one or more secrets`},

		// the global option
		{"global: twice", "comet {\n}\ncomet {\n}", "respond ok", `the global option comet stands twice; merge the blocks into one`},
		{"global: argument", "comet shop {\n}", "respond ok", `comet takes no argument, but a block`},
		{"global: unknown", "comet {\nhubs a\n}", "respond ok", `unknown subdirective "hubs" of the global option comet; did you mean "hub"?`},
		{"global: watch has no hub", "comet {\nwatch /a/*\n}", "respond ok", `unknown subdirective "watch" of the global option comet`},
		{"global: repeated", "comet {\nmax_holds 1\nmax_holds 2\n}", "respond ok", `max_holds is set twice in the global option comet`},
		{"global: heartbeat", "comet {\nheartbeat soon\n}", "respond ok", `"soon" is no duration`},
		{"global: size", "comet {\nmax_event big\n}", "respond ok", `"big" is no size; write one as in 512KiB or 64MiB`},
		{"global: size zero", "comet {\nmax_history 0\n}", "respond ok", `"0" is no size`},
		{"global: size beyond all", "comet {\nmax_event 5PiB\n}", "respond ok", `"5PiB" is no size`},
		{"global: a total missing", "comet {\nmax_memory\n}", "respond ok", `max_memory takes one size, as in 64MiB`},
		{"global: a count beyond all", "comet {\nmax_holds 1000000000\n}", "respond ok", `"1000000000" is no number from 1 up to 100000000`},
		{"global: size missing", "comet {\nmax_event\n}", "respond ok", `max_event takes one size, as in 64MiB`},

		// store
		{"store: nothing", "comet {\nstore\n}", "respond ok", `store takes one directory, as in store /var/lib/comet, or off`},
		{"store: two", "comet {\nstore /a /b\n}", "respond ok", `store takes one directory`},
		{"store: a relative path", "comet {\nstore data\n}", "respond ok", `store data: not an absolute path; write one as in store /var/lib/comet, at Caddyfile:3`},
		{"store: a file", "comet {\nstore /etc/passwd\n}", "respond ok", `store /etc/passwd: it is a file; name a directory, as in store /var/lib/comet`},
		{"store: twice", "comet {\nhub a {\nstore /a\nstore /a\n}\n}", "respond ok", `store is set twice in hub; keep one`},
		{"store: in a directive", "", "comet {\nstore /a\n}", `unknown subdirective "store" of comet`},

		// hubs
		{"hub: without name", "comet {\nhub {\n}\n}", "respond ok", `hub takes one name`},
		{"hub: twice", "comet {\nhub a\nhub a\n}", "respond ok", `hub a is declared twice; merge the blocks into one`},
		{"hub: unknown", "comet {\nhub a {\nmax_hold 5\n}\n}", "respond ok", `unknown subdirective "max_hold" of hub; did you mean "max_holds"?`},
		{"hub: repeated", "comet {\nhub a {\nhold 5s\nhold 5s\n}\n}", "respond ok", `hold is set twice in hub`},
		{"hub: a hub in a hub", "comet {\nhub a {\nhub b\n}\n}", "respond ok", `unknown subdirective "hub" of hub`},

		// history
		{"history: nothing", "comet {\nhistory\n}", "respond ok", `history takes a count, an age and a size, as in history 100 10m 1MiB, or off`},
		{"history: four", "comet {\nhistory 1 1m 1MiB 2\n}", "respond ok", `history takes a count, an age and a size`},
		{"history: no value", "comet {\nhistory long\n}", "respond ok", `history: "long" is no count (100), age (10m) or size (1MiB); for none write history off`},
		{"history: zero", "comet {\nhistory 0\n}", "respond ok", `for none write history off`},
		{"history: negative", "comet {\nhistory -1\n}", "respond ok", `history: "-1" is no count`},
		{"history: off and more", "comet {\nhistory off 5m\n}", "respond ok", `history: "off" is no count`},
		{"history: two counts", "comet {\nhistory 100 200\n}", "respond ok", `history: "200" is a second value of its kind`},
		{"history: two ages", "comet {\nhistory 1m 2m\n}", "respond ok", `history: "2m" is a second value of its kind`},
		{"history: two sizes", "comet {\nhistory 1MiB 2MB\n}", "respond ok", `history: "2MB" is a second value of its kind`},
		{"history: a count with a comma is no size", "comet {\nhistory 1,000\n}", "respond ok", `history: "1,000" is no count`},
		{"history: a broken count is no size", "comet {\nhistory 1.5\n}", "respond ok", `history: "1.5" is no count`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := ":8080 {\n" + c.site + "\n}\n"
			if c.globals != "" {
				text = "{\n" + c.globals + "\n}\n" + text
			}
			_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is\n\t%v\nand should say\n\t%s", err, c.want)
			}
		})
	}
}

// TestTheExampleAdapts holds what the README tells people to copy.
func TestTheExampleAdapts(t *testing.T) {
	example, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	_, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(example, nil)
	if err != nil || len(warnings) > 0 {
		t.Errorf("Caddyfile.example: %v %v", err, warnings)
	}
}

// FuzzCaddyfile: whatever stands in a Caddyfile, each directive and the global option
// take it, or say in which line they do not.
func FuzzCaddyfile(f *testing.F) {
	files, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := strings.Cut(string(content), "----------\n")
		for i, line := range strings.SplitAfter(input, "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "comet") {
				f.Add(strings.Join(strings.SplitAfter(input, "\n")[i:], ""))
			}
		}
	}
	for _, text := range []string{"comet", "comet {", "comet a b c {\n}", "comet {\n\thub x {\n\t\twatch\n\t}\n}", "comet {\n\tstore\n}", "comet_publish x {\n\tuser\n}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tokens, err := caddyfile.Tokenize([]byte(text), "Caddyfile")
		if err != nil || len(tokens) == 0 {
			return // Caddy says so itself
		}
		for name, read := range map[string]func(d *caddyfile.Dispenser) (any, error){
			"global":        func(d *caddyfile.Dispenser) (any, error) { return parseGlobal(d, nil) },
			"comet":         func(d *caddyfile.Dispenser) (any, error) { c := new(Comet); return c, c.UnmarshalCaddyfile(d) },
			"comet_publish": func(d *caddyfile.Dispenser) (any, error) { p := new(Publish); return p, p.UnmarshalCaddyfile(d) },
			"comet_backend": func(d *caddyfile.Dispenser) (any, error) { b := new(Backend); return b, b.UnmarshalCaddyfile(d) },
			"comet_status":  func(d *caddyfile.Dispenser) (any, error) { s := new(StatusPage); return s, s.UnmarshalCaddyfile(d) },
		} {
			made, err := read(caddyfile.NewDispenser(slices.Clone(tokens)))
			if err != nil {
				if !strings.Contains(err.Error(), "Caddyfile:") {
					t.Errorf("%s: %v: in which line?", name, err)
				}
				continue
			}
			if _, err := json.Marshal(made); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
