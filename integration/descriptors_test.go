//go:build linux

package integration

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Where descriptors run out, new visitors wait and the log says why. Who is held
// already gets what happens, and polls on.
func TestHeldRequestsOutliveTheEndOfDescriptors(t *testing.T) {
	dir, listen, local := t.TempDir(), port(t), port(t)
	p := caddy(t, dir, fmt.Sprintf(`{
	admin {$CADDY_ADMIN}
	auto_https off
}
http://127.0.0.1:%s {
	bind 127.0.0.1
	comet /comet/*
	respond "a page"
}
http://127.0.0.1:%s {
	bind 127.0.0.1
	comet_publish
}`, listen, local))
	all := pollers(20)
	poll := func(p *poller) error {
		b, err := p.get("http://127.0.0.1:" + listen + "/comet/news?since=" + p.cursor)
		_, after, _ := strings.Cut(string(b), `"cursor":"`)
		p.cursor, _, _ = strings.Cut(after, `"`)
		return err
	}
	publish := func() {
		t.Helper()
		res, err := http.Post("http://127.0.0.1:"+local+"/news", "text/plain", strings.NewReader("here"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	everybody(t, all, poll)() // takes the position
	for range 3 {
		wait := everybody(t, all, poll)
		until(t, "all to be held", func() bool { return held(t, dir, "native")() == len(all) })
		publish()
		wait()
	}
	wait := everybody(t, all, poll)
	until(t, "all to be held", func() bool { return held(t, dir, "native")() == len(all) })

	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	limit := uint64(len(open)) + 3
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}, nil); err != nil {
		t.Fatal(err)
	}
	var crowd []net.Conn
	defer func() {
		for _, c := range crowd {
			c.Close()
		}
	}()
	for range 30 {
		c, err := net.Dial("tcp", "127.0.0.1:"+listen)
		if err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, c)
		fmt.Fprint(c, "GET /comet/others HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	}
	if os.Getenv("COMET_PARK") == "off" {
		t.Log("only who parks sees the descriptors")
	} else {
		until(t, "a word in the log", func() bool { return strings.Contains(p.out.String(), "hardly a file descriptor is left") })
	}

	// A publisher of its own connection needs a descriptor too; so the crowd goes
	// before it, but for those who keep the server at its end.
	for _, c := range crowd {
		c.Close()
	}
	publish()
	wait()
	for range 3 {
		wait := everybody(t, all, poll)
		until(t, "all to be held", func() bool { return held(t, dir, "native")() == len(all) })
		publish()
		wait()
	}
	// The connections are the same; any other request finds its way as well.
	for _, p := range all {
		if b, err := p.get("http://127.0.0.1:" + listen + "/"); err != nil || string(b) != "a page" {
			t.Fatalf("%q, %v", b, err)
		}
	}
}
