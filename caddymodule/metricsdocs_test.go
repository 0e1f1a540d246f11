package caddymodule

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// documentedMetric is a row of a table in docs/metrics.md.
var documentedMetric = regexp.MustCompile("(?m)^\\| `(caddy_comet_\\w+)` \\| (counter|gauge|histogram)[a-z, ]* \\| ([a-z, ]*)\\|")

// TestThePageOfMetricsIsWhatThereIs: each metric with its type and labels, and the
// values of the labels that a list in the code has.
func TestThePageOfMetricsIsWhatThereIs(t *testing.T) {
	b, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	documented := make(map[string]string)
	for _, m := range documentedMetric.FindAllStringSubmatch(page, -1) {
		if documented[m[1]] != "" {
			t.Errorf("%s is there twice", m[1])
		}
		documented[m[1]] = m[2] + " " + strings.ReplaceAll(strings.TrimSpace(m[3]), " ", "")
	}
	there := make(map[string]string)
	for _, d := range descriptions() {
		m := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{(.*)\}\}`).FindStringSubmatch(d.String())
		there[m[1]] = typeOf(m[1]) + " " + m[2]
	}
	for name := range maps.Keys(there) {
		if documented[name] != there[name] {
			t.Errorf("%s is documented as %q, and is %q", name, documented[name], there[name])
		}
	}
	for _, name := range regexp.MustCompile(`caddy_comet_\w+`).FindAllString(page, -1) {
		if there[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}

	values := slices.Concat(dialect.Names(), reasons, watchModes, []string{askAuthorize, askAgain, askLink, askAnswered, askRefused, askFailed})
	for _, o := range []hold.Outcome{hold.Event, hold.Gap, hold.Timeout, hold.ClientGone, hold.Slow, hold.Recycled, hold.Stopped, hold.Retired, hold.Denied, hold.BadMessage, hold.Again, hold.Expired, hold.Kicked} {
		values = append(values, string(o))
	}
	for _, value := range values {
		if !strings.Contains(page, "`"+value+"`") {
			t.Errorf("the labels do not have %s", value)
		}
	}
}

// typeOf is a metric's type as its name has it.
func typeOf(name string) string {
	switch {
	case strings.HasSuffix(name, "_total"):
		return "counter"
	case strings.HasSuffix(name, "_seconds"):
		return "histogram"
	}
	return "gauge"
}

// descriptions are those of all metrics.
func descriptions() (all []*prometheus.Desc) {
	ch := make(chan *prometheus.Desc, 100)
	for _, c := range metrics().all() {
		c.Describe(ch)
	}
	close(ch)
	for d := range ch {
		all = append(all, d)
	}
	return all
}

// TestTheNamesOfMetricsSayTheirTypes, as the page has them.
func TestTheNamesOfMetricsSayTheirTypes(t *testing.T) {
	hub := unique("typed")
	s := start(t, "comet {\nhub "+hub+" {\nstore DIR/kept\nwatch DIR/*.comet\n}\n}", "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub "+hub+"\n}\n}")
	get("http://"+s.site+"/comet/a?wait=0").wants(t, 200, "events")
	askedSite(hub, askAuthorize, askAnswered, 0)
	registry := prometheus.NewRegistry()
	if err := registerMetrics(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if got := strings.ToLower(f.GetType().String()); got != typeOf(f.GetName()) {
			t.Errorf("%s is a %s", f.GetName(), got)
		}
	}
	// All but those of which each label's value has to come first.
	if len(families) < len(descriptions())-2 {
		t.Errorf("only %d are there", len(families))
	}
}

// TestEveryReasonIsOfTheList by which they begin at 0.
func TestEveryReasonIsOfTheList(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`(?:refuse\(w, |refusedAs\(\w+, |denied\.WithLabelValues\([^,]+, |reason (?::?=|:?= [^\n"]*,) |return )"(\w+)"`)
	found := make(map[string]bool)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if strings.HasSuffix(file, "_test.go") || !strings.Contains(text, "refuse") && !strings.Contains(text, "denied") {
			continue
		}
		for _, m := range said.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(m[0], "return ") && file != "hubrate.go" {
				continue
			}
			if found[m[1]] = true; !slices.Contains(reasons, m[1]) {
				t.Errorf("%s: the list has no %q", file, m[1])
			}
		}
	}
	for _, reason := range reasons {
		if !found[reason] {
			t.Errorf("nothing is refused as %q", reason)
		}
	}
}
