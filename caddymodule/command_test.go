package caddymodule

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// run runs `caddy comet …` and returns what it printed and its exit code.
func run(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := command(t, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	caddy, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), caddy, append([]string{"comet"}, args...)...)
}

// TestTheCommandPublishes with data, from standard input, and with a type.
func TestTheCommandPublishes(t *testing.T) {
	s := start(t, "", simple)
	address := "unix/" + s.dir + "/admin.sock"
	for _, c := range []struct {
		name, stdin string
		args        []string
		data, kind  string
	}{
		{"JSON", "", []string{`{"id": 42}`}, `{"id": 42}`, "message"},
		{"text", "", []string{"two words"}, `"two words"`, "message"},
		{"JSON by force", "", []string{"--content-type", "application/json", "7"}, `7`, "message"},
		{"standard input", "from a pipe\n", []string{"-"}, `"from a pipe\n"`, "message"},
		{"nothing", "not read", nil, `""`, "message"},
		{"a type", "", []string{"--type", "sale", "x"}, `"x"`, "sale"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := unique("cli")
			since := get("http://" + s.site + "/comet/" + name + "?since=").poll(t).Cursor
			out, errs, code := run(t, c.stdin, append([]string{"publish", "--address", address, name}, c.args...)...)
			var p published
			if err := json.Unmarshal([]byte(out), &p); err != nil || code != 0 || p.Channel != name {
				t.Fatalf("%d %q %q", code, out, errs)
			}
			got := get("http://" + s.site + "/comet/" + name + "?since=" + since).poll(t)
			if len(got.Events) != 1 || string(got.Events[0].Data) != c.data || got.Events[0].Type != c.kind {
				t.Errorf("got %+v", got)
			}
		})
	}
	t.Run("several channels, an ID, the address from a file", func(t *testing.T) {
		x, y := unique("x"), unique("y")
		config := s.dir + "/Caddyfile"
		if err := os.WriteFile(config, []byte("{\n\tadmin "+address+"\n}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		for i, repeated := range []int{0, 2} {
			out, errs, code := run(t, "", "publish", "--config", config, "--id", "7", x+","+y, "d")
			if code != 0 || strings.Count(out, `"repeated":true`) != repeated || strings.Count(out, `"cursor"`) != 2 {
				t.Errorf("%d: %d %q %q", i, code, out, errs)
			}
		}
	})
}

// TestTheCommandSaysWhatIsWrong and ends with another code than 0.
func TestTheCommandSaysWhatIsWrong(t *testing.T) {
	one, two := unique("one"), unique("two")
	s := start(t, "comet {\nhub "+one+"\nhub "+two+"\n}", "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub "+one+"\n}\n}")
	address := "unix/" + s.dir + "/admin.sock"
	nobody := freeAddress(t)
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"nobody there", []string{"status", "--address", nobody}, "no server answers at the admin endpoint " + nobody + ": is it running? if its endpoint is elsewhere, name it with --address"},
		{"no socket there", []string{"publish", "--address", "unix//nowhere/x.sock", "a", "b"}, "no server answers at the admin endpoint unix//nowhere/x.sock"},
		{"tail: nobody there", []string{"tail", "--address", nobody, "a"}, "no server answers"},
		{"no address", []string{"status", "--address", "localhost:1-5"}, "invalid admin address"},
		{"several hubs", []string{"publish", "--address", address, "a", "b"}, "there are several hubs; choose one with --hub: " + one + ", " + two},
		{"several hubs: tail", []string{"tail", "--address", address, "a"}, "choose one with --hub"},
		{"a hub that is none", []string{"publish", "--address", address, "--hub", "nohub", "a", "b"}, `there is no hub \"nohub\" in the running configuration`},
		{"a hub that is none: status", []string{"status", "--address", address, "--hub", "nohub"}, `there is no hub \"nohub\" in the running configuration`},
		{"a kept name", []string{"publish", "--address", address, "--hub", one, "_a", "b"}, "is kept for the endpoint itself"},
		{"a cursor that is none", []string{"tail", "--address", address, "--hub", one, "a", "--since", "monday"}, "a cursor is what an earlier answer gave"},
		{"a command that is none", []string{"pubish", "a"}, `unknown command "pubish"`},
		{"no channel", []string{"publish", "--address", address}, "accepts between 1 and 2 arg(s)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, errs, code := run(t, "", c.args...)
			plain := strings.ReplaceAll(errs, `\\\"`, `\"`)
			if code == 0 || !strings.Contains(strings.ReplaceAll(plain, `\"`, `"`), strings.ReplaceAll(c.want, `\"`, `"`)) {
				t.Errorf("%d %q %q", code, out, errs)
			}
		})
	}
	if err := loadJSON(`{"admin":{"listen":"` + address + `","config":{"persist":false}}}`); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := run(t, "", "publish", "--address", address, "a", "b"); code == 0 || !strings.Contains(errs, "it has no comet directive") {
		t.Errorf("%d %q", code, errs)
	}
}

// TestTheCommandsHelpIsWorthReading says what each does, with an example, by the
// name that the program has here.
func TestTheCommandsHelpIsWorthReading(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--help"}, []string{"admin endpoint", "publish", "tail", "status", "--address"}},
		{nil, []string{"publish", "tail", "status"}},
		{[]string{"publish", "--help"}, []string{"standard input", "  caddy-comet comet publish orders", "--type", "--id", "--hub"}},
		{[]string{"tail", "--help"}, []string{"Ctrl-C", "--since", "  caddy-comet comet tail orders,alerts --since all"}},
		{[]string{"status", "--help"}, []string{"--json"}},
		{[]string{"doctor", "--help"}, []string{"  caddy-comet comet doctor https://example.com", "docs/troubleshooting.md", "exit code", "--wait", "--php-user", "--json"}},
	} {
		out, errs, code := run(t, "", c.args...)
		for _, want := range c.want {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%v: %d, %q is missing in %q %q", c.args, code, want, out, errs)
			}
		}
	}
}

// TestTheCommandShowsTheStatus as a table and as JSON.
func TestTheCommandShowsTheStatus(t *testing.T) {
	one, two := unique("one"), unique("two")
	s := start(t, "comet {\nhub "+one+" {\nwatch DIR/*.comet\n}\nhub "+two+"\n}", "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub "+one+"\n}\n}")
	address := "unix/" + s.dir + "/admin.sock"
	holding("http://" + s.site + "/comet/a")
	held(t, one, "a", 1)
	if _, errs, code := run(t, "", "publish", "--address", address, "--hub", two, "b", "data"); code != 0 {
		t.Fatal(errs)
	}
	out, errs, code := run(t, "", "status", "--address", address)
	lines := strings.Split(out, "\n")
	if code != 0 || len(lines) < 5 || !strings.HasPrefix(lines[0], "HUB ") || strings.Fields(lines[1])[0] != one || strings.Fields(lines[1])[1] != "1" ||
		!strings.Contains(lines[2], "1 by post") || !strings.Contains(out, s.dir+"/*.comet") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if out, _, _ := run(t, "", "status", "--address", address, "--hub", two); strings.Contains(out, one) || strings.Contains(out, "*.comet") || !strings.Contains(out, two) {
		t.Errorf("of one hub: %s", out)
	}
	out, errs, code = run(t, "", "status", "--json", "--address", address)
	var st figures.Status
	if err := json.Unmarshal([]byte(out), &st); err != nil || code != 0 || len(st.Hubs) != 2 || st.Hubs[0].Held != 1 || len(st.Watches) != 1 {
		t.Errorf("%d %s %s", code, out, errs)
	}
}

// TestTailGoesOnAcrossARestart: it begins with what is kept, prints what comes,
// waits while the server is away, and tells of the loss.
func TestTailGoesOnAcrossARestart(t *testing.T) {
	s := newServer(t)
	config := s.dir + "/config.json"
	address := "unix/" + s.dir + "/admin.sock"
	if err := os.WriteFile(config, s.adapt("", simple), 0o644); err != nil {
		t.Fatal(err)
	}
	first := s.process(config)
	s.must("orders", "one")
	since := s.must("orders", "two")

	follow := func(since string) (out, errs *bufio.Scanner) {
		tail := command(t, "tail", "--json", "--address", address, "orders", "--since", since)
		stdout, _ := tail.StdoutPipe()
		stderr, _ := tail.StderrPipe()
		if err := tail.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tail.Process.Kill(); _ = tail.Wait() })
		return bufio.NewScanner(stdout), bufio.NewScanner(stderr)
	}
	out, errs := follow("all")
	line(t, out, `"data":"one"`)
	line(t, out, `"data":"two"`)
	// One that got nothing yet must wait for the server just the same.
	quiet, quietErrs := follow(since)
	eventually(t, "both follow", func() bool {
		return strings.Contains(get("http://"+s.publish+"/orders").body, `"held":2`)
	})
	first.stop()
	line(t, errs, "the server is away; waiting for it")
	line(t, quietErrs, "the server is away; waiting for it")
	s.process(config)
	line(t, errs, "events are lost")
	line(t, quietErrs, "events are lost")
	eventually(t, "both follow", func() bool {
		return strings.Contains(get("http://"+s.publish+"/orders").body, `"held":2`)
	})
	s.must("orders", "three")
	line(t, out, `"data":"three"`)
	line(t, quiet, `"data":"three"`)
}

func line(t *testing.T, s *bufio.Scanner, want string) {
	t.Helper()
	c := make(chan string, 1)
	go func() {
		s.Scan()
		c <- s.Text()
	}()
	if got := receive(t, c); !strings.Contains(got, want) {
		t.Fatalf("printed %q; want %q", got, want)
	}
}

// caddyProcess is a Caddy of its own.
type caddyProcess struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan error
}

// process runs the binary with the configuration until it answers.
func (s *server) process(config string) *caddyProcess {
	s.t.Helper()
	caddy, err := binary()
	if err != nil {
		s.t.Fatal(err)
	}
	p := &caddyProcess{s.t, exec.Command(caddy, "run", "--config", config), make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = io.Discard, io.Discard
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	s.t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	eventually(s.t, "the server answers", func() bool { return get("http://"+s.site+"/comet/ready?wait=0").status == 200 })
	return p
}

// stop sends SIGTERM and waits for the end, which must be a good one.
func (p *caddyProcess) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if err := receive(p.t, p.done); err != nil {
		p.t.Errorf("the server ended with %v", err)
	}
}
