package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// storeSite is the documented configuration with our addresses and directory.
func storeSite(t *testing.T, dir, listen, local string) string {
	t.Helper()
	return documented(t, "store",
		"{\n\tcomet {", "{\n\tadmin {$CADDY_ADMIN}\n\tauto_https off\n\tcomet {",
		"/var/lib/comet", dir+"/store",
		"http:// {\n", "http://127.0.0.1:"+listen+" {\n\tbind 127.0.0.1\n",
		"127.0.0.1:2020", "127.0.0.1:"+local)
}

// poster publishes one event after the other on a channel of its own. It repeats
// what was not answered, with the same ID, until it is told to stop.
type poster struct {
	url, channel string
	stop         <-chan struct{}
	// acknowledged are the sequences, in the order of the answers; next is what the
	// following event says.
	acknowledged []string
	next         int
}

func (p *poster) run(t *testing.T) {
	client := &http.Client{Timeout: patience}
	for {
		select {
		case <-p.stop:
			return
		default:
		}
		r, err := http.NewRequest("POST", p.url+"/"+p.channel, strings.NewReader(fmt.Sprint(p.next)))
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Comet-Id", fmt.Sprint(p.next))
		res, err := client.Do(r)
		if err != nil {
			continue // the server is away
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		var answer struct{ Cursor string }
		if err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(b, &answer) != nil {
			continue
		}
		p.acknowledged = append(p.acknowledged, answer.Cursor)
		p.next++
	}
}

// cursorReader follows a channel by the cursors of its answers.
type cursorReader struct {
	url, cursor string
	got         []string // data and cursor
	gaps        []string
}

func (r *cursorReader) run(until func(got int) bool) {
	client := &http.Client{Timeout: patience}
	for !until(len(r.got)) {
		res, err := client.Get(r.url + "?wait=1&since=" + r.cursor)
		if err != nil {
			continue
		}
		var answer struct {
			Cursor string
			Gap    bool
			Events []struct{ Cursor, Data string }
		}
		err = json.NewDecoder(res.Body).Decode(&answer)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			continue
		}
		if answer.Gap {
			r.gaps = append(r.gaps, "after "+r.cursor)
		}
		for _, e := range answer.Events {
			r.got = append(r.got, e.Data+" "+e.Cursor)
		}
		r.cursor = answer.Cursor
	}
}

// TestAKilledServerLosesNothingThatItAcknowledged kills the server again and again
// while publishers publish. Whoever follows by cursors gets every acknowledged
// event once, in order, with the cursor that its publisher was told, and no gap.
func TestAKilledServerLosesNothingThatItAcknowledged(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir, listen, local := runDir(t), port(t), port(t)
	site := storeSite(t, dir, listen, local)
	// Readers must not fall behind what is kept.
	site = strings.Replace(site, "\tcomet {\n", "\tcomet {\n\t\thistory 100000 1h 64MiB\n", 1)
	server := caddy(t, dir, site)

	stop := make(chan struct{})
	posters := make([]*poster, 6)
	readers := make([]*cursorReader, len(posters))
	var writing, reading sync.WaitGroup
	for i := range posters {
		p := &poster{url: "http://127.0.0.1:" + local, channel: fmt.Sprint("c", i), stop: stop}
		_, body := get(t, "http://127.0.0.1:"+listen+"/comet/"+p.channel+"?since=")
		var answer struct{ Cursor string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatal(err)
		}
		r := &cursorReader{url: "http://127.0.0.1:" + listen + "/comet/" + p.channel, cursor: answer.Cursor}
		posters[i], readers[i] = p, r
		writing.Go(func() { p.run(t) })
	}
	done := make(chan struct{})
	for i, r := range readers {
		reading.Go(func() {
			r.run(func(got int) bool {
				select {
				case <-done: // no poster runs any more
					return got >= len(posters[i].acknowledged)
				default:
					return false
				}
			})
		})
	}
	sequence := func() (n int) {
		_, body := get(t, "http://127.0.0.1:"+local+"/")
		var answer struct{ Cursor string }
		_ = json.Unmarshal([]byte(body), &answer)
		_, _ = fmt.Sscanf(answer.Cursor[strings.IndexByte(answer.Cursor, '.')+1:], "%d", &n)
		return n
	}
	for range 5 {
		from, more := sequence(), 20+random.IntN(200)
		until(t, "some events", func() bool { return sequence() >= from+more })
		server.kill(t)
		server = caddy(t, dir, site)
	}
	from := sequence()
	until(t, "the last events", func() bool { return sequence() >= from+20 })
	close(stop)
	writing.Wait()
	close(done)
	reading.Wait()

	total := 0
	for i, r := range readers {
		want := posters[i].acknowledged
		total += len(want)
		if len(r.gaps) > 0 || len(r.got) != len(want) {
			t.Errorf("channel %d: %d events of %d, gaps %v", i, len(r.got), len(want), r.gaps)
			continue
		}
		for n, cursor := range want {
			if r.got[n] != fmt.Sprint(n, " ", cursor) {
				t.Fatalf("channel %d: event %d is %q, and was acknowledged as %s", i, n, r.got[n], cursor)
			}
		}
	}
	t.Logf("%d events were acknowledged over 5 kills", total)
	if info, err := os.Stat(filepath.Join(dir, "store", "default.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
}

// TestAStoreThatIsInUse: `caddy validate` beside a running server opens nothing, and
// a second server is told what is the matter.
func TestAStoreThatIsInUse(t *testing.T) {
	dir, listen, local := runDir(t), port(t), port(t)
	site := storeSite(t, dir, listen, local)
	caddy(t, dir, site)
	publish := func() int {
		res, err := http.Post("http://127.0.0.1:"+local+"/a", "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	if status := publish(); status != http.StatusOK {
		t.Fatal(status)
	}
	file := filepath.Join(dir, "store", "default.db")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	validate := start(t, []string{"CADDY_ADMIN=off", "HOME=" + dir}, binary, "validate", "--adapter", "caddyfile", "--config", filepath.Join(dir, "Caddyfile"))
	<-validate.done
	if !validate.cmd.ProcessState.Success() {
		t.Errorf("validate: %s", validate.out)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("validate changed the file: %v", err)
	}
	other := runDir(t)
	second := startCaddy(t, nil, other, strings.NewReplacer(listen, port(t), local, port(t)).Replace(site))
	<-second.done
	want := fmt.Sprintf("hub default: store %s is in use by another process; stop that, or give this server another directory", file)
	if second.cmd.ProcessState.Success() || !strings.Contains(second.out.String(), want) {
		t.Errorf("the second server says %s", second.out)
	}
	if status := publish(); status != http.StatusOK {
		t.Error(status)
	}
}
