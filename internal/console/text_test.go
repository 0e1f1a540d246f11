package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// TestATerminalIsGivenNoOrders by what came from outside.
func TestATerminalIsGivenNoOrders(t *testing.T) {
	for in, want := range map[string]string{
		"orders":            "orders",
		"Jürgen 日本":         "Jürgen 日本",
		"a\x1b[2Jb":         `a\x1b[2Jb`,
		"a\nb\tc\r":         `a\nb\tc\r`,
		"\u009b31m":         `\u009b31m`,
		"a\xffb":            `a\xffb`,
		"evil\u202egpj.exe": `evil\u202egpj.exe`,
		"it's \"so\"":       `it's "so"`,
		"back\\slash":       `back\slash`,
		"replaced \ufffd":   "replaced \ufffd",
		"":                  "",
	} {
		if got := Plain(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzEventsAreLines(f *testing.F) {
	f.Add([]byte(`{"channel":"a","time":"2026-11-22T12:31:05Z","type":"sale","data":{"id":42}}`))
	f.Add([]byte(`{"channel":"\u001b[2J","type":"\n","data":"\u009b"}`))
	f.Add([]byte(`{"data":"aGk=","encoding":"base64","type":"message"}`))
	f.Add([]byte("\x1b[2J"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		line := ansi.Strip(readEvent(raw).line(10))
		for _, r := range line {
			if !unicode.IsPrint(r) && r != unicode.ReplacementChar {
				t.Errorf("%q from %q", line, raw)
			}
		}
	})
}

// TestEventsArePrinted for people and for programs.
func TestEventsArePrinted(t *testing.T) {
	for raw, want := range map[string]string{
		`{"channel":"orders","time":"2026-11-22T12:31:05.25Z","type":"message","data":{"id":42}}`:          `12:31:05.250  orders  {"id":42}`,
		`{"channel":"x","time":"2026-11-22T12:31:05Z","type":"sale","data":"two\nlines"}`:                  `12:31:05.000  x       sale two\nlines`,
		`{"channel":"x","time":"2026-11-22T12:31:05Z","type":"message","data":"aGk=","encoding":"base64"}`: `12:31:05.000  x       (2 bytes)`,
		`{"channel":"x","time":"2026-11-22T12:31:05Z","type":"message","data":""}`:                         `12:31:05.000  x       `,
	} {
		var out bytes.Buffer
		if err := (EventPrinter{Out: Colours(&out, nil), Width: 6}).Print(json.RawMessage(raw)); err != nil || out.String() != want+"\n" {
			t.Errorf("got %q, want %q", out.String(), want)
		}
		out.Reset()
		if err := (EventPrinter{Out: &out, JSON: true}).Print(json.RawMessage(raw)); err != nil || out.String() != raw+"\n" {
			t.Errorf("got %q", out.String())
		}
	}
	for environ, coloured := range map[string]bool{"": true, "NO_COLOR=1": false} {
		var out bytes.Buffer
		_ = EventPrinter{Out: Colours(&out, []string{environ, "TERM=xterm-256color", "CLICOLOR_FORCE=1"})}.Print(json.RawMessage(`{"channel":"x","data":1}`))
		if strings.Contains(out.String(), "\x1b[3") != coloured {
			t.Errorf("%q: %q", environ, out.String())
		}
	}
}

func TestHoldsArePrinted(t *testing.T) {
	holds := []figures.Hold{
		{Hub: "shop", Channels: []string{"orders", "alerts"}, Dialect: "native", Transport: "sse", User: "Jane \x1b[2J", Client: "203.0.113.7", Age: 7265, Parked: true},
		{Hub: "shop/doorbell", Channels: []string{"7"}, MoreChannels: 980, Dialect: "doorbell", Transport: "script", Age: 0.4},
	}
	var out bytes.Buffer
	table, lines := HoldPrinter{Out: &out}, HoldPrinter{Out: &out, JSON: true}
	for _, h := range holds {
		if err := errors.Join(table.Print(h), lines.Print(h)); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "holds", strings.TrimSuffix(out.String(), "\n"))
}

func TestSpansAndNumbers(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", 185 * time.Second: "3m05s",
		130 * time.Minute: "2h10m", 76 * time.Hour: "3d04h", 400 * 24 * time.Hour: "400d00h",
	} {
		if got := ago(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
	for r, want := range map[float64]string{-1: "-", 0: "0", 0.04: "0.0", 3: "3.0", 99.96: "100.0", 251000.4: "251,000"} {
		if got := perSecond(r); got != want {
			t.Errorf("%v: got %s, want %s", r, got, want)
		}
	}
	if r := rate(5, 3, 1); r != -1 {
		t.Errorf("a counter that went back has the rate %v", r)
	}
}

// TestAListThatEndsInTheMiddleIsNoList.
func TestAListThatEndsInTheMiddleIsNoList(t *testing.T) {
	whole := `{"holds":[
{"hub":"a","channels":["x"]},
{"hub":"b","channels":["y"]}
],"more":3}`
	read := func(s string) (n, more int, err error) {
		more, err = readHolds(json.NewDecoder(strings.NewReader(s)), func(figures.Hold) error { n++; return nil })
		return n, more, err
	}
	if n, more, err := read(whole); n != 2 || more != 3 || err != nil {
		t.Errorf("%d %d %v", n, more, err)
	}
	for i := range len(whole) - 1 {
		if _, _, err := read(whole[:i]); err == nil || !strings.Contains(err.Error(), "ends in the middle") {
			t.Errorf("%q: %v", whole[:i], err)
		}
	}
	enough := errors.New("enough")
	if _, err := readHolds(json.NewDecoder(strings.NewReader(whole)), func(figures.Hold) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
}

// TestWhatIsWrongIsSaidWithWhatToDo, where the server cannot be asked or is another.
func TestWhatIsWrongIsSaidWithWhatToDo(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "x.sock")
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	admin := &Remote{Network: "unix", Address: socket, Name: "unix/" + socket}
	publish := &Remote{Network: "unix", Address: socket, Name: socket, Own: true}
	gone := &Remote{Network: "unix", Address: "/nowhere/at/all/x.sock", Name: "x"}
	tcp := &Remote{Network: "tcp", Address: "localhost:2019", Name: "localhost:2019"}
	dialling := func(err error) error {
		return &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", err)}
	}
	for _, c := range []struct {
		r    *Remote
		err  error
		want []string
	}{
		{admin, dialling(syscall.ECONNREFUSED), []string{"no server answers at the admin endpoint unix/" + socket, "is it running?", "name it with --address, or the configuration that has it with --config <Caddyfile> ("}},
		{publish, dialling(syscall.ENOENT), []string{"no server answers at the comet_publish " + socket, "--socket"}},
		{publish, dialling(syscall.EACCES), []string{socket + " is of ", "with mode 0600, and you are ", "put \"sudo -u ", "\" in front of the command"}},
		{gone, dialling(fs.ErrPermission), []string{": / is of root with mode "}},
		{tcp, dialling(syscall.EACCES), []string{"run the command as the server's user or as root"}},
		{tcp, &net.DNSError{Name: "nosuch", Err: "no such host"}, []string{"there is no machine of the name nosuch", "unix//run/caddy/admin.sock"}},
		{tcp, errors.New(`net/http: HTTP/1.x transport connection broken: malformed HTTP response "\x15"`), []string{"does not speak plain HTTP"}},
	} {
		got := c.r.explain(c.err).Error()
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%v: %q has no %q", c.err, got, want)
			}
		}
	}
	status, body := 0, ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer srv.Close()
	for _, c := range []struct {
		status int
		body   string
		own    bool
		want   string
	}{
		{404, `{"error":"there is no hub \"x\""}`, false, `there is no hub "x"`},
		{404, "404 page not found", false, "has no comet in it; is another Caddy running there? name the right one with --address"},
		{404, "<html>", true, "has no comet in it; is another Caddy running there? name the right one with --socket"},
		{200, "<html>", false, "what answers at here is no caddy-comet"},
		{200, "", true, "what answers at here is no caddy-comet"},
		{502, "<html>", false, "says 502 Bad Gateway, which no caddy-comet does"},
		{401, `{"error":"a key is needed"}`, true, "wants a key: name the file that has it with --key-file"},
		{403, `{"error":"host not allowed: x"}`, false, "refuses this address (host not allowed: x)"},
	} {
		status, body = c.status, c.body
		r := &Remote{Network: "tcp", Address: srv.Listener.Addr().String(), Name: "here", Own: c.own}
		if _, err := r.Status(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d %q: got %v, want %q", c.status, c.body, err, c.want)
		}
	}
}
