package caddymodule

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// TestTheReferenceNamesAllThereIs: options and dialects.
func TestTheReferenceNamesAllThereIs(t *testing.T) {
	b, err := os.ReadFile("../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	reference := string(b)
	for block, heading := range map[string]string{
		":80 {\ncomet {\nzzzzzz 1\n}\n}":                        "`comet`",
		":80 {\ncomet {\ntoken {\nzzzzzz 1\n}\n}\n}":            "`comet`",
		":80 {\ncomet {\nauthorize /a.php {\nzzzzzz 1\n}\n}\n}": "`comet`",
		"{\ncomet {\npresence a {\nzzzzzz 1\n}\n}\n}":           "The global option `comet`",
		"{\ncomet {\nzzzzzz 1\n}\n}":                            "The global option `comet`",
		":80 {\ncomet_publish {\nzzzzzz 1\n}\n}":                "`comet_publish`",
		":80 {\ncomet_backend {\nzzzzzz 1\n}\n}":                "`comet_backend`",
		":80 {\ncomet_status {\nzzzzzz 1\n}\n}":                 "`comet_status`",
	} {
		// The error lists what there is.
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(block), nil)
		known := regexp.MustCompile(`known are (\w+(?:, [a-z]\w+)*), at Caddyfile`).FindStringSubmatch(errorText(err))
		if known == nil {
			t.Fatalf("%s: %v", heading, err)
		}
		_, section, _ := strings.Cut(reference, "\n## "+heading+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		for option := range strings.SplitSeq(known[1], ", ") {
			if !regexp.MustCompile(`(?m)^\t+` + option + `\b`).MatchString(section) {
				t.Errorf("%s: the syntax has no %s", heading, option)
			}
			row := regexp.MustCompile("(?m)^\\| (?:[^|]*[` ])?`" + option + `\b[^|]*\|(.*)\|(.*)\|$`).FindStringSubmatch(escapedBar.ReplaceAllString(section, ""))
			if row == nil || strings.TrimSpace(row[1]) == "" || len(strings.TrimSpace(row[2])) < 20 {
				t.Errorf("%s: no row says the default of %s and when to touch it: %q", heading, option, row)
			}
		}
	}

	for _, name := range dialect.Names() {
		if !strings.Contains(reference, "\n| `"+name+"`") {
			t.Errorf("the dialects do not have %s", name)
		}
	}
}

// TestTheReferenceHasTheTrueDefaults, for what has a number.
func TestTheReferenceHasTheTrueDefaults(t *testing.T) {
	b, err := os.ReadFile("../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	_, global, _ := strings.Cut(string(b), "\n## The global option `comet`\n")
	l := hub.DefaultLimits()
	size := func(n int64) string { return strings.Replace(inBytes(n), ".0", "", 1) }
	age := func(d time.Duration) string { return strings.TrimSuffix(d.String(), "0s") } // of whole minutes
	for option, want := range map[string]string{
		"history":         fmt.Sprintf("`%d %s %s`", l.HistoryCount, age(l.HistoryAge), size(l.HistoryBytes)),
		"max_history":     "`" + size(l.TotalBytes) + "`",
		"max_in_flight":   "`" + size(l.InFlightBytes) + "`",
		"max_event":       "`" + size(int64(l.EventBytes)) + "`, or what fits",
		"max_holds":       fmt.Sprintf("`%d`", l.Holds),
		"max_channels":    fmt.Sprintf("`%d`", l.Channels),
		"hold":            "`" + defaultHold.String() + "`",
		"heartbeat":       "`" + defaultHeartbeat.String() + "`",
		"grace":           "`" + defaultGrace.String() + "`",
		"keep":            fmt.Sprintf("`%s %d`", age(defaultKeepAge), defaultKeepCount),
		"ttl":             "`" + age(authorizeTTL) + "`",
		"timeout":         "`" + authorizeTimeout.String() + "`",
		"php_concurrency": fmt.Sprintf("`%d`", authorizeConcurrency),
	} {
		in := global
		switch option {
		case "keep", "ttl", "timeout", "php_concurrency":
			in = string(b)
		}
		row := regexp.MustCompile("(?m)^\\| (?:… )?`" + option + "` \\| ([^|]*) \\|").FindStringSubmatch(in)
		if row == nil || row[1] != want {
			t.Errorf("the default of %s is %s, not %q", option, want, row)
		}
	}
}

// escapedBar is a bar that ends no cell.
var escapedBar = regexp.MustCompile(`\\\|`)

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
