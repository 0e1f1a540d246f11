package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a disk of so many KiB at dir.
func smallDisk(t *testing.T, dir string, size int) {
	t.Helper()
	needRoot(t)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := mountDisk(dir, size, 0); err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("no disk can be mounted here: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// changeDisk gives the disk another size, or makes it read-only.
func changeDisk(t *testing.T, dir string, size int, flags uintptr) {
	t.Helper()
	if err := mountDisk(dir, size, unix.MS_REMOUNT|flags); err != nil {
		t.Fatal(err)
	}
}

func mountDisk(dir string, size int, flags uintptr) error {
	return unix.Mount("tmpfs", dir, "tmpfs", flags, fmt.Sprintf("size=%dk,mode=700", size))
}

type publisherOf struct {
	t   *testing.T
	url string
}

// post publishes and returns the status and what is said.
func (p publisherOf) post(data string) (status int, cursor, sentence string) {
	p.t.Helper()
	res, err := http.Post(p.url, "text/plain", strings.NewReader(data))
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	var answer struct{ Cursor, Error string }
	if err != nil || json.Unmarshal(b, &answer) != nil {
		p.t.Fatalf("%s: %v", b, err)
	}
	if res.StatusCode/100 == 5 && res.Header.Get("Retry-After") == "" {
		p.t.Error("no Retry-After")
	}
	return res.StatusCode, answer.Cursor, answer.Error
}

func polled(t *testing.T, url string) (data []string, gap bool) {
	t.Helper()
	_, body := get(t, url)
	var answer struct {
		Gap    bool
		Events []struct{ Data string }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	for _, e := range answer.Events {
		data = append(data, e.Data)
	}
	return data, answer.Gap
}

// TestAFullDisk fills the store's disk, and makes room again.
func TestAFullDisk(t *testing.T) {
	dir, listen, local := runDir(t), port(t), port(t)
	store := filepath.Join(dir, "store")
	smallDisk(t, store, 2048)
	site := storeSite(t, dir, listen, local)
	server := caddy(t, dir, site)
	p := publisherOf{t, "http://127.0.0.1:" + local + "/a"}
	status, begin, _ := p.post("first")
	if status != http.StatusOK {
		t.Fatal(status)
	}
	url := "http://127.0.0.1:" + listen + "/comet/a?wait=0&since=" + begin

	big := strings.Repeat("x", 300_000)
	var kept []string
	var refusal string
	for n := 0; ; n++ {
		data := fmt.Sprint(n, big)
		if status, _, refusal = p.post(data); status != http.StatusOK {
			break
		}
		kept = append(kept, data)
		if n > 20 {
			t.Fatal("the disk is never full")
		}
	}
	if status != http.StatusInsufficientStorage || refusal != "the disk of the hub's store is full, so nothing was published; make room there and publish again" {
		t.Errorf("got %d %q", status, refusal)
	}
	check := func(when string) {
		t.Helper()
		got, gap := polled(t, url)
		if gap || strings.Join(got, " ") != strings.Join(kept, " ") {
			t.Errorf("%s: %d events of %d, gap %v", when, len(got), len(kept), gap)
		}
	}
	check("while the disk is full")
	changeDisk(t, store, 8192, 0)
	until(t, "the store to take events again", func() bool {
		status, _, _ = p.post("again")
		return status == http.StatusOK
	})
	kept = append(kept, "again")
	check("with a larger disk")
	if log := server.out.String(); !strings.Contains(log, "the disk of the store is full, so events are refused") || !strings.Contains(log, "the store works again") {
		t.Error("the log does not tell")
	}
	server.kill(t)
	caddy(t, dir, site)
	check("after a crash")
}

// TestAReadOnlyDisk turns the store's disk read-only over a restart, and back.
func TestAReadOnlyDisk(t *testing.T) {
	dir, listen, local := runDir(t), port(t), port(t)
	store := filepath.Join(dir, "store")
	smallDisk(t, store, 4096)
	site := storeSite(t, dir, listen, local)
	server := caddy(t, dir, site)
	p := publisherOf{t, "http://127.0.0.1:" + local + "/a"}
	_, begin, _ := p.post("first")
	url := "http://127.0.0.1:" + listen + "/comet/a?wait=0&since=" + begin
	if status, _, _ := p.post("second"); status != http.StatusOK {
		t.Fatal(status)
	}
	server.kill(t)
	changeDisk(t, store, 4096, unix.MS_RDONLY)
	server = caddy(t, dir, site)
	if got, gap := polled(t, url); gap || strings.Join(got, " ") != "second" {
		t.Errorf("on a read-only disk: %q, gap %v", got, gap)
	}
	if status, _, text := p.post("third"); status != http.StatusServiceUnavailable || !strings.Contains(text, "the hub's store cannot be written") {
		t.Errorf("got %d %q", status, text)
	}
	changeDisk(t, store, 4096, 0)
	until(t, "the store to take events again", func() bool {
		status, _, _ := p.post("third")
		return status == http.StatusOK
	})
	if got, gap := polled(t, url); gap || strings.Join(got, " ") != "second third" {
		t.Errorf("then: %q, gap %v", got, gap)
	}
	if !strings.Contains(server.out.String(), "is it mounted read-only?") {
		t.Error("the log does not tell")
	}
}
