package caddymodule

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// TestTheReferenceNamesAllThereIs: options, dialects, metrics, and the values of
// labels that a list in the code has.
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

	_, section, _ := strings.Cut(reference, "\n## Metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	named := func(word string) {
		t.Helper()
		if !strings.Contains(section, "`"+word+"`") {
			t.Errorf("the metrics do not have %s", word)
		}
	}
	for _, name := range dialect.Names() {
		named(name)
		if !strings.Contains(reference, "\n| `"+name+"`") {
			t.Errorf("the dialects do not have %s", name)
		}
	}
	for _, o := range []hold.Outcome{hold.Event, hold.Gap, hold.Timeout, hold.ClientGone, hold.Slow, hold.Recycled, hold.Stopped, hold.Retired, hold.Denied, hold.BadMessage, hold.Again, hold.Expired, hold.Kicked} {
		named(string(o))
	}
	for _, d := range descriptions(t) {
		named(regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(d.String())[1])
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

// descriptions are those of all metrics.
func descriptions(t *testing.T) (all []*prometheus.Desc) {
	t.Helper()
	m := metrics()
	for _, c := range []prometheus.Collector{m.held, m.opened, m.answered, m.denied, m.publishSeconds, hubCollector{}} {
		ch := make(chan *prometheus.Desc, 100)
		c.Describe(ch)
		close(ch)
		for d := range ch {
			all = append(all, d)
		}
	}
	return all
}
