package caddymodule

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// metric sums a hub's metric over all its other labels, or over those series alone
// that have these values. Only what has the name is asked for: by the end of the
// tests a process has had hundreds of hubs.
func metric(t *testing.T, name, hub string, values ...string) float64 {
	t.Helper()
	sum, named := 0.0, `fqName: "`+name+`"`
	for _, c := range metrics().all() {
		descs := make(chan *prometheus.Desc, 64)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			if strings.Contains(d.String(), named) {
				sum += sumOf(t, c, d, append(values, hub))
			}
		}
	}
	return sum
}

// sumOf sums what a collector says of d with all these label values.
func sumOf(t *testing.T, c prometheus.Collector, d *prometheus.Desc, values []string) (sum float64) {
	t.Helper()
	ch := make(chan prometheus.Metric, 64)
	go func() {
		c.Collect(ch)
		close(ch)
	}()
	for m := range ch {
		if m.Desc() != d {
			continue
		}
		var is dto.Metric
		if err := m.Write(&is); err != nil {
			t.Error(err)
			continue
		}
		got := make(map[string]bool)
		for _, l := range is.Label {
			got[l.GetValue()] = true
		}
		if !slices.ContainsFunc(values, func(v string) bool { return !got[v] }) {
			sum += value(&is)
		}
	}
	return sum
}

func value(m *dto.Metric) float64 {
	return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
}

// TestMetricsHaveTheirNamesAndNeverAChannel scrapes Caddy's own endpoint.
func TestMetricsHaveTheirNamesAndNeverAChannel(t *testing.T) {
	hub := unique("metered")
	s := start(t, "comet {\nhub "+hub+" {\nwatch DIR/*.comet\nmax_holds 2\n}\n}", `
http://SITE {
	bind 127.0.0.1
	comet /comet/* {
		hub `+hub+`
	}
	comet /comet.php novcomet {
		hub `+hub+`
	}
}
http:// {
	bind unix/SOCKET
	comet_publish `+hub+`
}`)
	secret := unique("secretchannel")
	door := overSocket(s.socket)
	poll := holding("http://" + s.site + "/comet/" + secret)
	nov := holding("http://" + s.site + "/comet.php?subscribed[" + secret + "]=0")
	held(t, hub, secret, 2)
	get("http://"+s.site+"/comet/"+secret).wants(t, 503, "too many held requests")
	during := send(s.admin(), "GET", "http://127.0.0.1/metrics", "").body
	send(door, "POST", "http://x/"+secret, "x").wants(t, 200, secret)
	send(door, "POST", "http://x/"+secret, "x", "Origin", "https://x").wants(t, 403, "browsers")
	receive(t, poll)
	receive(t, nov)
	get("http://"+s.site+"/comet/"+secret+"?wait=0").wants(t, 200, "events")
	get("http://"+s.site+"/comet/"+secret+"%20x").wants(t, 400, "")
	if err := os.WriteFile(s.dir+"/"+secret+".comet", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var text string
	eventually(t, "the file's event is counted, and that the posted one has reached everybody", func() bool {
		text = send(s.admin(), "GET", "http://127.0.0.1/metrics", "").body
		return strings.Contains(text, `caddy_comet_events_total{hub="`+hub+`",source="file"} 1`) &&
			strings.Contains(text, `caddy_comet_publish_seconds_count{hub="`+hub+`"} 1`)
	})

	labels := `{dialect="native",hub="` + hub + `",transport="poll"} `
	if !strings.Contains(during, "caddy_comet_held"+labels+"1\n") {
		t.Error("the held poll is not counted while it is held")
	}
	for _, want := range []string{
		"caddy_comet_held" + labels + "0\n",
		"caddy_comet_opened_total" + labels + "3\n",
		`caddy_comet_answered_total{dialect="native",hub="` + hub + `",outcome="event",transport="poll"} 1`,
		`caddy_comet_answered_total{dialect="native",hub="` + hub + `",outcome="timeout",transport="poll"} 1`,
		`caddy_comet_answered_total{dialect="native",hub="` + hub + `",outcome="denied",transport="poll"} 1`,
		`caddy_comet_answered_total{dialect="novcomet",hub="` + hub + `",outcome="event",transport="poll"} 1`,
		`caddy_comet_events_total{hub="` + hub + `",source="post"} 1`,
		`caddy_comet_deliveries_total{hub="` + hub + `"} `,
		`caddy_comet_channels{hub="` + hub + `"} 1`,
		`caddy_comet_history_bytes{hub="` + hub + `"} `,
		`caddy_comet_publish_seconds_count{hub="` + hub + `"} 1`,
		`caddy_comet_denied_total{hub="` + hub + `",reason="limit"} 1`,
		`caddy_comet_denied_total{hub="` + hub + `",reason="publisher"} 1`,
		`caddy_comet_denied_total{hub="` + hub + `",reason="request"} 1`,
		`caddy_comet_watches{hub="` + hub + `",mode="`,
		`caddy_comet_watch_faults{hub="` + hub + `"} 0`,
		`caddy_comet_max_holds{hub="` + hub + `"} 2`,
		`caddy_comet_denied_total{hub="` + hub + `",reason="store"} 0`,
		"caddy_comet_watch_overflows_total ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, secret) {
			t.Errorf("a channel's name: %s", line)
		}
		if m := regexp.MustCompile(`^caddy_comet_\w+\{(.*)\}`).FindStringSubmatch(line); m != nil {
			for pair := range strings.SplitSeq(m[1], ",") {
				name, _, _ := strings.Cut(pair, "=")
				if !strings.Contains("hub dialect transport outcome source reason mode purpose result le", name) {
					t.Errorf("an unknown label %s: %s", name, line)
				}
			}
		}
	}
}

// TestWhatTheSiteIsAskedIsCounted, once for each question that it is really asked, from
// 0 on for each result.
func TestWhatTheSiteIsAskedIsCounted(t *testing.T) {
	d := authorized(t, "cookies php")
	asked := func(result string) float64 {
		return metric(t, "caddy_comet_asks_total", defaultHub, askAuthorize, result)
	}
	allowed, refused, failed := asked(askAnswered), asked(askRefused), asked(askFailed)
	times := metric(t, "caddy_comet_ask_seconds", defaultHub, askAuthorize)
	kicks := metric(t, "caddy_comet_kicks_total", defaultHub)
	a := unique("a")
	for range 3 {
		get(d.comet(a)+"?wait=0", "Cookie", "PHPSESSID=42").wants(t, 200, "")
	}
	get(d.comet(a)).wants(t, 401, "sign in")
	d.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	get(d.comet(a)+"?wait=0", "Cookie", "PHPSESSID=43").wants(t, 503, "cannot say")
	if asked(askAnswered) != allowed+1 || asked(askRefused) != refused+1 || asked(askFailed) != failed+1 {
		t.Errorf("answered, refused, failed: %v, %v, %v more", asked(askAnswered)-allowed, asked(askRefused)-refused, asked(askFailed)-failed)
	}
	if n := metric(t, "caddy_comet_ask_seconds", defaultHub, askAuthorize) - times; n != 3 {
		t.Errorf("%v took time", n)
	}
	send(plain, "DELETE", "http://"+d.publish+"/_holds?user=42", "").wants(t, 200, "ended")
	if n := metric(t, "caddy_comet_kicks_total", defaultHub) - kicks; n != 1 {
		t.Errorf("%v kicks", n)
	}
}
