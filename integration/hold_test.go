package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crowd is how many polls are held at once in the central tests.
const crowd = 3000

// poller is one visitor: a client of its own with one connection.
type poller struct {
	client *http.Client
	stamp  int64  // the novcomet position
	cursor string // the native one
}

func pollers(n int) []*poller {
	all := make([]*poller, n)
	for i := range all {
		all[i] = &poller{client: &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: 2 * patience}}
	}
	return all
}

func (p *poller) get(url string) ([]byte, error) {
	res, err := p.client.Get(url)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", res.StatusCode, b)
	}
	return b, err
}

// held reads from the metrics how many requests are held.
func held(t *testing.T, dir, dialect string) func() int {
	return func() int {
		n := 0
		line := fmt.Sprintf(`caddy_comet_held{dialect=%q,hub="default",transport="poll"}`, dialect)
		for l := range bytes.Lines([]byte(adminGet(t, dir, "/metrics"))) {
			if bytes.HasPrefix(l, []byte(line)) {
				_, _ = fmt.Sscan(string(l[len(line):]), &n)
			}
		}
		return n
	}
}

// everybody has each poller call poll, and reports the first errors.
func everybody(t *testing.T, all []*poller, poll func(*poller) error) (wait func()) {
	t.Helper()
	var wg sync.WaitGroup
	var failed atomic.Int32
	for i, p := range all {
		wg.Go(func() {
			if err := poll(p); err != nil && failed.Add(1) <= 3 {
				t.Errorf("visitor %d: %v", i, err)
			}
		})
	}
	return func() {
		wg.Wait()
		if n := failed.Load(); n > 3 {
			t.Errorf("%d visitors failed in all", n)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

// TestOneTouchWakesThreeThousand is the main job: one PHP worker, three thousand
// visitors, and the site still answers.
func TestOneTouchWakesThreeThousand(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	fpm(t, dir, 1)
	listen := port(t)
	caddy(t, dir, fmt.Sprintf(`{
	auto_https off
}
http://127.0.0.1:%s {
	comet /comet.php novcomet {
		watch %s/run/*.comet
		hold 5m
	}
%s}
`, listen, dir, phpSite(dir)))
	base := "http://127.0.0.1:" + listen

	all := pollers(crowd)
	nov := func(p *poller) error {
		answer, err := p.get(fmt.Sprintf("%s/comet.php?&subscribed[news]=%d&subscribed[other]=0&%d", base, p.stamp, time.Now().Unix()))
		if err != nil {
			return err
		}
		var got struct {
			S int              `json:"s"`
			K map[string]int64 `json:"k"`
		}
		if err := json.Unmarshal(answer, &got); err != nil {
			return fmt.Errorf("%s: %w", answer, err)
		}
		if got.S != 1 || len(got.K) != 1 || got.K["news"] <= p.stamp {
			return fmt.Errorf("answered %s behind %d", answer, p.stamp)
		}
		p.stamp = got.K["news"]
		return nil
	}
	count := held(t, dir, "novcomet")
	rounds := 3
	for round := range rounds {
		wait := everybody(t, all, nov)
		until(t, "all visitors to be held", func() bool { return count() == crowd })

		if _, body := get(t, base+"/index.php"); body[:4] != "home" {
			t.Errorf("the home page says %q", body)
		}
		if _, body := get(t, base+"/comet.php?&publish=news"); body != "true" {
			t.Fatalf("PHP's publish answered %q", body)
		}
		wait()

		info, err := os.Stat(filepath.Join(dir, "run", "news.comet"))
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range all {
			if p.stamp != all[0].stamp {
				t.Fatalf("round %d: visitor %d got %d, visitor 0 %d", round, i, p.stamp, all[0].stamp)
			}
		}
		// Two touches in one second are two stamps, so the stamp may be ahead.
		if s, m := all[0].stamp, info.ModTime().Unix(); s < m || s > m+int64(rounds) {
			t.Errorf("round %d: the stamp is %d, the file's time %d", round, s, m)
		}
	}

	// Nobody is answered twice: with the last stamp all wait.
	wait := everybody(t, all, func(p *poller) error {
		answer, err := p.get(fmt.Sprintf("%s/comet.php?subscribed[news]=%d&subscribed[end]=0", base, p.stamp))
		if err == nil && !bytes.Contains(answer, []byte(`{"s":1,"k":{"end":`)) {
			err = fmt.Errorf("answered %s", answer)
		}
		return err
	})
	until(t, "all visitors to be held again", func() bool { return count() == crowd })
	if _, body := get(t, base+"/comet.php?publish=end"); body != "true" {
		t.Fatalf("PHP's publish answered %q", body)
	}
	wait()
	until(t, "no visitor to be held", func() bool { return count() == 0 })
}

// TestOnePostWakesThreeThousand is the same on the native dialect, by PHP's
// other way to publish.
func TestOnePostWakesThreeThousand(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	publish := port(t)
	write(t, filepath.Join(dir, "www", "post.php"), fmt.Sprintf(`<?php
echo file_get_contents('http://127.0.0.1:%s/orders', false, stream_context_create(array('http' => array(
	'method' => 'POST', 'header' => 'Content-Type: application/json', 'content' => json_encode(array('id' => (int) $_GET['id'])),
))));
`, publish))
	fpm(t, dir, 1)
	listen := port(t)
	caddy(t, dir, fmt.Sprintf(`{
	auto_https off
}
http://127.0.0.1:%s {
	comet /comet/* {
		hold 5m
	}
%s}
http://127.0.0.1:%s {
	bind 127.0.0.1
	comet_publish
}
`, listen, phpSite(dir), publish))
	base := "http://127.0.0.1:" + listen

	all := pollers(crowd)
	for _, p := range all {
		p.cursor = "now"
	}
	for id := 1; id <= 3; id++ {
		wait := everybody(t, all, func(p *poller) error {
			answer, err := p.get(base + "/comet/orders,alerts?since=" + p.cursor)
			if err != nil {
				return err
			}
			var got struct {
				Cursor string
				Gap    bool
				Events []struct {
					Channel string
					Data    struct{ ID int }
				}
			}
			if err := json.Unmarshal(answer, &got); err != nil {
				return err
			}
			if got.Gap || len(got.Events) != 1 || got.Events[0].Channel != "orders" || got.Events[0].Data.ID != id {
				return fmt.Errorf("event %d: answered %s", id, answer)
			}
			p.cursor = got.Cursor
			return nil
		})
		count := held(t, dir, "native")
		until(t, "all visitors to be held", func() bool { return count() == crowd })
		if _, body := get(t, base+"/index.php"); body[:4] != "home" {
			t.Errorf("the home page says %q", body)
		}
		var result struct{ Receivers int }
		if _, body := get(t, fmt.Sprintf("%s/post.php?id=%d", base, id)); json.Unmarshal([]byte(body), &result) != nil || result.Receivers != crowd {
			t.Errorf("PHP's POST answered %q; %d receivers were expected", body, crowd)
		}
		wait()
	}
}
