package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// cometPHP puts php/Comet.php into a directory.
func cometPHP(t *testing.T, dir string) {
	t.Helper()
	b, err := os.ReadFile("../php/Comet.php")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "Comet.php"), string(b))
}

// strict is how a script of these tests begins: whatever PHP says of the file is
// seen, and an error handler throws, as those of frameworks do, but also for what
// is behind an @.
const strict = `<?php
error_reporting(-1);
ini_set('display_errors', '1');
set_error_handler(function ($level, $message) { throw new ErrorException("the page is broken: $message"); });
require __DIR__ . '/Comet.php';
use CaddyComet\Comet;
`

// runPHP runs a script beside Comet.php, as www-data if we are root, and returns
// all that it prints.
func runPHP(t *testing.T, dir, script string, args ...string) string {
	t.Helper()
	file, err := os.CreateTemp(dir, "script*.php")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file.Name())
	if _, err := file.WriteString(script); err != nil {
		t.Fatal(err)
	}
	if err := file.Chmod(0o644); err != nil {
		t.Fatal(err)
	}
	file.Close()
	cmd := exec.Command(find(t, "php"), append(args, file.Name())...)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: asUser(t, "www-data")}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// doors is a server with every way to publish.
type doors struct {
	dir, base string
	address   map[string]string
}

const doorKey = "0123456789abcdef+secret"

func newDoors(t *testing.T) doors {
	t.Helper()
	dir := runDir(t)
	site(t, dir)
	cometPHP(t, dir)
	listen, plain, keyed := port(t), port(t), port(t)
	caddy(t, dir, fmt.Sprintf(`{
	auto_https off
}
http://127.0.0.1:%[1]s {
	bind 127.0.0.1
	comet /comet/* {
		watch %[4]s/run/*.jsonl lines
		watch %[4]s/run/*.comet
	}
}
http://127.0.0.1:%[2]s, http://localhost:%[2]s {
	bind 127.0.0.1
	comet_publish
}
http://127.0.0.1:%[3]s {
	bind 127.0.0.1
	comet_publish /inside/* {
		key %[5]s
	}
}
http:// {
	bind unix/%[4]s/publish.sock|0666
	comet_publish
}
`, listen, plain, keyed, dir, doorKey))
	return doors{dir, "http://127.0.0.1:" + listen, map[string]string{
		"touch": "touch:" + dir + "/run", "append": "append:" + dir + "/run",
		"port": "http://127.0.0.1:" + plain, "localhost": "http://localhost:" + plain + "/",
		"unix": "unix:" + dir + "/publish.sock", "keyed": "http://127.0.0.1:" + keyed + "/inside",
	}}
}

// patient is the constructor's options where a noisy machine must not decide.
var patient = fmt.Sprintf("['key' => '%s', 'timeout' => 30]", doorKey)

type told struct {
	Channel, Cursor, Type string
	Data                  any
}

// told returns what is to be heard on a channel since a cursor.
func (d doors) told(t *testing.T, channel, since string) []told {
	t.Helper()
	_, body := get(t, d.base+"/comet/"+channel+"?wait=0&since="+since)
	var answer struct{ Events []told }
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return answer.Events
}

// TestCometPHPPublishes every kind of data, by every way that has data: what goes
// in is what JSON.parse gives in the browser.
func TestCometPHPPublishes(t *testing.T) {
	d := newDoors(t)
	values := []struct{ php, want string }{
		{`['id' => 42, 'name' => 'Zoë/日本', 'price' => 9.5]`, `{"id":42,"name":"Zoë/日本","price":9.5}`},
		{`(object) []`, `{}`},
		{`"two\r\nlines\n"`, `"two\r\nlines\n"`},
		{`'{"what a visitor typed": "stays a string"}'`, `"{\"what a visitor typed\": \"stays a string\"}"`},
		{`'42'`, `"42"`},
		{`42`, `42`},
		{`false`, `false`},
		{`''`, `""`},
		{`null`, `null`},
		{`"no \xff UTF-8"`, `"no � UTF-8"`},
		{`str_repeat('long ', 100000)`, `"` + strings.Repeat("long ", 100000) + `"`},
		{`"a \u{2028} b"`, `"a \u2028 b"`},
	}
	for _, way := range []string{"append", "port", "localhost", "unix", "keyed"} {
		t.Run(way, func(t *testing.T) {
			var calls, all strings.Builder
			for _, v := range values {
				fmt.Fprintf(&calls, "$comet->publish('values-%s', %s) or print($comet->lastError());\n", way, v.php)
			}
			if out := runPHP(t, d.dir, strict+fmt.Sprintf("$comet = new Comet('%s', %s);\n%s", d.address[way], patient, &calls)); out != "" {
				t.Fatal(out)
			}
			until(t, "all events", func() bool { return len(d.told(t, "values-"+way, "all")) >= len(values) })
			got := d.told(t, "values-"+way, "all")
			for i, v := range values {
				var want any
				if err := json.Unmarshal([]byte(v.want), &want); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got[i].Data, want) {
					t.Errorf("%.60s arrived as %.60v", v.php, got[i].Data)
				}
				fmt.Fprintln(&all, got[i].Type)
			}
			if n := strings.Count(all.String(), "message\n"); n != len(values) || len(got) != n {
				t.Errorf("%d of %d events are messages", n, len(got))
			}
		})
	}
	t.Run("touch", func(t *testing.T) {
		if out := runPHP(t, d.dir, strict+fmt.Sprintf("$comet = new Comet('%s'); $comet->publish('news') or print($comet->lastError());", d.address["touch"])); out != "" {
			t.Fatal(out)
		}
		until(t, "the touch", func() bool { return len(d.told(t, "news", "all")) > 0 })
		if got := d.told(t, "news", "all"); got[0].Data != "" {
			t.Errorf("it has the data %v", got[0].Data)
		}
	})
	t.Run("type, ID and content type", func(t *testing.T) {
		out := runPHP(t, d.dir, strict+fmt.Sprintf(`$comet = new Comet('%s', %s);
for ($i = 0; $i < 2; $i++) {
	$comet->publish('typed', ['id' => 42], ['type' => 'sale', 'id' => 'order-42']) or print($comet->lastError());
}
$comet->publish('typed', 'same') && $comet->publish('typed', 'same') or print($comet->lastError());
$comet->publish('typed', '<b>bold</b>', ['content_type' => 'text/html']) or print($comet->lastError());
`, d.address["port"], patient))
		var got []string
		for _, e := range d.told(t, "typed", "all") {
			got = append(got, fmt.Sprint(e.Type, " ", e.Data))
		}
		if want := []string{"sale map[id:42]", "message same", "message same", "message <b>bold</b>"}; out != "" || !reflect.DeepEqual(got, want) {
			t.Errorf("told %q, printed %s", got, out)
		}
	})
	t.Run("the environment", func(t *testing.T) {
		t.Setenv("COMET_URL", d.address["keyed"])
		t.Setenv("COMET_KEY", doorKey)
		if out := runPHP(t, d.dir, strict+"$comet = new Comet(null, ['timeout' => 30]); $comet->publish('environment', 1) or print($comet->lastError());"); out != "" {
			t.Fatal(out)
		}
		if got := d.told(t, "environment", "all"); len(got) != 1 {
			t.Errorf("told %v", got)
		}
	})
	t.Run("the cursor", func(t *testing.T) {
		for _, way := range []string{"port", "unix", "keyed"} {
			out := runPHP(t, d.dir, strict+fmt.Sprintf(`$comet = new Comet('%s', %s);
$comet->publish('from-here', 'before');
echo $comet->cursor();
$comet->publish('from-here', 'after');
echo $comet->lastError();`, d.address[way], patient))
			got := d.told(t, "from-here", out)
			if !regexp.MustCompile(`^[A-Za-z0-9]+\.\d+$`).MatchString(out) || len(got) != 1 || got[0].Data != "after" {
				t.Errorf("%s: since %q there is %v", way, out, got)
			}
		}
		out := runPHP(t, d.dir, strict+fmt.Sprintf("$comet = new Comet('%s'); var_dump($comet->cursor()); echo $comet->lastError();", d.address["append"]))
		if want := "NULL\nappend cannot ask for the position; only an address to POST to can"; out != want {
			t.Errorf("PHP says %s", out)
		}
	})
}

// TestCometPHPSaysWhyNot: each of these is refused with its reason, makes no file
// and reaches no error handler.
func TestCometPHPSaysWhyNot(t *testing.T) {
	d := newDoors(t)
	post, files := "new Comet('"+d.address["port"]+"', "+patient+")", "new Comet('"+d.address["append"]+"')"
	for _, sub := range []string{"sealed", "taken"} {
		if err := os.Mkdir(filepath.Join(d.dir, sub), 0o555); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(d.dir, "taken/orders.jsonl"), 0o555); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ call, why string }{
		{files + ", '../escaped'", `"../escaped" is no channel`},
		{files + `, "orders\0"`, `"orders\u0000" is no channel`},
		{files + `, "orders\n"`, `"orders\n" is no channel`},
		{files + ", 'a/b'", "is no channel"},
		{files + ", '-x'", "is no channel"},
		{files + ", '.hidden'", "is no channel"},
		{files + ", ''", "is no channel"},
		{files + ", 'a b'", "is no channel"},
		{files + ", 'ä'", "is no channel"},
		{files + ", 'a,b'", "is no channel"},
		{files + `, "\xff"`, "is no channel"},
		{files + ", str_repeat('a', 129)", "is no channel"},
		{files + ", null", "NULL is no channel"},
		{files + ", []", "array is no channel"},
		{post + ", '../orders'", "is no channel"},
		{post + ", '_kept'", "is no channel"},
		{post + ", 'publish'", "answered 400: there are no items"},
		{files + ", 'orders', NAN", "the data cannot be JSON: Inf and NaN"},
		{files + ", 'orders', fopen('php://memory', 'r')", "the data cannot be JSON: Type is not supported"},
		{files + ", 'orders', new Fails", "the data cannot be JSON: it fails"},
		{files + ", 'orders', 1, ['type' => 'sale']", "append has no room for the option type"},
		{"new Comet('" + d.address["touch"] + "'), 'orders', 1", "a touch carries no data"},
		{post + ", 'orders', 1, ['typo' => 'sale']", "there is no option typo"},
		{post + ", 'orders', 1, 'sale'", "the options are an array"},
		{post + `, 'orders', 1, ['type' => "a\r\nComet-Id: b"]`, "type is UTF-8 of 1 to 128 bytes without control characters"},
		{post + `, 'orders', 1, ['id' => "\xff"]`, "id is UTF-8"},
		{post + ", 'orders', [], ['content_type' => 'text/html']", "data with a content_type is a string"},
		{post + ", 'orders', '{', ['content_type' => 'application/json']", "answered 400: the Content-Type says JSON"},
		{post + ", 'orders', str_repeat('x', 3 << 20)", "answered 413: the body is too large"},
		{"new Comet('" + d.address["keyed"] + "', ['timeout' => 30]), 'orders'", "answered 401: a key is needed"},
		// Caddy's empty 200 to a host or path that no comet_publish has: the event would be lost without a word.
		{"new Comet('" + strings.TrimSuffix(d.address["keyed"], "inside") + "', " + patient + "), 'orders'", "is no comet_publish"},
		{"new Comet('http://[::1]:" + d.port() + "'), 'orders'", "cannot connect to"},
		{"new Comet('http://127.0.0.1:1'), 'orders'", "cannot connect to http://127.0.0.1:1: "},
		{"new Comet('unix:/nowhere/publish.sock'), 'orders'", "cannot connect to unix:/nowhere/publish.sock: "},
		{"new Comet('append:/nowhere'), 'orders'", "cannot append: fopen(/nowhere/orders.jsonl)"},
		{"new Comet('touch:/nowhere'), 'orders'", "cannot touch: touch()"},
		{"new Comet('append:" + d.dir + "/sealed'), 'orders'", "Permission denied"},
		{"new Comet('touch:" + d.dir + "/sealed'), 'orders'", "Permission denied"},
		{"new Comet('append:" + d.dir + "/taken'), 'orders'", "orders.jsonl is no file"},
		{"new Comet(), 'orders'", "COMET_URL is not set; for php-fpm it is a line of the pool"},
		{"new Comet('http://example.com'), 'orders'", "the host is an IP address or localhost"},
		{"new Comet('http://127.0.0.999:2020'), 'orders'", "127.0.0.999 is no IP address"},
		{"new Comet('https://127.0.0.1'), 'orders'", "is none; it is touch:/directory"},
		{`new Comet("http://127.0.0.1:2020/\r\nX: y"), 'orders'`, "is none; it is touch:/directory"},
		{"new Comet('append:relative'), 'orders'", "is none; it is touch:/directory"},
		{`new Comet("append:/tmp\0/x"), 'orders'`, "is none; it is touch:/directory"},
		{"new Comet('unix:/" + strings.Repeat("x", 107) + "'), 'orders'", "107 bytes at most"},
		{"new Comet([]), 'orders'", "the address is a string"},
		{"new Comet('touch:/x', ['typo' => 1]), 'orders'", "there is no option typo"},
		{"new Comet('touch:/x', ['timeout' => 0]), 'orders'", "the timeout is a number"},
		{"new Comet('touch:/x', ['logger' => 'no such function']), 'orders'", "the logger cannot be called"},
		{`new Comet('http://127.0.0.1:1', ['key' => "a\r\nX: y"]), 'orders'`, "key is UTF-8"},
	}
	script := strict + `class Fails implements JsonSerializable {
	#[ReturnTypeWillChange]
	function jsonSerialize() { throw new LogicException('it fails'); }
}
function attempt(Comet $comet, ...$args) {
	$done = $comet->publish(...$args);
	echo json_encode([$done, $comet->lastError(), error_get_last()]), "\n";
}
`
	for _, c := range cases {
		script += "attempt(" + c.call + ");\n"
	}
	// Whatever has failed, the page's own handler is back and the next call begins anew.
	script += "$comet = " + post + `;
$comet->publish('../x');
echo json_encode([$comet->publish('orders', 'fine'), $comet->lastError(), null]), "\n";
try { echo $undefined; } catch (ErrorException $e) { echo "the page has its own handler\n"; }
`
	lines := strings.Split(runPHP(t, d.dir, script), "\n")
	if len(lines) != len(cases)+3 {
		t.Fatalf("PHP says %s", strings.Join(lines, "\n"))
	}
	for i, c := range cases {
		var got []any
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Errorf("%s: PHP says %s", c.call, lines[i])
			continue
		}
		if why, _ := got[1].(string); got[0] != false || !strings.Contains(why, c.why) || strings.Contains(why, doorKey) || got[2] != nil {
			t.Errorf("%s: %s, and should say %s", c.call, lines[i], c.why)
		}
	}
	if lines[len(cases)] != `[true,"",null]` || lines[len(cases)+1] != "the page has its own handler" {
		t.Errorf("at last PHP says %q", lines[len(cases):])
	}
	if got := d.told(t, "orders", "all"); len(got) != 1 || got[0].Data != "fine" {
		t.Errorf("told %v", got)
	}
	for _, pattern := range []string{"run/*", "run/.[a-z]*", "escaped*", "sealed/*"} {
		if made, _ := filepath.Glob(filepath.Join(d.dir, pattern)); len(made) > 0 {
			t.Errorf("there is %v", made)
		}
	}
}

func (d doors) port() string { return d.address["port"][strings.LastIndex(d.address["port"], ":")+1:] }

// TestCometPHPTellsTheLogger of each failure, and survives it.
func TestCometPHPTellsTheLogger(t *testing.T) {
	dir := runDir(t)
	cometPHP(t, dir)
	got := runPHP(t, dir, strict+`$comet = new Comet('touch:/nowhere', ['logger' => function ($level, $message, array $context) {
	echo "$level|$message|$context[address]\n";
	throw new Exception('out of this page');
}]);
var_dump($comet->publish('../x'));`)
	if want := `warning|comet: "../x" is no channel; a channel is a letter or digit and up to 127 more of letters, digits and . _ : @ = + -|touch:/nowhere` + "\nbool(false)\n"; got != want {
		t.Errorf("PHP says %s", got)
	}
}

// listen serves connections, one goroutine each, until the test ends.
func listenFor(t *testing.T, network, address string, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer c.Close(); serve(c) })
		}
	})
	return l.Addr().String()
}

// blackHole returns an address whose kernel drops what wants to connect: the
// queue of those who do is full.
func blackHole(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprint("127.0.0.1:", name.(*syscall.SockaddrInet4).Port)
	for range 10 {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return address
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue is never full")
	return ""
}

// TestCometPHPNeverTakesLonger than 100 ms, whatever the other side does. The
// bound here is a second, for machines that have other things to do; that it was
// the cap which ended the call, the reason tells, and that a call with a longer one
// takes longer.
func TestCometPHPNeverTakesLonger(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	cometPHP(t, dir)
	over := t.Context().Done() // before the listeners are waited for
	silent := func(net.Conn) { <-over }
	dribble := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				case <-tick.C:
				}
				if _, err := c.Write([]byte{text[i%len(text)]}); err != nil {
					return
				}
			}
		}
	}
	stalled := listenFor(t, "tcp", "127.0.0.1:0", silent)
	locked := filepath.Join(dir, "run", "orders.jsonl")
	write(t, locked, "")
	own(t, locked)
	file, err := os.Open(locked)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "run", "fifo.jsonl"), 0o666); err != nil {
		t.Fatal(err)
	}
	own(t, filepath.Join(dir, "run", "fifo.jsonl"))
	listenFor(t, "unix", dir+"/stalled.sock", silent)
	if err := os.Chmod(dir+"/stalled.sock", 0o777); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ name, address, call, why string }{
		{"stalled", "http://" + stalled, "publish('orders', 1)", "no answer from http://" + stalled + " within 100 ms"},
		{"stalled cursor", "http://" + listenFor(t, "tcp", "127.0.0.1:0", silent), "cursor()", "within 100 ms"},
		{"stalled socket", "unix:" + dir + "/stalled.sock", "publish('orders', 1)", "no answer from unix:" + dir + "/stalled.sock within 100 ms"},
		{"reads nothing", "http://" + listenFor(t, "tcp", "127.0.0.1:0", silent), "publish('orders', str_repeat('x', 32 << 20), ['content_type' => 'text/plain'])", "within 100 ms"},
		{"dribbles", "http://" + listenFor(t, "tcp", "127.0.0.1:0", dribble("HTTP/1.1 200 OK\r\nX: y\r\n")), "publish('orders', 1)", "within 100 ms"},
		{"dribbles a body", "http://" + listenFor(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"))
			dribble(" ")(c)
		}), "publish('orders', 1)", "within 100 ms"},
		{"black hole", "http://" + blackHole(t), "publish('orders', 1)", "within 100 ms"},
		{"locked", "append:" + dir + "/run", "publish('orders', 1)", "orders.jsonl locked within 100 ms"},
		{"longer", "http://" + listenFor(t, "tcp", "127.0.0.1:0", silent), "publish('orders', 1)", "within 300 ms"},
		{"FIFO", "append:" + dir + "/run/", "publish('fifo', 1)", "fifo.jsonl is no file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			options, least := "[]", 95.0
			switch c.name {
			case "longer":
				options, least = "['timeout' => 0.3]", 295
			case "FIFO":
				least = 0
			}
			out := runPHP(t, dir, strict+fmt.Sprintf(`$comet = new Comet('%s', %s);
$begin = hrtime(true);
$done = $comet->%s;
$took = hrtime(true) - $begin;
echo json_encode([$done ?: false, $comet->lastError(), $took / 1e6]);`, c.address, options, c.call), "-d", "memory_limit=512M")
			var got []any
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(out)
			}
			if why, _ := got[1].(string); got[0] != false || !strings.Contains(why, c.why) {
				t.Errorf("PHP says %s", out)
			}
			if took := got[2].(float64); took >= 1000 || took < least {
				t.Errorf("it took %.0f ms", took)
			}
		})
	}
	t.Run("a page that publishes often waits once", func(t *testing.T) {
		var connections atomic.Int32
		address := listenFor(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
			connections.Add(1)
			_, _ = io.Copy(io.Discard, c)
		})
		// When the machine needs longer than the pause for that, it is tried again.
		var out string
		for try := 0; out == "" && try < 10; try++ {
			connections.Store(0)
			out = runPHP(t, dir, strict+fmt.Sprintf(`$comet = new Comet('http://%s');
$begin = hrtime(true);
$comet->publish('orders', 1);
for ($i = 0; $i < 5; $i++) { (new Comet('http://%[1]s'))->publish('orders', 1); }
$other = (new Comet('touch:%s/run'))->publish('orders');
if (hrtime(true) - $begin < 1e9) { echo json_encode([$comet->lastError(), $other], JSON_UNESCAPED_SLASHES); }`, address, dir))
		}
		until(t, "a connection", func() bool { return connections.Load() > 0 })
		if want := `["no answer from http://` + address + ` within 100 ms",true]`; out != want || connections.Load() != 1 {
			t.Errorf("it connected %d times, and PHP says %s", connections.Load(), out)
		}
	})
}

// TestCometPHPStopsWhereItIsToldTooMuch: whoever is over his rate waits before he is
// refused, and a page must not wait often.
func TestCometPHPStopsWhereItIsToldTooMuch(t *testing.T) {
	t.Parallel()
	dir := runDir(t)
	cometPHP(t, dir)
	var asked atomic.Int32
	address := listenFor(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			asked.Add(1)
			_, _ = c.Write([]byte("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n\r\n{\"error\":\"slower\"}"))
		}
	})
	// When the machine needs longer than the pause for that, it is tried again.
	out := ""
	for try := 0; out == "" && try < 10; try++ {
		asked.Store(0)
		out = runPHP(t, dir, strict+fmt.Sprintf(`$said = [];
$begin = hrtime(true);
for ($i = 0; $i < 3; $i++) {
	$comet = new Comet('http://%s', ['timeout' => 30]);
	$comet->publish('orders', 1);
	$said[] = $comet->lastError();
}
if (hrtime(true) - $begin < 1e9) { echo json_encode($said, JSON_UNESCAPED_SLASHES); }`, address))
	}
	paused := `"not tried: less than a second ago http://` + address + ` took too long, or was told too much"`
	if want := `["http://` + address + ` answered 429: slower",` + paused + "," + paused + "]"; out != want || asked.Load() != 1 {
		t.Errorf("it asked %d times, and PHP says %s", asked.Load(), out)
	}
}

// TestCometPHPTriesOnceMore when a connection is cut before the answer, as a
// server that reloads may do: with the same ID, so that it happens once.
func TestCometPHPTriesOnceMore(t *testing.T) {
	dir := runDir(t)
	cometPHP(t, dir)
	for _, cuts := range []int{1, 2} {
		t.Run(fmt.Sprint(cuts, " cuts"), func(t *testing.T) {
			var mu sync.Mutex
			var ids []string
			address := listenFor(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				ids = append(ids, r.Header.Get("Comet-Id"))
				if len(ids) > cuts {
					_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n{\"cursor\":\"a.1\"}"))
				}
			})
			out := runPHP(t, dir, strict+fmt.Sprintf(`$comet = new Comet('http://%s', ['timeout' => 30]);
echo json_encode([$comet->publish('orders'), $comet->lastError()], JSON_UNESCAPED_SLASHES);`, address))
			want := `[true,""]`
			if cuts == 2 {
				want = `[false,"http://` + address + ` ended the connection without an answer of HTTP"]`
			}
			mu.Lock()
			defer mu.Unlock()
			if out != want || len(ids) != 2 || ids[0] != ids[1] || len(ids[0]) < 20 {
				t.Errorf("PHP says %s, and sent %q", out, ids)
			}
		})
	}
}
