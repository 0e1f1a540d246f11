package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// pages are the documentation's pages.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"../docs/*.md", "../docs/*/*.md", "../*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no pages by the name of %s", pattern)
		}
		all = append(all, found...)
	}
	return all
}

var fenced = regexp.MustCompile("(?s)(?:<!-- snippet: ([a-z-]+) -->\n)?```([a-z]+)\n(.*?)```")

type snippet struct{ page, name, language, text string }

func snippets(t *testing.T) []snippet {
	t.Helper()
	var all []snippet
	for _, page := range pages(t) {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fenced.FindAllStringSubmatch(string(b), -1) {
			all = append(all, snippet{page, m[1], m[2], m[3]})
		}
	}
	return all
}

// documented returns a snippet by its name, for a test that runs it with
// addresses of its own. Each old text must be there, or the test would run
// something else than what is documented.
func documented(t *testing.T, name string, oldnew ...string) string {
	t.Helper()
	for _, s := range snippets(t) {
		if s.name != name {
			continue
		}
		for i := 0; i < len(oldnew); i += 2 {
			if !strings.Contains(s.text, oldnew[i]) {
				t.Fatalf("the snippet %s no longer has %q", name, oldnew[i])
			}
			s.text = strings.ReplaceAll(s.text, oldnew[i], oldnew[i+1])
		}
		return s.text
	}
	t.Fatalf("no snippet %s in the documentation", name)
	return ""
}

// TestEveryDocumentedSnippetIsSound checks each by the program that reads it.
// Those that a test runs besides have a name.
func TestEveryDocumentedSnippetIsSound(t *testing.T) {
	dir := runDir(t)
	env := append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "HOME="+dir, "COMET_KEY=0123456789abcdef", "COMET_TOKEN_KEY="+tokenKey, "GRIP_KEY="+tokenKey)
	check := func(t *testing.T, input string, name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env, cmd.Stdin = env, strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(name), err, out)
		}
		return string(out)
	}
	tests := sourceOf(t, "*_test.go")
	for i, s := range snippets(t) {
		t.Run(fmt.Sprintf("%s/%d-%s-%s", filepath.Base(s.page), i, s.language, s.name), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(dir, fmt.Sprintf("snippet%d", i))
			write(t, file, s.text)
			switch s.language {
			case "caddyfile":
				if got := string(caddyfile.Format([]byte(s.text))); got != s.text {
					t.Errorf("caddy fmt would write:\n%s", got)
				}
				write(t, file, usersHere.Replace(s.text))
				check(t, "", binary, "validate", "--adapter", "caddyfile", "--config", file)
			case "php":
				check(t, "", find(t, "php"), "-l", file)
			case "sh":
				check(t, s.text, "bash", "-n")
			case "json":
				if !json.Valid([]byte(s.text)) {
					t.Error("this is no JSON")
				}
			case "js", "html", "http", "apache", "nginx", "conf", "go", "yaml":
				// No program here reads it alone: a test runs it, by its name, or all requests.
				if s.name == "" || s.language != "http" && !strings.Contains(tests, strconv.Quote(s.name)) {
					t.Errorf("a snippet for %s needs a name, and a test that runs it", s.language)
				}
			default:
				t.Errorf("no test knows how to check %s", s.language)
			}
		})
	}
}

// usersHere has users that each Debian has in the place of those that the pages name
// where they are named as users, or as both in one.
var usersHere = strings.NewReplacer("import hub shop", "import hub www-data", "import hub forum", "import hub games",
	"import site shop ", "import site www-data ", "import site forum ", "import site games ")

// TestTheExampleRunsAsItIs validates it with nothing set, from the top folder.
func TestTheExampleRunsAsItIs(t *testing.T) {
	dir := runDir(t)
	for _, args := range [][]string{{"validate", "--config"}, {"fmt", "--diff"}} {
		cmd := exec.Command(binary, append(args, "Caddyfile.example")...)
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		if args[0] == "validate" {
			cmd.Args = append(cmd.Args, "--adapter", "caddyfile")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// TestTheDocumentedOriginMayListen, and only with the documented line.
func TestTheDocumentedOriginMayListen(t *testing.T) {
	const line = "\t\torigins https://app.example https://shop.example:8443\n\t\tauthorize /comet-auth.php\n"
	for name, with := range map[string]string{"with the line": line, "without": ""} {
		t.Run(name, func(t *testing.T) {
			dir, listen := runDir(t), port(t)
			caddy(t, dir, "{\n\tauto_https off\n}\n"+documented(t, "origins", "example.com", "http://127.0.0.1:"+listen, line, strings.ReplaceAll(with, "\t\tauthorize /comet-auth.php\n", "")))
			r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+listen+"/comet/orders?wait=0", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Origin", "https://shop.example:8443")
			res, err := plain.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			want, allowed := http.StatusForbidden, ""
			if with != "" {
				want, allowed = http.StatusOK, "https://shop.example:8443"
			}
			if got := res.Header.Get("Access-Control-Allow-Origin"); res.StatusCode != want || got != allowed {
				t.Errorf("got %s with %q", res.Status, got)
			}
		})
	}
}

// sourceOf is the text of these files.
func sourceOf(t *testing.T, patterns ...string) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b)
		}
	}
	return all.String()
}

// TestPromisesNameTestsThatExist: one whose test is gone is none.
func TestPromisesNameTestsThatExist(t *testing.T) {
	tests := sourceOf(t, "*_test.go", "../internal/*/*_test.go", "../caddymodule/*_test.go")
	for _, file := range []string{"../docs/guarantees.md", "../docs/security.md"} {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(string(page), -1)
		if len(names) == 0 {
			t.Errorf("%s names none", file)
		}
		for _, m := range names {
			if !strings.Contains(tests, "func "+m[1]+"(") {
				t.Errorf("%s: %s is no test", file, m[1])
			}
		}
	}
}

// TestTheDocumentedSysctlsExist: a name that the kernel does not have is passed
// over at the machine's start without a word that anybody reads.
func TestTheDocumentedSysctlsExist(t *testing.T) {
	for line := range strings.Lines(documented(t, "sysctl") + documented(t, "inotify")) {
		name, value, found := strings.Cut(strings.TrimSpace(line), " = ")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if !found || value == "" {
			t.Errorf("%q sets nothing", line)
		}
		if _, err := os.Stat("/proc/sys/" + strings.ReplaceAll(name, ".", "/")); err != nil {
			t.Error(err)
		}
	}
}
