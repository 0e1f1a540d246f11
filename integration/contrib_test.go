package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheAlertRulesFire when they should, and not else: each has a case of both kinds,
// which promtool runs.
func TestTheAlertRulesFire(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command(find(t, "promtool"), args...)
		cmd.Dir = "../contrib"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
	cases := contrib(t, "alerts_test.yml")
	for _, alert := range alerts(t) {
		for _, kind := range []string{"fires", "does not fire"} {
			// The name of a case, and below it what is expected.
			_, c, ok := strings.Cut(cases, "  - name: "+alert+" "+kind+"\n")
			c, _, _ = strings.Cut(c, "  - name: ")
			if fires := strings.Contains(c, "exp_alerts:\n"); !ok || fires != (kind == "fires") || !strings.Contains(c, "alertname: "+alert+"\n") {
				t.Errorf("no case in which %s %s", alert, kind)
			}
		}
	}
}

// TestTheDashboardAndTheRulesMeetARealServer: a Prometheus with the documented
// configuration scrapes one, loads the rules, and has something to show in each panel.
func TestTheDashboardAndTheRulesMeetARealServer(t *testing.T) {
	dir := runDir(t)
	address, refused := meteredServer(t, dir)
	text := scraped(t, address)

	expressions := make(map[string]string)
	for _, p := range dashboard(t) {
		for _, target := range p.Targets {
			expressions[p.Title+": "+target.LegendFormat] = filled.Replace(target.Expr)
		}
	}
	for _, name := range regexp.MustCompile(`\b(?:caddy|process|go)_\w+`).FindAllString(contrib(t, "alerts.yml")+contrib(t, "grafana.json"), -1) {
		family := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if !strings.Contains(text, "\n# TYPE "+family+" ") {
			t.Errorf("a server has no %s", name)
		}
	}

	query := prometheus(t, dir, address)
	for name, expr := range expressions {
		var got []map[string]string
		until(t, name, func() bool {
			if got = query(expr); len(got) == 0 {
				get(t, refused)
			}
			return len(got) > 0
		})
		_, legend, _ := strings.Cut(name, ": ")
		for _, label := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(legend, -1) {
			if _, ok := got[0][label[1]]; !ok {
				t.Errorf("%s: what is shown has no label %s: %v", name, label[1], got[0])
			}
		}
	}
}

// TestTheDashboardIsWhole: its parts are apart from each other, and each has something
// to show.
func TestTheDashboardIsWhole(t *testing.T) {
	ids := make(map[int]bool)
	taken := make(map[[2]int]string)
	for _, p := range dashboard(t) {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("%q has the number of another, or no title", p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if at := [2]int{x, y}; taken[at] != "" || x >= 24 {
					t.Fatalf("%q lies on %q, or outside", p.Title, taken[at])
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		refs := make(map[string]bool)
		for _, target := range p.Targets {
			if refs[target.RefID] || target.Datasource.UID != "${datasource}" {
				t.Errorf("%q: a query has another's name, or a Prometheus of its own", p.Title)
			}
			refs[target.RefID] = true
			if strings.Contains(target.Expr, "caddy_comet_") && !strings.Contains(target.Expr, `instance=~"$instance"`) {
				t.Errorf("%q shows other instances, too: %s", p.Title, target.Expr)
			}
		}
		if len(refs) == 0 {
			t.Errorf("%q shows nothing", p.Title)
		}
	}
}

func contrib(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile("../contrib/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func alerts(t *testing.T) (names []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(contrib(t, "alerts.yml"), -1) {
		names = append(names, m[1])
	}
	if len(names) == 0 || slices.Contains(names, "") {
		t.Fatal("no alerts")
	}
	return names
}

// panel is what counts of a panel of Grafana's.
type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct {
		Expr, LegendFormat, RefID string
		Datasource                struct{ UID string }
	}
}

func dashboard(t *testing.T) []panel {
	t.Helper()
	var d struct{ Panels []panel }
	if err := json.Unmarshal([]byte(contrib(t, "grafana.json")), &d); err != nil || len(d.Panels) == 0 {
		t.Fatalf("no panels: %v", err)
	}
	return d.Panels
}

// filled puts in what Grafana does.
var filled = strings.NewReplacer("$instance", ".*", "$hub", ".*", "$__rate_interval", "30s")

// meteredServer runs a server in which all figures are there, and returns where the
// documented directive has them, and what it refuses.
func meteredServer(t *testing.T, dir string) (address, refused string) {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/again" {
			w.Header().Set("Comet-Hold", "retry")
			w.Header().Set("Comet-Channel", "a")
		}
		_, _ = io.WriteString(w, "the site")
	}))
	t.Cleanup(site.Close)
	metrics, local := port(t), port(t)
	caddy(t, dir, "{\n\tcomet {\n\t\tstore "+dir+"/kept\n\t\tlease 30s\n\t}\n}\n"+
		"http://127.0.0.1:"+local+` {
	bind 127.0.0.1
	handle /publish/* {
		comet_publish
	}
	handle {
		comet /comet/* {
			watch `+dir+`/*.comet
		}
		comet /private/* {
			authorize /may
		}
		comet_backend {
			hold
		}
		reverse_proxy `+strings.TrimPrefix(site.URL, "http://")+`
	}
}
`+documented(t, "metrics-address", "2021", metrics))
	base := "http://127.0.0.1:" + local
	held := make(chan struct{}, 2)
	for _, path := range []string{"/comet/a", "/again"} {
		go func() {
			if res, err := plain.Get(base + path); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			held <- struct{}{}
		}()
	}
	until(t, "two to be held", func() bool { return metric(t, dir, "caddy_comet_held") == 2 })
	get(t, base+"/private/a?wait=0")
	res, err := plain.Post(base+"/publish/a", "text/plain", strings.NewReader("x"))
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("publishing: %v %v", res, err)
	}
	res.Body.Close()
	<-held
	until(t, "the site to be asked again", func() bool {
		return strings.Contains(adminGet(t, dir, "/metrics"), `caddy_comet_asks_total{hub="default",purpose="again",result="answered"} 1`)
	})
	return "127.0.0.1:" + metrics, base + "/comet/no%20name"
}

func scraped(t *testing.T, address string) string {
	t.Helper()
	_, text := get(t, "http://"+address+"/metrics")
	return "\n" + text
}

// prometheus runs one, by the documented configuration, and returns what asks it: the
// labels of each series of an answer.
func prometheus(t *testing.T, dir, address string) (query func(expr string) []map[string]string) {
	t.Helper()
	rules, err := filepath.Abs("../contrib/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yml")
	write(t, config, "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n  evaluation_interval: 200ms\n"+
		documented(t, "scrape", "127.0.0.1:2021", address, "/etc/prometheus/comet-alerts.yml", rules))
	listen := "127.0.0.1:" + port(t)
	start(t, nil, find(t, "prometheus"), "--config.file="+config, "--storage.tsdb.path="+dir+"/tsdb", "--web.listen-address="+listen, "--log.level=warn")
	ask := func(path string, answer any) {
		t.Helper()
		_, body := get(t, "http://"+listen+path)
		if err := json.Unmarshal([]byte(body), answer); err != nil {
			t.Fatalf("%s: %v: %s", path, err, body)
		}
	}
	until(t, "prometheus to be ready", func() bool {
		res, err := plain.Get("http://" + listen + "/-/ready")
		if err == nil {
			res.Body.Close()
		}
		return err == nil && res.StatusCode == http.StatusOK
	})
	query = func(expr string) (series []map[string]string) {
		t.Helper()
		var answer struct {
			Status, Error string
			Data          struct {
				Result []struct{ Metric map[string]string }
			}
		}
		ask("/api/v1/query?query="+url.QueryEscape(expr), &answer)
		if answer.Status != "success" {
			t.Fatalf("%s: %s", expr, answer.Error)
		}
		for _, r := range answer.Data.Result {
			series = append(series, r.Metric)
		}
		return series
	}

	health := func() (unknown int, text string) {
		var answer struct {
			Data struct {
				Groups []struct {
					Rules []struct{ Name, Health, LastError string }
				}
			}
		}
		ask("/api/v1/rules", &answer)
		for _, g := range answer.Data.Groups {
			for _, r := range g.Rules {
				if r.Health == "unknown" {
					unknown++
				} else if r.Health != "ok" {
					text += fmt.Sprintln(r.Name, r.Health, r.LastError)
				}
			}
		}
		if len(answer.Data.Groups) == 0 {
			unknown++
		}
		return unknown, text
	}
	until(t, "the server to be scraped", func() bool { return len(query("caddy_comet_max_holds")) > 0 })
	until(t, "the rules to be evaluated", func() bool { unknown, _ := health(); return unknown == 0 })
	if _, wrong := health(); wrong != "" {
		t.Error(wrong)
	}
	return query
}
