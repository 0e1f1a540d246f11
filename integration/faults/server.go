package faults

import (
	"bytes"
	"cmp"
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
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/freeport"
)

// patience is how long anything may take that is only waited for. It decides
// nothing but when a hang is called one.
const patience = 90 * time.Second

// Server is the server under test.
type Server struct {
	binary, dir string
	env         []string
	Ports       Ports
	cmd         *exec.Cmd
	ended       chan struct{}
	out         *os.File
	free        []func()
}

// Ports are the addresses of a round's sites.
type Ports struct{ Plain, Held, TLS, Publish, Taken string }

// NewServer finds ports for it, which are its own until Close.
func NewServer(binary, dir string, env []string) (*Server, error) {
	out, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	s := &Server{binary: binary, dir: dir, env: env, out: out}
	for _, p := range []*string{&s.Ports.Plain, &s.Ports.Held, &s.Ports.TLS, &s.Ports.Publish, &s.Ports.Taken} {
		port, free, err := freeport.Take()
		if err != nil {
			s.Close()
			return nil, err
		}
		*p, s.free = port, append(s.free, free)
	}
	return s, nil
}

// Close gives back what NewServer took. The server has been stopped.
func (s *Server) Close() {
	for _, free := range s.free {
		free()
	}
	s.out.Close()
}

// Settings are what a configuration says besides the sites.
type Settings struct {
	History string
	Hold    time.Duration
	Lease   bool
	// Heartbeat is 1s where it is 0.
	Heartbeat time.Duration
	// Limits are more lines for the comet option, More for the end.
	Limits, More string
	// Without leaves comet out.
	Without bool
}

// EachWay are sites with the snippet comet: one whose connections are parked, one where
// they cannot be, and one with TLS. PLAIN, HELD and TLS are ports.
const EachWay = `http://127.0.0.1:PLAIN {
	import comet
}
http://127.0.0.1:HELD {
	header >X-Held yes
	import comet
}
https://localhost:TLS {
	tls internal
	import comet
}
`

// caddyfile is a configuration with every dialect, in each way.
func (s *Server) caddyfile(c Settings) string {
	global, sites := "", `
http://127.0.0.1:PLAIN, http://127.0.0.1:HELD, https://localhost:TLS {
	bind 127.0.0.1
	respond "no comet here" 404
}`
	if !c.Without {
		global = fmt.Sprintf("\tcomet {\n\t\thistory %s\n\t\thold %s\n\t\theartbeat %s\n%s", c.History, c.Hold, cmp.Or(c.Heartbeat, time.Second), c.Limits)
		if c.Lease {
			global += "\t\tlease 4s\n"
		}
		global += "\t}\n"
		sites = `
(comet) {
	bind 127.0.0.1
	comet /comet/* {
		jsonp
		watch DIR/lines/*.jsonl lines
	}
	comet /comet.php novcomet {
		watch DIR/touch/*.comet
	}
	comet /chat.php filechat {
		watch DIR/chat.txt content
	}
	comet /doorbell/* doorbell
	comet_backend /page {
		piggyback
	}
	respond /page "an ordinary page"
	respond "nothing here" 404
}
` + EachWay + `http://127.0.0.1:PUBLISH {
	bind 127.0.0.1
	comet_publish
}`
	}
	config := "{\n\tadmin unix/DIR/admin.sock\n\tpersist_config off\n\tauto_https disable_redirects\n\tskip_install_trust\n\tgrace_period 10s\n" +
		"\tservers {\n\t\tprotocols h1 h2\n\t}\n" + global + "}" + sites + "\n" + c.More + "\n"
	return strings.NewReplacer("DIR", s.dir, "PLAIN", s.Ports.Plain, "HELD", s.Ports.Held, "TLS", s.Ports.TLS,
		"PUBLISH", s.Ports.Publish, "TAKEN", s.Ports.Taken).Replace(config)
}

// Start starts the process and waits until it serves.
func (s *Server) Start(c Settings) error {
	file := filepath.Join(s.dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(s.caddyfile(c)), 0o644); err != nil {
		return err
	}
	s.cmd = exec.Command(s.binary, "run", "--config", file, "--adapter", "caddyfile")
	s.cmd.Env = append(append(os.Environ(), "XDG_DATA_HOME="+s.dir+"/data", "XDG_CONFIG_HOME="+s.dir+"/config", "HOME="+s.dir), s.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	apart(s.cmd)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	s.ended = ended
	go func(cmd *exec.Cmd) {
		defer close(ended)
		_ = cmd.Wait()
	}(s.cmd)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := s.Cursor(); err == nil && s.secure() {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("the server ended: %v; see %s", s.cmd.ProcessState, s.out.Name())
		default:
		}
	}
	return errors.New("the server does not answer")
}

// secure reports whether the server has its certificate.
func (s *Server) secure() bool {
	c, err := tls.Dial("tcp", "127.0.0.1:"+s.Ports.TLS, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
	if err == nil {
		c.Close()
	}
	return err == nil
}

// Cursor is the hub's.
func (s *Server) Cursor() (string, error) {
	res, err := direct.Get("http://127.0.0.1:" + s.Ports.Publish + "/")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var a struct{ Cursor string }
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil || a.Cursor == "" {
		return "", fmt.Errorf("no cursor (%v)", err)
	}
	return a.Cursor, nil
}

// direct is a client without a proxy and without kept connections.
var direct = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}

// admin is a client of the admin endpoint.
func (s *Server) admin() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.dir+"/admin.sock")
		},
	}}
}

// Goroutines are the server's stacks.
func (s *Server) Goroutines() ([]byte, error) {
	res, err := s.admin().Get("http://127.0.0.1/debug/pprof/goroutine?debug=2")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// Load reloads the server, and returns the status and what it said.
func (s *Server) Load(c Settings) (int, string, error) {
	var err error
	for range 5 {
		var r *http.Request
		if r, err = http.NewRequest(http.MethodPost, "http://127.0.0.1/load", strings.NewReader(s.caddyfile(c))); err != nil {
			return 0, "", err
		}
		r.Header.Set("Content-Type", "text/caddyfile")
		r.Header.Set("Cache-Control", "must-revalidate") // also where nothing is different
		var res *http.Response
		// Each load also ends the admin endpoint of the one before it, and with it
		// whoever is just being listened to there.
		if res, err = s.admin().Do(r); err != nil {
			continue
		}
		var b []byte
		b, err = io.ReadAll(res.Body)
		res.Body.Close()
		if err == nil {
			return res.StatusCode, string(b), nil
		}
	}
	return 0, "", err
}

// PID is the process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Stop ends the process by a signal, and reports when that takes for ever.
func (s *Server) Stop(by syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(by)
	select {
	case <-s.ended:
		return nil
	case <-time.After(patience):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // for the goroutines, in the log
		time.Sleep(time.Second)
		_ = s.cmd.Process.Kill()
		<-s.ended
		return fmt.Errorf("the server had not ended %s after %s", patience, by)
	}
}

// bad is what no log may have.
var bad = regexp.MustCompile(`(?m)^.*(panic|DATA RACE|mistake in this program|fatal error).*$`)

// Mistakes are what the log should not have.
func (s *Server) Mistakes() (found []string) {
	b, err := os.ReadFile(s.out.Name())
	if err != nil {
		return []string{err.Error()}
	}
	for _, at := range bad.FindAllIndex(b, 3) {
		more := b[at[0]:min(len(b), at[0]+6000)]
		found = append(found, "the server's log: "+string(bytes.TrimSpace(more)))
	}
	return found
}
