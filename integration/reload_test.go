//go:build linux

package integration

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/integration/faults"
)

// faultServer starts the server with every dialect.
func faultServer(t *testing.T, c faults.Settings) (*faults.Server, string) {
	t.Helper()
	dir := runDir(t)
	for _, d := range []string{"lines", "touch"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s, err := faults.NewServer(binary, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Start(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		for _, m := range s.Mistakes() {
			t.Error(m)
		}
	})
	return s, dir
}

// metric is the sum of a metric's values, whatever its labels.
func metric(t *testing.T, dir, name string) (sum int) {
	t.Helper()
	for line := range strings.Lines(adminGet(t, dir, "/metrics")) {
		if rest, ok := strings.CutPrefix(line, name); ok && strings.ContainsAny(rest[:1], "{ ") {
			value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += int(value)
		}
	}
	return sum
}

// heldBy is how many are held. Metrics would not tell behind a configuration that
// failed: Caddy's admin endpoint has its own then.
func heldBy(t *testing.T, dir string) (sum int) {
	t.Helper()
	var status struct{ Hubs []struct{ Held int } }
	if err := json.Unmarshal([]byte(adminGet(t, dir, "/comet/")), &status); err != nil {
		t.Fatal(err)
	}
	for _, h := range status.Hubs {
		sum += h.Held
	}
	return sum
}

// inCrowd is how many of a crowd are held: those whom [tell] tells.
func inCrowd(t *testing.T, dir string) (sum int) {
	t.Helper()
	for _, channel := range []string{"default/quiet", "default/news", "default/chat", "default%2Fdoorbell/7"} {
		var status struct{ Held int }
		_ = json.Unmarshal([]byte(adminGet(t, dir, "/comet/"+channel)), &status) // nothing where nobody is
		sum += status.Held
	}
	return sum
}

// reloads are what the twenty are.
var reloads = []struct {
	name   string
	change func(c *faults.Settings)
	status int
}{
	{"the same", func(*faults.Settings) {}, 200},
	{"another history", func(c *faults.Settings) { c.History = "30000 9m 60MiB" }, 200},
	{"other limits", func(c *faults.Settings) { c.Limits = "\t\tmax_holds 90000\n\t\tmax_channels 5000\n\t\tlease 10s\n" }, 200},
	{"a new site", func(c *faults.Settings) {
		c.More = "http://new.localhost:PLAIN {\n\tbind 127.0.0.1\n\timport comet\n}"
	}, 200},
	{"one that fails when it is provisioned", func(c *faults.Settings) {
		c.More = "https://wrong.localhost:TAKEN {\n\tbind 127.0.0.1\n\ttls /nowhere.pem /nowhere.pem\n}"
	}, 400},
	{"one that fails when it starts", func(c *faults.Settings) { c.More = "http://wrong.localhost:TAKEN {\n\tbind 192.0.2.1\n}" }, 400},
	{"one without comet", func(c *faults.Settings) { c.Without = true }, 200},
}

// TestTwentyReloadsLoseNothing: five thousand are held in every dialect and
// transport, a publisher publishes all the time, and one reload after the other
// comes. Nobody who polls or is parked is dropped; streams in goroutines end with
// their cursor; and who follows gets every event once and in order, also where TCP
// or a server that is just closing its connections loses a request.
func TestTwentyReloadsLoseNothing(t *testing.T) {
	t.Parallel()
	start := time.Now()
	kinds, rounds, between := fiveThousand, 20, 60
	if !parking() { // the whole is done with parking
		kinds, rounds, between = shorter(fiveThousand, 5), 7, 40
	}
	config := faults.Settings{History: "50000 10m 64MiB", Hold: 30 * time.Minute, Heartbeat: 20 * time.Second}
	s, dir := faultServer(t, config)
	seed := faults.Seed(time.Now().UnixNano() >> 12)
	t.Logf("seed %d", seed)
	began, err := s.Cursor()
	if err != nil {
		t.Fatal(err)
	}

	// Who follows what is busy.
	ledger := faults.NewLedger()
	ledger.Epoch(began)
	channels := []string{"busy", "lines"}
	var followers []*faults.Follower
	one, two := new(http.Protocols), new(http.Protocols)
	one.SetHTTP1(true)
	two.SetHTTP2(true)
	for _, way := range []struct {
		name, base string
		protocols  *http.Protocols
		fresh      bool
	}{
		{"parked", "http://127.0.0.1:" + s.Ports.Plain, one, false}, {"held", "http://127.0.0.1:" + s.Ports.Held, one, false},
		{"tls", "https://localhost:" + s.Ports.TLS, one, false}, {"h2", "https://localhost:" + s.Ports.TLS, two, false},
		// Each request comes to a listener anew, so that it may meet one that closes.
		{"fresh", "http://127.0.0.1:" + s.Ports.Plain, one, true},
	} {
		for _, form := range faults.Forms(way.protocols) {
			client := &http.Client{Transport: &http.Transport{
				Protocols: way.protocols, DisableKeepAlives: way.fresh, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"},
			}}
			followers = append(followers, faults.NewFollower(way.name+" "+form, form, client, way.base+"/comet/", began, channels, ledger, seed))
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var following sync.WaitGroup
	for _, f := range followers {
		following.Go(func() { f.Run(ctx) })
	}

	// Who is held.
	crowd := newCrowd(t, s, "at-last")
	crowd.ctx = ctx
	held := func() int { return inCrowd(t, dir) }
	all := 0
	defer func() {
		if t.Failed() {
			t.Logf("%d of %d are held; %.2000s", held(), all, strings.Join(crowd.surprises(), "\n"))
		}
	}()
	// HTTP/2 first: its server gives up a connection whose first words it has not
	// read within two seconds, which thousands who come at once may cause.
	for _, two := range []bool{true, false} {
		for _, k := range kinds {
			if (k.way == "h2") == two {
				all += crowd.hold([]kind{k}, "now")
			}
		}
		until(t, "all to be held", func() bool { return held() >= all })
	}
	if parking() {
		want := 0
		for _, k := range kinds {
			if k.parks() {
				want += k.count
			}
		}
		until(t, fmt.Sprintf("%d to be parked", want), func() bool { return metric(t, dir, "caddy_comet_parked") >= want })
	}

	t.Logf("%d are held after %s", all, time.Since(start))
	// The publishers, and the reloads between their events.
	now, over := context.WithCancel(ctx)
	defer over()
	var publishing sync.WaitGroup
	publisher := &faults.Poster{
		Channel: "busy", Name: "p", Client: new(http.Client), Base: "http://127.0.0.1:" + s.Ports.Publish,
		Ledger: ledger, Chance: seed.Source("pace", 0), Pace: 5 * time.Millisecond,
	}
	publishing.Go(func() { publisher.Run(now, ctx) })
	var calm sync.RWMutex
	writer := &faults.Writer{Channel: "lines", Name: "file", Dir: dir, Ledger: ledger, Chance: seed.Source("lines", 0), Pace: 50 * time.Millisecond, Calm: &calm}
	publishing.Go(func() {
		if err := writer.Run(now); err != nil {
			t.Error(err)
		}
	})
	for n := range rounds {
		r := reloads[n%len(reloads)]
		c := config
		r.change(&c)
		if c.Without { // nobody reads files then
			calm.Lock()
			if err := writer.Heard(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if status, said, err := s.Load(c); err != nil || status != r.status {
			t.Fatalf("reload %d, %s: %d %s (%v)", n, r.name, status, said, err)
		}
		if c.Without {
			if status, said, err := s.Load(config); err != nil || status != http.StatusOK {
				t.Fatalf("reload %d, comet again: %d %s (%v)", n, status, said, err)
			}
			calm.Unlock()
		}
		target := ledger.Certain() + between
		until(t, "events between the reloads", func() bool { return ledger.Certain() >= target })
		if wrong := crowd.surprises(); len(wrong) > 0 {
			t.Fatalf("after reload %d, %s, %d were dropped: %s", n, r.name, len(wrong), strings.Join(wrong[:min(5, len(wrong))], "\n"))
		}
	}

	t.Logf("reloaded after %s", time.Since(start))
	// Streams in goroutines have come to an end and back, nobody else has.
	for _, k := range kinds {
		switch {
		case k.stream() && k.parks() && parking():
			if n := crowd.ends(k); n > 0 {
				t.Errorf("%d of %d %s on %s ended, and are parked", n, k.count, k.form, k.way)
			}
		case k.stream():
			until(t, fmt.Sprintf("all %d %s on %s to have ended", k.count, k.form, k.way), func() bool { return crowd.ends(k) >= k.count })
		}
	}
	until(t, "all to be held again", func() bool { return held() >= all })

	t.Logf("all are back after %s", time.Since(start))
	// Everybody is told.
	crowd.expected.Store(true)
	tell(t, s, dir, "at-last")
	until(t, "all to be told", func() bool { return int(crowd.told.Load())+len(crowd.surprises()) >= all })
	if wrong := crowd.surprises(); len(wrong) > 0 {
		t.Errorf("%d were dropped: %s", len(wrong), strings.Join(wrong[:min(5, len(wrong))], "\n"))
	}

	// Who follows comes to the end.
	over()
	publishing.Wait()
	if err := writer.Heard(ctx); err != nil {
		t.Error(err)
	}
	for _, channel := range channels {
		last := &faults.Poster{Channel: channel, Name: faults.LastPublisher, Client: new(http.Client), Base: publisher.Base, Ledger: ledger, Chance: seed.Source("last", 0)}
		last.Publish(ctx, faults.Token(channel, faults.LastPublisher, 0))
	}
	cut := 0
	var records []*faults.Record
	for _, f := range followers {
		select {
		case <-f.Finished:
		case <-time.After(patience):
			t.Errorf("%s is not at the end; %s", f.Name, stacks("faults.(*Follower)"))
		}
	}
	stop()
	following.Wait()
	crowd.wg.Wait()
	for _, f := range followers {
		if t.Failed() {
			t.Logf("%s: %d answers, %d cut, %d events, at %s", f.Name, f.Answers, f.Cut, len(f.Events), f.At())
		}
		cut += f.Cut
		records = append(records, &f.Record)
	}
	for _, wrong := range ledger.Judge(faults.Law{}, records) {
		t.Error(wrong)
	}
	t.Logf("%d events; %d requests of %d followers were lost, and asked again", ledger.Certain(), cut, len(followers))
}

// stacks are those goroutines of ours that are in a function.
func stacks(in string) string {
	b := make([]byte, 64<<20)
	var found []string
	for stack := range strings.SplitSeq(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if strings.Contains(stack, in) {
			found = append(found, stack)
		}
	}
	return strings.Join(found, "\n\n")
}

// tell publishes to all whom a crowd's holds wait with.
func tell(t *testing.T, s *faults.Server, dir, mark string) {
	t.Helper()
	res, err := plain.Post("http://127.0.0.1:"+s.Ports.Publish+"/quiet", "text/plain", strings.NewReader(mark))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	res, err = plain.Post("http://127.0.0.1:"+s.Ports.Plain+"/doorbell/7", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	write(t, filepath.Join(dir, "touch", "news.comet"), "")
	// At one go: this process has so much to do now that an empty file might stay for a
	// while, and be told as what it is.
	write(t, filepath.Join(dir, "chat.new"), mark)
	if err := os.Rename(filepath.Join(dir, "chat.new"), filepath.Join(dir, "chat.txt")); err != nil {
		t.Fatal(err)
	}
}

var goroutineCount = regexp.MustCompile(`goroutine profile: total (\d+)`)

// TestAHundredReloadsLeakNothing: who was held from before a reload is gone after
// it, and with him all that the old configuration had.
func TestAHundredReloadsLeakNothing(t *testing.T) {
	rounds := 100
	if !parking() {
		rounds = 20
	}
	config := faults.Settings{History: "1000 10m 16MiB", Hold: 30 * time.Minute, Heartbeat: 20 * time.Second}
	s, dir := faultServer(t, config)
	count := func() (goroutines, descriptors int) {
		m := goroutineCount.FindStringSubmatch(adminGet(t, dir, "/debug/pprof/goroutine?debug=1"))
		goroutines, _ = strconv.Atoi(m[1])
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
		if err != nil {
			t.Fatal(err)
		}
		return goroutines, len(open)
	}
	few := shorter(fiveThousand, 100000) // one of each
	load := func(n int) {
		t.Helper()
		ctx, stop := context.WithCancel(t.Context())
		crowd := newCrowd(t, s, "never")
		crowd.ctx, crowd.retries = ctx, true
		all := crowd.hold(few, "now")
		until(t, fmt.Sprintf("all to be held before reload %d", n), func() bool { return heldBy(t, dir) >= all })
		r := reloads[n%len(reloads)]
		c := config
		r.change(&c)
		if status, said, err := s.Load(c); err != nil || status != r.status {
			t.Fatalf("reload %d, %s: %d %s (%v)", n, r.name, status, said, err)
		}
		if c.Without {
			if status, said, err := s.Load(config); err != nil || status != http.StatusOK {
				t.Fatalf("reload %d, comet again: %d %s (%v)", n, status, said, err)
			}
		}
		stop()
		crowd.wg.Wait()
		for _, h2 := range crowd.h2 {
			h2.CloseIdleConnections()
		}
		until(t, "nobody to be held", func() bool { return heldBy(t, dir) == 0 })
		if wrong := crowd.surprises(); len(wrong) > 0 {
			t.Fatalf("after reload %d, %s, %d were dropped: %s", n, r.name, len(wrong), strings.Join(wrong[:min(5, len(wrong))], "\n"))
		}
	}
	for n := range len(reloads) {
		load(n)
	}
	const some = 12 // what comes and goes: this very question, timers, connections of the page before
	goroutines, descriptors := count()
	settled := func() bool {
		g, d := count()
		return g <= goroutines+some && d <= descriptors+some
	}
	for n := range rounds {
		load(n)
	}
	defer func() {
		if t.Failed() {
			g, d := count()
			t.Logf("%d goroutines and %d descriptors before, %d and %d after:\n%.20000s", goroutines, descriptors, g, d, adminGet(t, dir, "/debug/pprof/goroutine?debug=1"))
		}
	}()
	until(t, "goroutines and descriptors to be as many as before", settled)
}
