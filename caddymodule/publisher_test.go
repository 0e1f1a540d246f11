package caddymodule

import (
	"os"
	"strings"
	"testing"
	"time"
)

const answering = "http://SITE {\nbind 127.0.0.1\ncomet novcomet {\nwatch DIR/run/*.comet\nanswer_publish\n}\n}"

// TestAnswerPublishTouchesTheFileAsPHPWould and so answers who waits.
func TestAnswerPublishTouchesTheFileAsPHPWould(t *testing.T) {
	s := newServer(t)
	if err := os.Mkdir(s.dir+"/run", 0o755); err != nil {
		t.Fatal(err)
	}
	s.reload("", answering)
	name := unique("touched")
	file := s.dir + "/run/" + name + ".comet"
	for i, prepare := range []func(){
		func() {},
		func() {
			old := time.Now().Add(-time.Hour)
			if err := os.Chtimes(file, old, old); err != nil {
				t.Fatal(err)
			}
		},
	} {
		prepare()
		poll := holding("http://" + s.site + "/comet.php?&subscribed[" + name + "]=0")
		held(t, defaultHub, name, 1)
		a := get("http://" + s.site + "/comet.php?&publish=" + name)
		if a.status != 200 || a.body != "true" || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%d: %d %q", i, a.status, a.body)
		}
		receive(t, poll).wants(t, 200, `{"s":1,"k":{"`+name+`":`)
		info, err := os.Stat(file)
		if err != nil || time.Since(info.ModTime()) > time.Minute {
			t.Errorf("%d: the file is %v, %v", i, info, err)
		}
	}
}

// TestAnswerPublishStaysInItsDirectory and says false where it fails, and the
// administrator why.
func TestAnswerPublishStaysInItsDirectory(t *testing.T) {
	s := newServer(t)
	s.reload("", answering)
	url := "http://" + s.site + "/comet.php?publish="
	get(url+"a").wants(t, 200, "false")
	if !strings.Contains(s.logs(), "publishing by a file failed; the directory must exist and be writable for this process") {
		t.Error("nobody was told why")
	}
	if err := os.Mkdir(s.dir+"/run", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.dir+"/outside", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(s.dir+"/outside", long, long); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../outside", s.dir+"/run/link.comet"); err != nil {
		t.Fatal(err)
	}
	get(url+"link").wants(t, 200, "false")
	for _, name := range []string{"../outside", "%2e%2e%2foutside", "a/b", ".hidden", "a%00b"} {
		get(url+name).wants(t, 400, "the name ")
	}
	if info, err := os.Stat(s.dir + "/outside"); err != nil || !info.ModTime().Equal(long) {
		t.Errorf("the file outside is %v, %v", info, err)
	}
	send(plain, "POST", url+"a", "x").wants(t, 405, "by GET")
	if entries, _ := os.ReadDir(s.dir + "/run"); len(entries) != 1 {
		t.Errorf("%v were made", entries)
	}
}
