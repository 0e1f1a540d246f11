package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// TestCometPHPIsForPHP74 and later: what it is written with, and which functions
// it calls, by a look at its tokens; and today's PHP has nothing to say of it.
func TestCometPHPIsForPHP74(t *testing.T) {
	check := func(file string) string {
		out, err := exec.Command(find(t, "php"), "testdata/php74.php", file).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if out := check("../php/Comet.php"); out != "" {
		t.Error(out)
	}
	if out, err := exec.Command(find(t, "php"), "-d", "error_reporting=-1", "-d", "display_errors=1", "../php/Comet.php").CombinedOutput(); err != nil || len(out) != 0 {
		t.Errorf("%v\n%s", err, out)
	}
	// The check itself finds what is newer.
	dir := runDir(t)
	for code, want := range map[string]string{
		"$a = match($b) { 1 => 2 };":                         "match",
		"$a?->b();":                                          "?->",
		"enum A {}":                                          "enum",
		"class A { readonly int $b; }":                       "readonly",
		"class A { private int|string $b; }":                 "a union",
		"class A { const string B = 'c'; }":                  "a constant with a type",
		"class A { function __construct(private $b) {} }":    "a property made by",
		"function a(int|string $b) {}":                       "a union",
		"function a($b, $c): int|string {}":                  "a union",
		"function a(mixed $b) {}":                            "the type mixed",
		"function a(): static {}":                            "the type static",
		"function a(string $b = null) {}":                    "a default of null",
		"function a($b = new C) {}":                          "new in a default",
		"function a($b,) {}":                                 "a comma behind",
		"try { touch('a'); } catch (Error) {}":               "catch without",
		"$a = $b ?? throw $c;":                               "throw in an expression",
		"$a = $b::class;":                                    "::class of",
		"$a = strlen(...);":                                  "a function as a value",
		"round(num: 1);":                                     "a named argument",
		"$a = 0o17;":                                         "an octal",
		"#[A] function b() {}":                               "an attribute",
		"$a = str_contains($b, $c);":                         "str_contains() is not",
		"$a = \\array_is_list($b);":                          "array_is_list() is not",
		"function a(?int $b = null): ?int { throw new $c; }": "",
	} {
		file := filepath.Join(dir, "newer.php")
		write(t, file, "<?php\n"+code)
		if out := check(file); (out == "") != (want == "") || !strings.Contains(out, want) {
			t.Errorf("of %s it says %q", code, out)
		}
	}
}

// TestCometPHPIsAPackage: what Composer is told leads to the class.
func TestCometPHPIsAPackage(t *testing.T) {
	b, err := os.ReadFile("../php/composer.json")
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Name, License string
		Require       map[string]string
		Autoload      struct {
			PSR4 map[string]string `json:"psr-4"`
		}
	}
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	if p.License != "Apache-2.0" || p.Require["php"] != ">=7.4" || !strings.Contains(documentedPage(t, "php.md"), p.Name) {
		t.Errorf("it is %+v", p)
	}
	folder, ok := p.Autoload.PSR4[`CaddyComet\`]
	if _, err := os.Stat(filepath.Join("../php", folder, "Comet.php")); err != nil || !ok {
		t.Errorf("the class is not where its name says: %v", err)
	}
}

func documentedPage(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestCometPHPWithoutThisOrThatFunction: hosts disable them, each one another.
func TestCometPHPWithoutThisOrThatFunction(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	cometPHP(t, dir)
	source, err := os.ReadFile("../php/Comet.php")
	if err != nil {
		t.Fatal(err)
	}
	called := map[string]bool{}
	for _, m := range regexp.MustCompile(`\\([a-z_0-9]+)\(`).FindAllStringSubmatch(string(source), -1) {
		called[m[1]] = true
	}
	// With these two nothing can be kept from the page; no host disables them.
	delete(called, "set_error_handler")
	delete(called, "restore_error_handler")
	if len(called) < 30 {
		t.Errorf("it calls only %v", called)
	}
	for name := range called {
		script := strings.Replace(strict, "error_reporting(-1);\n", "", 1) + fmt.Sprintf(`
foreach (['append:%[1]s/run', 'touch:%[1]s/run', 'http://127.0.0.1:1', null] as $address) {
	$comet = new Comet($address);
	$comet->cursor();
	if (!$comet->publish('without-%[2]s')) { $why[] = $comet->lastError(); }
}
echo implode('|', $why), '|the page goes on';`, dir, name)
		out := runPHP(t, dir, script, "-d", "error_reporting=-1", "-d", "disable_functions="+name)
		if !strings.HasSuffix(out, "|the page goes on") || strings.Contains(out, "broken") || strings.Contains(out, "Warning") {
			t.Errorf("without %s PHP says %s", name, out)
		}
		if name == "touch" && !strings.Contains(out, "Call to undefined function touch()") {
			t.Errorf("the reason is not named: %s", out)
		}
		if name == "chmod" && strings.Contains(out, "chmod") {
			t.Errorf("an append needs chmod: %s", out)
		}
	}
}

// TestCometPHPAppendsWholeLines, though many do at once, somebody left a line
// without its end, and PHP's umask is narrow.
func TestCometPHPAppendsWholeLines(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	cometPHP(t, dir)
	const writers, each = 6, 200
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			if out := runPHP(t, dir, strict+fmt.Sprintf(`umask(0077);
$comet = new Comet('append:%s/run', ['timeout' => 60]);
for ($i = 0; $i < %d; $i++) {
	$comet->publish('orders', [%d, $i, str_repeat('x', 20000)]) or print($comet->lastError());
}`, dir, each, w)); out != "" {
				t.Error(out)
			}
		})
	}
	all.Wait()
	file := filepath.Join(dir, "run", "orders.jsonl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	next := make([]int, writers)
	for line := range strings.Lines(string(text)) {
		var event []any
		if err := json.Unmarshal([]byte(line), &event); err != nil || len(event) != 3 {
			t.Fatalf("a line is %.100s", line)
		}
		w, i := int(event[0].(float64)), int(event[1].(float64))
		if i != next[w] {
			t.Errorf("after line %d of %d there is %d", next[w]-1, w, i)
		}
		next[w]++
	}
	for w, n := range next {
		if n != each {
			t.Errorf("%d lines of %d", n, w)
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("its mode is %v", info.Mode())
	}

	write(t, file, `{"a line that somebody lef`)
	own(t, file)
	if out := runPHP(t, dir, strict+fmt.Sprintf("$comet = new Comet('append:%s/run');\n$comet->publish('orders', 'whole') or print($comet->lastError());", dir)); out != "" {
		t.Error(out)
	}
	if text, _ := os.ReadFile(file); string(text) != "{\"a line that somebody lef\n\"whole\"\n" {
		t.Errorf("the file has %q", text)
	}

	// A limit of a block or two stands for the disk that is full.
	out := runPHP(t, dir, strict+fmt.Sprintf("pcntl_signal(SIGXFSZ, SIG_IGN); posix_setrlimit(POSIX_RLIMIT_FSIZE, 1000, 1000);\n"+
		"$comet = new Comet('append:%s/run');\nvar_dump($comet->publish('full', str_repeat('x', 5000))); echo $comet->lastError();", dir))
	if !strings.HasPrefix(out, "bool(false)\ncannot append: "+dir+"/run/full.jsonl took 1000 of 5003 bytes; is the disk full?") {
		t.Errorf("PHP says %s", out)
	}
}

// TestAPageIsNotBrokenByComet, whether the server that it publishes to is down or
// silent; with the documented line in the pool of php-fpm it works.
func TestAPageIsNotBrokenByComet(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, c := range []struct{ name, url, told string }{
		{"down", "http://127.0.0.1:1", "not told: cannot connect to http://127.0.0.1:1: "},
		{"silent", "http://" + silent.Addr().String(), "not told: no answer from http://" + silent.Addr().String() + " within 100 ms"},
		{"watching", "", "told"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := runDir(t)
			site(t, dir)
			cometPHP(t, dir+"/www")
			line := documented(t, "php-comet-pool", "/run/comet/example", dir+"/run")
			if c.url != "" {
				line = "env[COMET_URL] = " + c.url
			}
			fpm(t, dir, 1, line)
			write(t, dir+"/www/page.php", strict+`echo '<p>above ';
$comet = new Comet;
echo $comet->publish('orders', ['id' => 42]) ? 'told' : 'not told: ' . $comet->lastError();
echo ' <p>below';`)
			write(t, dir+"/www/short.php", documented(t, "php-comet-environment")+"echo 'done';")
			listen := port(t)
			caddy(t, dir, "{\n\tauto_https off\n}\n"+documented(t, "php-comet-site",
				"example.com", "http://127.0.0.1:"+listen, "/srv/www/example", dir+"/www", "/run/comet/example", dir+"/run",
				"unix//run/php/php-fpm.sock", "unix/"+dir+"/fpm.sock"))
			base := "http://127.0.0.1:" + listen
			if res, body := get(t, base+"/page.php"); res.StatusCode != 200 || !strings.HasPrefix(body, "<p>above "+c.told) || !strings.HasSuffix(body, " <p>below") {
				t.Errorf("%s: %s", res.Status, body)
			}
			if _, body := get(t, base+"/short.php"); body != "done" {
				t.Errorf("the documented page says %s", body)
			}
			if c.url == "" {
				until(t, "both events", func() bool {
					_, body := get(t, base+"/comet/orders?since=all&wait=0")
					return strings.Count(body, `"data":{"id":42}`) == 2
				})
			}
		})
	}
}

// TestTheDocumentedPagesOfCometPHP are opened in a browser: the one that begins
// docs/php.md, and the one that goes on from a cursor. The one that posts is run.
func TestTheDocumentedPagesOfCometPHP(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := runDir(t)
	site(t, dir)
	cometPHP(t, dir+"/www")
	run := dir + "/made"
	install := documented(t, "sh-php-comet", "/run/comet/example", run, "-g caddy", "-g daemon")
	if out, err := exec.Command("bash", "-ec", install).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	fpm(t, dir, 2)
	listen, publish := port(t), port(t)
	own(t, dir)
	write(t, dir+"/www/page.php", documented(t, "php-comet", "/run/comet/example", run))
	write(t, dir+"/www/post.php", documented(t, "php-comet-post", "http://127.0.0.1:2020", "http://127.0.0.1:"+publish))
	// Between the page's reading of its state and its listening something happens.
	write(t, dir+"/www/follow.php", documented(t, "php-comet-cursor", "http://127.0.0.1:2020", "http://127.0.0.1:"+publish, "/srv/www/example", dir+"/run",
		"$cursor = $comet->cursor();", "while (($cursor = $comet->cursor()) === null) { usleep(1000000); }")+
		"<?php while (!$comet->publish('orders', 'meanwhile', ['id' => $cursor])) { usleep(1000000); }")
	write(t, dir+"/run/orders.txt", "<before>\n")
	home := homeOf(t, dir, "daemon")
	config := "{\n\tauto_https off\n}\n" + documented(t, "php-comet-site",
		"example.com", "http://127.0.0.1:"+listen, "/srv/www/example", dir+"/www", "/run/comet/example", run,
		"unix//run/php/php-fpm.sock", "unix/"+dir+"/fpm.sock") +
		fmt.Sprintf("http://127.0.0.1:%s {\n\tbind 127.0.0.1\n\tcomet_publish\n}\n", publish)
	serving(t, startCaddy(t, asUser(t, "daemon"), home, config))
	base := "http://127.0.0.1:" + listen
	ctx := browser(t)

	t.Run("the first page", func(t *testing.T) {
		ctx := tab(t, ctx)
		open(t, ctx, base+"/page.php")
		until(t, "the page to listen", func() bool { return strings.Contains(adminGet(t, home, "/comet/"), `"held":1`) })
		script[bool](t, ctx, "document.querySelector('button').click(), true")
		until(t, "the order to be shown", func() bool {
			return regexp.MustCompile(`^\d\d:\d\d:\d\d tea\n$`).MatchString(script[string](t, ctx, "document.querySelector('#orders').textContent"))
		})
	})
	t.Run("the page that posts", func(t *testing.T) {
		until(t, "100 ms to be enough", func() bool {
			_, body := get(t, base+"/post.php")
			return body == "told"
		})
		if _, body := get(t, base+"/comet/orders?since=all&wait=0"); strings.Count(body, `"type":"sale","data":{"id":42}`) != 1 {
			t.Errorf("told %s", body)
		}
	})
	t.Run("the page that goes on from a cursor", func(t *testing.T) {
		ctx := tab(t, ctx)
		open(t, ctx, base+"/follow.php")
		until(t, "what happened meanwhile", func() bool {
			return script[string](t, ctx, "document.querySelector('#orders').textContent") == "<before>\nmeanwhile\n"
		})
	})
}
