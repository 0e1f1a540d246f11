//go:build linux

package integration

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/caddy-comet/caddy-comet/integration/faults"
)

// tenants is a server with three hubs: one that is abused, one whose followers must
// not notice, and one with a crowd. It is built without the race detector, which
// takes several times the memory.
type tenants struct {
	*testing.T
	dir, plain, held, tls, publish string
	process                        *process
	client                         *http.Client
	// hangUp has those hang up who do not read.
	hangUp []func()
}

const mib = 1 << 20

func newTenants(t *testing.T) *tenants {
	t.Helper()
	s := &tenants{T: t, dir: runDir(t)}
	s.plain, s.held, s.tls, s.publish = port(t), port(t), port(t), port(t)
	s.serve()
	return s
}

func (s *tenants) serve() {
	t := s.T
	t.Helper()
	program := filepath.Join(s.dir, "caddy")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/caddy").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const sites = `{
	admin unix/DIR/admin.sock
	persist_config off
	auto_https disable_redirects
	skip_install_trust
	grace_period 1s
	servers {
		protocols h1 h2
	}
	MEMORY
}
(comet) {
	bind 127.0.0.1
	comet /bad/* {
		hub bad
	}
	comet /good/* {
		hub good
	}
	comet /crowd/* {
		hub crowd
	}
	respond 404
}
` + faults.EachWay + `http://127.0.0.1:PUBLISH {
	bind 127.0.0.1
	comet_publish /bad/* bad {
		key 0123456789abcdef
	}
	comet_publish /good/* good {
		key 0123456789abcdef
	}
	comet_publish /crowd/* crowd {
		key 0123456789abcdef
	}
}
`
	memory := documented(t, "memory", "hub shop\n", "hub bad\n\t\thub good {\n\t\t\thistory 1000\n\t\t}\n", "hub forum", "hub crowd")
	memory = strings.TrimSuffix(strings.TrimPrefix(memory, "{\n"), "}\n")
	file := filepath.Join(s.dir, "Caddyfile")
	config := strings.NewReplacer("DIR", s.dir, "PLAIN", s.plain, "HELD", s.held, "TLS", s.tls, "PUBLISH", s.publish, "MEMORY", memory).Replace(sites)
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	s.process = startAs(t, nil, []string{
		"XDG_DATA_HOME=" + s.dir + "/data", "XDG_CONFIG_HOME=" + s.dir + "/config", "HOME=" + s.dir,
	}, program, "run", "--config", file, "--adapter", "caddyfile")
	serving(t, s.process)
	s.client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	t.Cleanup(s.client.CloseIdleConnections)
}

// post publishes and returns the status.
func (s *tenants) post(channels, data string) int {
	s.Helper()
	req, _ := http.NewRequest(http.MethodPost, "http://127.0.0.1:"+s.publish+"/"+channels, strings.NewReader(data))
	req.Header.Set("Authorization", "Bearer 0123456789abcdef")
	res, err := s.client.Do(req)
	if err != nil {
		s.Error(err)
		return 0
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		s.Logf("%d %.200s", res.StatusCode, body)
	}
	return res.StatusCode
}

func (s *tenants) mustPost(channels, data string) {
	s.Helper()
	if status := s.post(channels, data); status != http.StatusOK {
		s.Fatalf("publishing is answered with %d", status)
	}
}

// status returns a figure of the process in bytes, as VmRSS and VmHWM.
func (s *tenants) status(name string) int64 {
	s.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.cmd.Process.Pid))
	if err != nil {
		s.Fatal(err)
	}
	m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindStringSubmatch(string(b))
	if m == nil {
		s.Fatalf("no %s in %s", name, b)
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	return n << 10
}

// forgetPeak has VmHWM begin anew, with what is not garbage now, and returns that.
func (s *tenants) forgetPeak() int64 {
	s.Helper()
	s.collect()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.process.cmd.Process.Pid), []byte("5"), 0); err != nil {
		s.Fatal(err)
	}
	return s.status("VmRSS")
}

// collect has the server collect its garbage, and returns what is in use.
func (s *tenants) collect() int64 {
	s.Helper()
	adminGet(s.T, s.dir, "/debug/pprof/heap?gc=1")
	return s.metric("go_memstats_heap_alloc_bytes", "")
}

// metric is the sum of a metric's values whose labels contain a text.
func (s *tenants) metric(name, label string) (sum int64) {
	s.Helper()
	for line := range strings.Lines(adminGet(s.T, s.dir, "/metrics")) {
		if !strings.HasPrefix(line, name) || strings.TrimLeft(line[len(name):], "{ ") == line[len(name):] || !strings.Contains(line, label) {
			continue
		}
		f := strings.Fields(line)
		v, err := strconv.ParseFloat(f[len(f)-1], 64)
		if err != nil {
			s.Fatal(err)
		}
		sum += int64(v)
	}
	return sum
}

// narrow connects with little room for what comes.
func narrow(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
	}}
	return d.DialContext(ctx, network, address)
}

// unread asks and does not read the answer.
func (s *tenants) unread(way, path string) net.Conn {
	s.Helper()
	at := map[string]string{"parked": s.plain, "held": s.held, "tls": s.tls}[way]
	c, err := narrow(s.Context(), "tcp", "127.0.0.1:"+at)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
	s.hangUp = append(s.hangUp, func() { c.Close() })
	host := "127.0.0.1:" + at
	if way == "tls" {
		host = "localhost:" + at
		c = tls.Client(c, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true})
	}
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); err != nil {
		s.Fatal(err)
	}
	return c
}

// unread2 is unread on HTTP/2. It returns when the answer has begun.
func (s *tenants) unread2(path string) {
	s.Helper()
	transport := &http.Transport{
		ForceAttemptHTTP2: true, DialContext: narrow,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		HTTP2:           &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10},
	}
	s.Cleanup(transport.CloseIdleConnections)
	res, err := (&http.Client{Transport: transport}).Get("https://localhost:" + s.tls + path)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { res.Body.Close() })
	s.hangUp = append(s.hangUp, func() {
		res.Body.Close()
		transport.CloseIdleConnections()
	})
	if res.ProtoMajor != 2 {
		s.Fatalf("got %s", res.Proto)
	}
}

// followers follow the good hub by event streams. told publishes the next events
// there; over wants that each follower has all of them, in order and once.
func (s *tenants) followers(n int) (told func(), over func()) {
	var all sync.WaitGroup
	ctx, cancel := context.WithTimeout(s.Context(), 2*patience)
	events, last := 0, make(chan int, 1)
	for i := range n {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+s.plain+"/good/a?as=sse", nil)
		res, err := plain.Transport.RoundTrip(req)
		if err != nil {
			s.Fatal(err)
		}
		all.Go(func() {
			defer res.Body.Close()
			lines := bufio.NewScanner(res.Body)
			next := 0
			for lines.Scan() {
				data, ok := strings.CutPrefix(lines.Text(), "data: ")
				if !ok {
					continue
				}
				if data == "over" {
					want := <-last
					last <- want
					if next != want {
						s.Errorf("follower %d has %d events of %d", i, next, want)
					}
					return
				}
				if data != strconv.Itoa(next) {
					s.Errorf("follower %d got %q; want %d", i, data, next)
					return
				}
				next++
			}
			s.Errorf("follower %d was cut after %d events: %v", i, next, lines.Err())
		})
	}
	until(s.T, "the followers are there", func() bool { return s.metric("caddy_comet_held", `hub="good"`) == int64(n) })
	told = func() {
		for range 10 {
			s.mustPost("good/a", strconv.Itoa(events))
			events++
		}
	}
	return told, func() {
		last <- events
		s.mustPost("good/a", "over")
		all.Wait()
		cancel()
		until(s.T, "the history of the good hub to be there", func() bool {
			_, body := get(s.T, "http://127.0.0.1:"+s.plain+"/good/a?since=all&wait=0")
			return strings.Count(body, `"time"`) == events+1
		})
		if n := s.metric("caddy_comet_denied_total", `hub="good"`); n != 0 {
			s.Errorf("%d were denied in the good hub", n)
		}
	}
}

// TestATenantTakesNoMoreThanHisMemory whatever he does: a flood, a million channels
// that are used once, readers of every kind who do not read, publishers who do not
// send. Another tenant's followers get all that is theirs.
func TestATenantTakesNoMoreThanHisMemory(t *testing.T) {
	s := newTenants(t)
	told, over := s.followers(10)
	const total = 96 * mib
	told()
	base := s.forgetPeak()
	heap := s.collect()
	within := func(what string) {
		t.Helper()
		// Go's collector lets as much be garbage as is in use, and more while much comes.
		if peak := s.status("VmHWM"); peak > base+3*total+32*mib {
			t.Errorf("%s: the server takes up to %d MiB more", what, (peak-base)/mib)
		} else {
			t.Logf("%s: the server takes up to %d MiB more", what, (peak-base)/mib)
		}
		for name, most := range map[string]int64{
			"caddy_comet_history_bytes": total / 4, "caddy_comet_in_flight_bytes": total / 4, "caddy_comet_channels": total / 8 / 1536,
		} {
			if n := s.metric(name, `hub="bad"`); n > most {
				t.Errorf("%s: %s is %d; %d are allowed", what, name, n, most)
			}
		}
	}

	var flood sync.WaitGroup
	big := strings.Repeat("x", 64<<10)
	for range 8 {
		flood.Go(func() {
			for range 250 {
				s.mustPost("bad/flood", big)
			}
		})
	}
	told()
	flood.Wait()
	within("a flood")

	const million, batch = 1_000_000, 1000
	for i := 0; i < million; i += batch {
		names := make([]string, batch)
		for j := range names {
			names[j] = "c" + strconv.Itoa(i+j)
		}
		list := strings.Join(names, ",")
		s.mustPost("bad/"+list, "x")
		res, err := s.client.Get("http://127.0.0.1:" + s.plain + "/bad/asked-" + strings.Join(names, ",asked-") + "?wait=0")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		if res.Body.Close(); res.StatusCode != http.StatusOK || !strings.Contains(string(body), `"cursor"`) {
			t.Fatalf("%d %.200s", res.StatusCode, body)
		}
		if i%(100*batch) == 0 {
			told()
		}
	}
	within("a million channels")
	if n := s.metric("caddy_comet_events_total", `hub="bad"`); n != million+2000 {
		t.Errorf("%d events", n)
	}

	huge := strings.Repeat("x", mib-1)
	for _, way := range []string{"parked", "tls", "held", "h2"} {
		for i := range 100 {
			channel := way + strconv.Itoa(i)
			s.mustPost("bad/"+channel, huge)
			path := "/bad/" + channel + "?since=all&as=" + []string{"poll", "sse", "stream"}[i%3]
			if way == "h2" {
				s.unread2(path)
			} else {
				s.unread(way, path)
			}
		}
		told()
		within("readers who do not read, " + way)
		until(t, "most of them to be cut", func() bool {
			return s.metric("caddy_comet_answered_total", `outcome="slow"`) > 0 && s.metric("caddy_comet_in_flight_bytes", `hub="bad"`) <= total/8
		})
	}
	if n := s.metric("caddy_comet_in_flight_bytes", `hub="bad"`); n < 8*mib {
		t.Errorf("only %d bytes were on their way, so nothing was tried", n)
	}

	stalled := make([]net.Conn, 0, 200)
	for range 200 {
		c, err := net.Dial("tcp", "127.0.0.1:"+s.publish)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		stalled = append(stalled, c)
		_, _ = fmt.Fprintf(c, "POST /bad/stalled HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nAuthorization: Bearer 0123456789abcdef\r\nContent-Length: %d\r\n\r\n", s.publish, mib)
		_ = c.SetWriteDeadline(time.Now().Add(patience))
		_, err = io.WriteString(c, huge) // all but a byte
		if err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
	}
	until(t, "publishers to be refused", func() bool {
		return s.metric("caddy_comet_denied_total", `hub="bad"`) >= 200-total/16/mib
	})
	if status := s.post("bad/more", huge); status != http.StatusServiceUnavailable {
		t.Errorf("one more is answered with %d", status)
	}
	told()
	within("publishers who do not send")
	for _, c := range stalled {
		c.Close()
	}
	until(t, "room to be there again", func() bool { return s.post("bad/more", huge) == http.StatusOK })
	over()

	// What is left is history, and the channels of it.
	for _, hangUp := range s.hangUp {
		hangUp()
	}
	until(t, "nothing to be on its way", func() bool {
		return s.metric("caddy_comet_in_flight_bytes", `hub="bad"`) == 0 && s.metric("caddy_comet_held", `hub="bad"`) == 0
	})
	s.collect()
	if left := s.collect() - heap; left > total/2+16*mib {
		t.Errorf("%d MiB are left", left/mib)
		if os.Getenv("KEEP_PROFILE") != "" {
			_ = os.WriteFile(os.Getenv("KEEP_PROFILE"), []byte(adminGet(t, s.dir, "/debug/pprof/heap?gc=1&debug=1")), 0o600)
		}
	} else {
		t.Logf("%d MiB are left", left/mib)
	}
}

// TestAMegabyteForFiveThousandReaders is in memory once, whether they read or not.
func TestAMegabyteForFiveThousandReaders(t *testing.T) {
	s := newTenants(t)
	told, over := s.followers(10)
	told()
	base := s.forgetPeak()
	const many, reading, total = 5000, 200, 600 * mib
	conns := make([]net.Conn, many)
	for i := range conns {
		way := "parked"
		if i%50 == 0 {
			way = "held"
		}
		conns[i] = s.unread(way, "/crowd/a?as=sse")
	}
	until(t, "all to be held", func() bool { return s.metric("caddy_comet_held", `hub="crowd"`) == many })
	// Some read, and most do not: they have the first event on their way all the time.
	got := make(chan int, reading)
	var all sync.WaitGroup
	const events = 5
	for i := range reading {
		all.Go(func() {
			r := bufio.NewReaderSize(conns[i], 64<<10)
			for next := 0; next < events; {
				line, err := r.ReadSlice('\n')
				if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
					t.Errorf("reader %d has %d events: %v", i, next, err)
					return
				}
				if strings.HasPrefix(string(line), "data: ") && string(line) != "data: \n" { // which is a sign of life
					if want := fmt.Sprintf("data: %dxxx", next); !strings.HasPrefix(string(line), want) {
						t.Errorf("reader %d got %.200q; want %s", i, line, want)
						return
					}
					next++
					got <- i
				}
			}
		})
	}
	huge := strings.Repeat("x", mib-1)
	for i := range events {
		s.mustPost("crowd/a", strconv.Itoa(i)+huge)
		told()
		giveUp := time.After(patience)
		for n := range reading {
			select {
			case <-got:
			case <-giveUp:
				t.Fatalf("only %d readers have event %d", n, i)
			}
		}
		if n := s.metric("caddy_comet_in_flight_bytes", `hub="crowd"`); n < mib || n > 4*mib {
			t.Errorf("%d bytes are on their way", n)
		}
	}
	all.Wait()
	if peak := s.status("VmHWM"); peak > base+total {
		t.Errorf("the server takes up to %d MiB more", (peak-base)/mib)
	} else {
		t.Logf("the server takes up to %d MiB more", (peak-base)/mib)
	}
	for _, c := range conns {
		c.Close()
	}
	until(t, "nobody to be held", func() bool {
		return s.metric("caddy_comet_held", `hub="crowd"`) == 0 && s.metric("caddy_comet_in_flight_bytes", `hub="crowd"`) == 0
	})
	told()
	over()
}
