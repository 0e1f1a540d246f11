package caddymodule

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-comet/caddy-comet/internal/freeport"
)

// The tests run Caddy in this process, one configuration after the other, so
// none of them is parallel. Hubs outlive a configuration as they should; so
// tests choose names of their own (unique).

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "comet")
	if err != nil {
		panic(err)
	}
	_ = os.Setenv("XDG_CONFIG_HOME", dir)
	_ = os.Setenv("XDG_DATA_HOME", dir)
	binaryDir = dir
	code := m.Run()
	_ = caddy.Stop()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

var (
	binaryDir string
	// binary builds Caddy with this module once.
	binary = sync.OnceValues(func() (string, error) {
		path := filepath.Join(binaryDir, "caddy-comet")
		out, err := exec.Command("go", "build", "-o", path, "../cmd/caddy").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return path, err
	})
	counter atomic.Int64
)

// unique returns a name that no other test has.
func unique(prefix string) string { return fmt.Sprintf("%s%d", prefix, counter.Add(1)) }

// deadline is how long tests wait for what must happen at once.
const deadline = time.Minute

// eventually waits until the condition holds, where another process or the
// kernel is involved.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// server is a Caddy in this process. In the configurations SITE and PUBLISH are
// free addresses, PORT is that of SITE, TLS another, SOCKET a path for a Unix socket, DIR a directory.
type server struct {
	t             *testing.T
	site, publish string
	dir, socket   string
	tlsPort       string
	logFile       string
	loads         int
}

func newServer(t *testing.T) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "c") // a short one: a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, site: freeAddress(t), publish: freeAddress(t), dir: dir, socket: dir + "/p.sock"}
	_, s.tlsPort, _ = net.SplitHostPort(freeAddress(t))
	t.Cleanup(func() {
		_ = caddy.Stop()
		_ = os.RemoveAll(dir)
	})
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	port, free, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free)
	return "127.0.0.1:" + port
}

// start loads a configuration of global options and sites.
func start(t *testing.T, globals, sites string) *server {
	t.Helper()
	s := newServer(t)
	s.reload(globals, sites)
	return s
}

func (s *server) reload(globals, sites string) {
	s.t.Helper()
	if err := s.load(globals, sites); err != nil {
		s.t.Fatal(err)
	}
	// Caddy may close the sockets of the servers that end a little later, and with
	// them the connections that the kernel has just given them.
	for _, address := range []string{s.site, s.publish} {
		eventually(s.t, "the server that ends listens no more", func() bool { return listening(address) <= 1 })
	}
}

// listening is how many sockets listen at the port of an address, the most at one of
// the port's addresses, by Linux; 0 elsewhere.
func listening(address string) (most int) {
	at := make(map[string]int)
	_, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(table)
		for line := range strings.Lines(string(text)) {
			const listen = "0A"
			if f := strings.Fields(line); strings.HasSuffix(f[1], fmt.Sprintf(":%04X", number)) && f[3] == listen {
				at[f[1]]++
				most = max(most, at[f[1]])
			}
		}
	}
	return most
}

func (s *server) load(globals, sites string) error {
	s.t.Helper()
	return caddy.Load(s.adapt(globals, sites), true)
}

// adapt returns the JSON of a Caddyfile. Each has a log file of its own.
func (s *server) adapt(globals, sites string) []byte {
	s.t.Helper()
	s.loads++
	s.logFile = fmt.Sprintf("%s/log%d", s.dir, s.loads)
	config := "{\n\tadmin unix/" + s.dir + "/admin.sock\n\tpersist_config off\n\tauto_https disable_redirects\n\tgrace_period 5s\n" +
		"\tlog {\n\t\toutput file " + s.logFile + " {\n\t\t\troll_disabled\n\t\t}\n\t\tformat json\n\t}\n" + globals + "\n}\n" + sites
	return adapt(s.t, strings.NewReplacer("SITE", s.site, "PORT", s.site[strings.LastIndexByte(s.site, ':')+1:], "PUBLISH", s.publish, "SOCKET", s.socket, "TLS", s.tlsPort, "DIR", s.dir).Replace(config))
}

func adapt(t testing.TB, caddyfile string) []byte {
	t.Helper()
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// logs returns what the last configuration logged.
func (s *server) logs() string {
	b, _ := os.ReadFile(s.logFile)
	return string(b)
}

// overSocket is a client for a Unix socket.
func overSocket(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
}

func (s *server) admin() *http.Client { return overSocket(s.dir + "/admin.sock") }

// answer is what a request was answered.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

// poll is the native poll's answer.
type poll struct {
	Cursor string `json:"cursor"`
	Gap    bool   `json:"gap"`
	Events []struct {
		Channel string          `json:"channel"`
		Cursor  string          `json:"cursor"`
		Type    string          `json:"type"`
		Data    json.RawMessage `json:"data"`
	} `json:"events"`
}

func (a answer) poll(t *testing.T) poll {
	t.Helper()
	var p poll
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != http.StatusOK || p.Cursor == "" {
		t.Fatalf("no poll's answer: %d %q %v", a.status, a.body, a.err)
	}
	return p
}

// plain sends each request over a connection of its own.
var plain = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// send makes a request; header is pairs of names and values.
func send(client *http.Client, method, url, body string, header ...string) answer {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	if body == "" {
		r.Body, r.ContentLength = nil, 0
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(r)
	for range 5 {
		if r.Method != http.MethodGet || !lostByReload(err) {
			break
		}
		res, err = client.Do(r)
	}
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b), err}
}

// lostByReload reports whether a connection ended as one does that reached a
// listener which a reload was just closing: net/http drops its request, or TCP
// resets it. No handler sees that, and clients try again.
func lostByReload(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

// h2Client speaks HTTP/2 only, and trusts everybody.
func h2Client(clear bool) *http.Client {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(clear)
	p.SetHTTP2(!clear)
	return &http.Client{Transport: &http.Transport{Protocols: p, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}

// h3Client speaks HTTP/3 only, and trusts everybody.
func h3Client(t *testing.T) *http.Client {
	transport := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(func() { transport.Close() })
	return &http.Client{Transport: transport}
}

func get(url string, header ...string) answer { return send(plain, "GET", url, "", header...) }

// holding begins a request and returns where its answer will be.
func holding(url string) <-chan answer {
	c := make(chan answer, 1)
	go func() { c <- get(url) }()
	return c
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(deadline):
		t.Fatal("no answer in time")
		panic("unreachable")
	}
}

// held waits until so many requests follow the channel.
func held(t *testing.T, hubName, channel string, n int) {
	t.Helper()
	got := -1
	for end := time.Now().Add(deadline); got != n; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d are held on %s of %s (-1: there is no hub), want %d", got, channel, hubName, n)
		}
		if h, ok := findHub(hubName); ok {
			info, _ := h.Info(channel)
			got = info.Held
		}
	}
}

// must publishes through the server's door and returns the cursor.
func (s *server) must(channel, data string) string {
	s.t.Helper()
	a := send(plain, "POST", "http://"+s.publish+"/"+channel, data)
	var p published
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != http.StatusOK {
		s.t.Fatalf("publishing on %s: %d %q %v", channel, a.status, a.body, a.err)
	}
	return p.Cursor
}

// wants compares a status and looks for a part of the body.
func (a answer) wants(t *testing.T, status int, part string) {
	t.Helper()
	if a.err != nil || a.status != status || !strings.Contains(a.body, part) {
		t.Errorf("got %d %q %v; want %d with %q", a.status, shortened(a.body), a.err, status, part)
	}
}

func shortened(s string) string { return string(bytes.ToValidUTF8([]byte(s[:min(len(s), 300)]), nil)) }

// simple is a site with native comet on /comet/*, and a door to publish.
const simple = `
http://SITE {
	bind 127.0.0.1
	comet /comet/*
	respond "the site"
}
http://PUBLISH {
	bind 127.0.0.1
	comet_publish
}
`

func loadJSON(config string) error { return caddy.Load([]byte(config), true) }
