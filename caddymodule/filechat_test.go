package caddymodule

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// chatting is the mini-chat of S3; the site stands for its backend.php.
const chatting = `
http://SITE {
	bind 127.0.0.1
	comet /chat.php filechat {
		watch DIR/NAME.txt content
	}
	respond "the site"
}
`

// chat is a server of the mini-chat on a file of its own; name is its channel.
type chat struct {
	*server
	name, file string
}

func newChat(t *testing.T) chat {
	t.Helper()
	s, name := newServer(t), unique("chat")
	return chat{s, name, s.dir + "/" + name + ".txt"}
}

func (c chat) reload(globals, sites string) {
	c.t.Helper()
	c.server.reload(globals, strings.ReplaceAll(sites, "NAME", c.name))
}

// said is a chat's answer.
type said struct {
	Msg       string `json:"msg"`
	Timestamp int64  `json:"timestamp"`
}

func (a answer) said(t *testing.T) said {
	t.Helper()
	var m said
	if err := json.Unmarshal([]byte(a.body), &m); err != nil || a.status != http.StatusOK || m.Timestamp == 0 {
		t.Fatalf("no chat's answer: %d %q %v", a.status, a.body, a.err)
	}
	return m
}

// say writes the file as file_put_contents does.
func (c chat) say(text string) {
	c.t.Helper()
	if err := os.WriteFile(c.file, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c chat) since(timestamp int64) string {
	return "http://" + c.site + "/chat.php?timestamp=" + strconv.FormatInt(timestamp, 10)
}

// TestAChatAnswersWhenItsFileIsNewer: at once for who begins, and each message
// on its own, however quickly the next one came.
func TestAChatAnswersWhenItsFileIsNewer(t *testing.T) {
	s := newChat(t)
	s.say("before")
	s.reload("", chatting)
	first := receive(t, holding(s.since(0)))
	m := first.said(t)
	if m.Msg != "before" || first.header.Get("Content-Type") != "application/json" || !strings.Contains(first.header.Get("Cache-Control"), "no-store") {
		t.Errorf("got %+v %v", m, first.header)
	}
	next := holding(s.since(m.Timestamp))
	held(t, defaultHub, s.name, 1)
	s.say("one")
	one := receive(t, next).said(t)
	if one.Msg != "one" || one.Timestamp <= m.Timestamp {
		t.Errorf("got %+v after %+v", one, m)
	}
	s.say("two") // in the same second, while nobody waits
	if two := receive(t, holding(s.since(one.Timestamp))).said(t); two.Msg != "two" || two.Timestamp <= one.Timestamp {
		t.Errorf("got %+v after %+v", two, one)
	}
}

// TestAChatWithoutAFileWaitsForIt.
func TestAChatWithoutAFileWaitsForIt(t *testing.T) {
	s := newChat(t)
	s.reload("", chatting)
	first := holding(s.since(0))
	held(t, defaultHub, s.name, 1)
	s.say("hello")
	if m := receive(t, first).said(t); m.Msg != "hello" {
		t.Errorf("got %+v", m)
	}
}

// TestMessagesGoToTheSitesOwnPHP, by any method, and listening does not.
func TestMessagesGoToTheSitesOwnPHP(t *testing.T) {
	s := newChat(t)
	s.say("here")
	s.reload("", chatting)
	url := "http://" + s.site + "/chat.php"
	get(url+"?msg=hello").wants(t, 200, "the site")
	get(url+"?timestamp=0&msg=hello%20you").wants(t, 200, "the site")
	send(plain, "POST", url+"?msg=x", "").wants(t, 200, "the site")
	get(url+"?msg=x", "Origin", "https://other.example").wants(t, 200, "the site") // whose PHP decides
	get(url+"?msg=").wants(t, 200, `"msg":"here"`)
	get(url).wants(t, 200, `"msg":"here"`)
	get(url+"?msg[]=x").wants(t, 400, "msg is a text")
	send(plain, "POST", url+"?timestamp=0", "x").wants(t, 405, "by GET")
	get(url+"?timestamp=0", "Origin", "https://other.example").wants(t, 403, "the page's origin is not this site")
}

// TestAnswerPublishWritesTheMessage, with the mode that file_put_contents would
// give for all to change it, into a new file and into an old one.
func TestAnswerPublishWritesTheMessage(t *testing.T) {
	s := newChat(t)
	s.reload("", strings.Replace(chatting, "content\n", "content\nanswer_publish\n", 1))
	url := "http://" + s.site + "/chat.php"
	began := get(url + "?msg=hello%20%3Cyou%3E+%FF")
	if began.wants(t, 200, ""); began.body != "" || !strings.Contains(began.header.Get("Cache-Control"), "no-store") {
		t.Errorf("%q %v", began.body, began.header)
	}
	if info, err := os.Stat(s.file); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v %v", info, err)
	}
	if b, _ := os.ReadFile(s.file); string(b) != "hello <you> \xff" {
		t.Errorf("the file has %q", b)
	}
	m := receive(t, holding(s.since(0))).said(t) // waits until the file was seen
	if m.Msg != "hello <you> \ufffd" {
		t.Errorf("got %+v", m)
	}
	if err := os.Chmod(s.file, 0o600); err != nil {
		t.Fatal(err)
	}
	next := holding(s.since(m.Timestamp))
	held(t, defaultHub, s.name, 1)
	get(url+"?msg=x").wants(t, 200, "")
	if got := receive(t, next).said(t); got.Msg != "x" {
		t.Errorf("got %+v", got)
	}
	if info, err := os.Stat(s.file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("an old file's mode was changed: %v %v", info, err)
	}
	send(plain, "POST", url+"?msg=y", "").wants(t, 405, "by GET")
	get(url+"?msg=y", "Origin", "https://other.example").wants(t, 403, "origin")
	if b, _ := os.ReadFile(s.file); string(b) != "x" {
		t.Errorf("the file has %q", b)
	}
}

// TestAnswerPublishWritesNoOtherFile than that of the chat's channel: not the
// first one that is watched, and none outside of the directory.
func TestAnswerPublishWritesNoOtherFile(t *testing.T) {
	s := newServer(t)
	s.reload("", `http://SITE {
	bind 127.0.0.1
	comet /b filechat {
		channel b
		watch DIR/a.txt content
		watch DIR/b.txt content
		answer_publish
	}
	comet /star filechat {
		channel c
		watch DIR/run/*.msg content
		answer_publish
	}
	comet /link filechat {
		watch DIR/run/link.txt content
		answer_publish
	}
}`)
	base := "http://" + s.site
	get(base+"/b?msg=for+b").wants(t, 200, "")
	if b, _ := os.ReadFile(s.dir + "/b.txt"); string(b) != "for b" {
		t.Errorf("b.txt has %q", b)
	}
	if _, err := os.Stat(s.dir + "/a.txt"); err == nil {
		t.Error("a.txt was written")
	}
	get(base+"/star?msg=x").wants(t, 500, "the server's log says why")
	if !strings.Contains(s.logs(), "the directory must exist and be writable for this process") {
		t.Error("the log does not say why")
	}
	if err := os.Mkdir(s.dir+"/run", 0o755); err != nil {
		t.Fatal(err)
	}
	get(base+"/star?msg=x").wants(t, 200, "")
	if b, _ := os.ReadFile(s.dir + "/run/c.msg"); string(b) != "x" {
		t.Errorf("c.msg has %q", b)
	}
	if err := os.WriteFile(s.dir+"/outside", []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../outside", s.dir+"/run/link.txt"); err != nil {
		t.Fatal(err)
	}
	get(base+"/link?msg=x").wants(t, 500, "could not be written")
	if b, _ := os.ReadFile(s.dir + "/outside"); string(b) != "mine" {
		t.Errorf("the file outside has %q", b)
	}
}

// TestAChatsHoldHasHeartbeatsAndNoEnd: neither hold ends it nor a reload, and an
// event after the reload answers it.
func TestAChatsHoldHasHeartbeatsAndNoEnd(t *testing.T) {
	const globals = "comet {\nhold 1s\nheartbeat 1s\n}"
	s := newChat(t)
	s.say("old")
	s.reload(globals, chatting)
	m := receive(t, holding(s.since(0))).said(t)
	res, err := plain.Get(s.since(m.Timestamp)) // returns with the first heartbeat
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	s.reload(globals+"\ngrace_period 1s", strings.Replace(chatting, "the site", "the new site", 1))
	body := bufio.NewReader(res.Body)
	for range 3 { // longer than hold, and than the grace period
		if line, err := body.ReadString('\n'); line != "\n" {
			t.Fatalf("%q %v", line, err)
		}
	}
	s.say("new")
	rest, err := io.ReadAll(body)
	if got := (answer{status: res.StatusCode, body: string(rest), err: err}).said(t); got.Msg != "new" {
		t.Errorf("got %+v", got)
	}
}

// TestAStopTellsPatientClientsByAnError: 503 where nothing was sent yet, else a
// connection that breaks, so that no client takes the answer for a whole one. The
// log has it as a request like others.
func TestAStopTellsPatientClientsByAnError(t *testing.T) {
	s := newServer(t)
	site := `
	bind 127.0.0.1
	log
	comet /chat.php filechat {
		hub beating
		channel beats
	}
	comet /quiet.php filechat {
		hub quiet
		channel quiet
	}
	comet /doorbell/* doorbell {
		hub beating
	}
	comet /comet/* {
		hub quiet
	}
`
	config := s.dir + "/config.json"
	json := s.adapt("metrics\nstorage file_system DIR\nskip_install_trust\nlocal_certs\nservers {\nprotocols h1 h2 h2c\n}\ncomet {\nhub beating {\nheartbeat 1s\n}\nhub quiet\n}",
		"http://:PORT {"+site+"}\nhttps://localhost:TLS {\ntls internal"+site+"}")
	if err := os.WriteFile(config, json, 0o644); err != nil {
		t.Fatal(err)
	}
	p := s.process(config)
	h2c, h2 := h2Client(true), h2Client(false)
	defer h2c.CloseIdleConnections()
	defer h2.CloseIdleConnections()
	eventually(t, "Caddy has made its certificate", func() bool {
		return send(h2, "GET", "https://localhost:"+s.tlsPort+"/comet/a?wait=0", "").status == 200
	})
	clear, secure := "http://"+s.site, "https://localhost:"+s.tlsPort
	quiet := holding(clear + "/quiet.php?timestamp=9000000000000")
	type begun struct {
		name string
		res  *http.Response
		err  error
	}
	cut := make(chan begun, 5)
	for name, c := range map[string]struct {
		client *http.Client
		url    string
	}{
		"chat":           {plain, clear + "/chat.php?timestamp=0"},
		"doorbell":       {plain, clear + "/doorbell/1"},
		"chat by h2c":    {h2c, clear + "/chat.php?timestamp=0"},
		"chat by h2":     {h2, secure + "/chat.php?timestamp=0"},
		"doorbell by h2": {h2, secure + "/doorbell/1"},
	} {
		go func() {
			res, err := c.client.Get(c.url) // returns with the first heartbeat
			cut <- begun{name, res, err}
		}()
	}
	var all []begun
	for range cap(cut) {
		c := receive(t, cut)
		if c.err != nil {
			t.Fatal(c.name, c.err)
		}
		defer c.res.Body.Close()
		all = append(all, c)
	}
	eventually(t, "the quiet one is held", func() bool {
		return strings.Contains(send(s.admin(), "GET", "http://127.0.0.1/comet/quiet/quiet", "").body, `"held":1,`)
	})
	began := time.Now()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	a := receive(t, quiet)
	if a.wants(t, 503, "ask again"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	for _, c := range all {
		name, res := c.name, c.res
		b, err := io.ReadAll(res.Body)
		switch {
		case err == nil || strings.Trim(string(b), "\n") != "":
			t.Errorf("%s ended well with %q", name, b)
		case res.ProtoMajor == 1 && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Errorf("%s: %v", name, err)
		case res.ProtoMajor == 2 && !strings.Contains(err.Error(), "INTERNAL_ERROR"):
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := receive(t, p.done); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("the process ended with %v after %s", err, time.Since(began))
	}
	logs := s.logs()
	if n := strings.Count(logs, `"comet":"stopped"`); n != 1+len(all) {
		t.Errorf("%d requests are logged as stopped; want %d", n, 1+len(all))
	}
	if strings.Contains(logs, "panic") || strings.Contains(logs, "goroutine ") {
		t.Errorf("the log tells of a panic:\n%s", logs)
	}
}

// TestPatientHoldsLeaveNothingBehind: whoever hangs up, before or after a
// heartbeat, frees the hold and its goroutines.
func TestPatientHoldsLeaveNothingBehind(t *testing.T) {
	name := unique("patient")
	s := start(t, "comet {\nhub "+name+" {\nheartbeat 1s\n}\n}", `
http://:PORT {
	bind 127.0.0.1
	comet /chat filechat {
		hub `+name+`
		channel c
	}
	comet /d/* doorbell {
		hub `+name+`
	}
}`)
	before := runtime.NumGoroutine()
	descriptors := countDescriptors(t)
	for range 20 {
		for _, path := range []string{"/chat?timestamp=0", "/d/1"} {
			c, _ := dial(t, s.site, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
			if path == "/d/1" {
				held(t, name+"/doorbell", "1", 1)
			} else {
				held(t, name, "c", 1)
			}
			c.Close()
			held(t, name, "c", 0)
			held(t, name+"/doorbell", "1", 0)
		}
	}
	c, r := dial(t, s.site, "GET /chat HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(r, nil); err != nil {
		t.Fatal(err)
	}
	c.Close()
	held(t, name, "c", 0)
	eventually(t, "the goroutines end", func() bool { return runtime.NumGoroutine() <= before+2 })
	eventually(t, "the connections end", func() bool { return countDescriptors(t) <= descriptors })
	for _, hub := range []string{name, name + "/doorbell"} {
		if n := metric(t, "caddy_comet_held", hub); n != 0 {
			t.Errorf("%v are held in %s", n, hub)
		}
	}
}
