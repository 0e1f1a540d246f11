package integration

import (
	"encoding/json"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestADialectIsOneFileAndOneLine builds a server with the dialect that
// CONTRIBUTING.md prints, in its file and with its line, and listens by it.
func TestADialectIsOneFileAndOneLine(t *testing.T) {
	t.Parallel()
	dir := runDir(t)
	top, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(top, "internal/dialect/dialect.go")
	b, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	const where = "\t\"native\":   newNative,\n"
	listed := strings.Replace(string(b), where, where+documented(t, "go-dialect-line"), 1)
	if listed == string(b) {
		t.Fatalf("%s no longer has %q", list, where)
	}
	file := documented(t, "go-dialect")
	for name, text := range map[string]string{"dialect.go": listed, "lines.go": file} {
		if formatted, err := format.Source([]byte(text)); err != nil || string(formatted) != text {
			t.Errorf("%s is not as gofmt has it: %v", name, err)
		}
		write(t, filepath.Join(dir, name), text)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		list: filepath.Join(dir, "dialect.go"), filepath.Join(top, "internal/dialect/lines.go"): filepath.Join(dir, "lines.go"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/overlay.json", string(overlay))
	extended := filepath.Join(dir, "caddy")
	if out, err := exec.Command("go", "build", "-race", "-overlay", dir+"/overlay.json", "-o", extended, "../cmd/caddy").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	listen, publish := port(t), port(t)
	serving(t, startProgram(t, nil, extended, dir, "{\n\tauto_https off\n}\nhttp://127.0.0.1:"+listen+" {\n\tcomet /lines/* lines\n}\nhttp://127.0.0.1:"+publish+" {\n\tbind 127.0.0.1\n\tcomet_publish\n}\n"))
	res := ask(t, "http://127.0.0.1:"+listen+"/lines/orders")
	defer res.Body.Close()
	until(t, "the stream to be held", func() bool { return strings.Contains(adminGet(t, dir, "/comet/"), `"held":1`) })
	post, err := plain.Post("http://127.0.0.1:"+publish+"/orders", "text/plain", strings.NewReader("two\nlines"))
	if err != nil {
		t.Fatal(err)
	}
	post.Body.Close()
	line := make([]byte, len("two lines\n"))
	if n, err := res.Body.Read(line); err != nil || string(line[:n]) != "two lines\n" {
		t.Errorf("the stream says %q, %v", line[:n], err)
	}
	if parking() && !strings.Contains(adminGet(t, dir, "/metrics"), `caddy_comet_parked{dialect="lines",hub="default",transport="lines"} 1`) {
		t.Error("it is not parked")
	}
}
