package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/integration/faults"
)

// upgradeHolds is how many wait when the package is upgraded. More, for a look by hand:
// COMET_UPGRADE_HOLDS=5000.
const upgradeHolds = 300

// packageUpgrades has many wait in every form while the package is upgraded and
// somebody publishes all the time: they come back with their cursors, and get every
// event once and in order, without a gap.
func packageUpgrades(t *testing.T, m *machine, upgrade func()) {
	holds := upgradeHolds
	if n, err := strconv.Atoi(os.Getenv("COMET_UPGRADE_HOLDS")); err == nil {
		holds = n
	}
	const site, publish = "http://127.0.0.1/comet/", "http://127.0.0.1:2020"
	forms := []string{"poll", "poll", "poll", "sse", "websocket", "stream", "frame", "multipart"}
	channels := make([]string, 10)
	for i := range channels {
		channels[i] = fmt.Sprintf("c%d", i)
	}
	seed := faults.Seed(time.Now().UnixNano() >> 12)
	t.Logf("seed %d", seed)
	direct := m.client()
	res, err := direct.Get(publish + "/")
	if err != nil {
		t.Fatal(err)
	}
	var hub struct{ Cursor string }
	err = json.NewDecoder(res.Body).Decode(&hub)
	res.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	ledger := faults.NewLedger()
	ledger.Epoch(hub.Cursor)

	all, end := context.WithCancel(t.Context())
	defer end()
	var following, publishing sync.WaitGroup
	leave := func() {
		end()
		// Nothing else ends a WebSocket.
		_ = m.command("systemctl", "stop", "caddy-comet").Run()
		following.Wait()
	}
	defer func() {
		if t.Failed() {
			leave()
		}
	}()
	followers := make([]*faults.Follower, holds)
	for i := range followers {
		name := fmt.Sprintf("%s %d", forms[i%len(forms)], i)
		f := faults.NewFollower(name, forms[i%len(forms)], m.client(), site, hub.Cursor, channels[i%len(channels):][:1], ledger, seed)
		followers[i] = f
		following.Go(func() { f.Run(all) })
	}
	until(t, "all to wait", func() bool { return m.held() == holds })

	poster := func(channel, name string) *faults.Poster {
		return &faults.Poster{Channel: channel, Name: name, Client: direct, Base: publish, Ledger: ledger, Chance: seed.Source(name+channel, 0), Pace: 200 * time.Millisecond}
	}
	pid := m.run("systemctl show -P MainPID caddy-comet")
	now, over := context.WithCancel(all)
	for i, channel := range channels {
		if i < len(channels)/2 { // some channels are busy, of others there is news while the server is away at the earliest
			publishing.Go(func() { poster(channel, "p").Run(now, all) })
		}
	}
	upgrade()
	over()
	for _, channel := range channels {
		publishing.Go(func() {
			poster(channel, faults.LastPublisher).Publish(all, faults.Token(channel, faults.LastPublisher, 0))
		})
	}
	publishing.Wait()
	if now := m.run("systemctl show -P MainPID caddy-comet"); now == pid || now == "0" {
		t.Errorf("the process was %s and is %s", pid, now)
	}

	var records []*faults.Record
	answers, cut := 0, 0
	for _, f := range followers {
		select {
		case <-f.Finished:
		case <-time.After(patience):
			leave()
			t.Fatalf("%s is not at its end; it was told of the gaps %v, and complains of %q", f.Name, f.Gaps, f.Complaints)
		}
		records = append(records, &f.Record)
		answers, cut = answers+f.Answers, cut+f.Cut
	}
	for _, v := range ledger.Judge(faults.Law{}, records) {
		t.Error(v)
	}
	t.Logf("%d events, %d followers, %d answers, %d cut", ledger.Certain(), holds, answers, cut)
}
