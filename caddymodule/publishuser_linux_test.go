package caddymodule

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// speak sends requests over one connection and returns their answers.
func speak(t *testing.T, c net.Conn, requests ...string) (all []answer) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(deadline))
	r := bufio.NewReader(c)
	for _, request := range requests {
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		all = append(all, next(t, r, "POST"))
	}
	return all
}

// post is a request as it stands on the wire.
func post(channel string, header ...string) string {
	return "POST /" + channel + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(header, "Content-Length: 1"), "\r\n") + "\r\n\r\nx"
}

// TestTheNamedUserPublishesAndNobodyElse over real sockets: each server is this
// process's user's or another's.
func TestTheNamedUserPublishesAndNobodyElse(t *testing.T) {
	us, other := os.Getuid(), os.Getuid()+1
	hubs := []string{unique("ours"), unique("theirs")}
	site := func(socket, hub string, users ...int) string {
		return fmt.Sprintf("http:// {\nbind unix/%s|0666\ncomet_publish %s {\nuser %s\n}\n}\n", socket, hub, strings.Trim(fmt.Sprint(users), "[]"))
	}
	s := start(t, "servers unix/SOCKET|0666 {\nprotocols h1\n}\ncomet {\nhub "+hubs[0]+"\nhub "+hubs[1]+"\n}", site("SOCKET", hubs[0], other, us)+site("DIR/p.sock2", hubs[1], other))
	ours, theirs := overSocket(s.socket), overSocket(s.socket+"2")
	name := unique("user")
	send(ours, "POST", "http://x/"+name, "x").wants(t, 200, "receivers")
	before := metric(t, "caddy_comet_denied_total", hubs[1])
	for _, header := range [][]string{nil, {"Host", hubs[0]}, {"Authorization", "Bearer x"}, {"X-Remote-User", fmt.Sprint(other)}} {
		for _, path := range []string{name, hubs[0] + "/" + name, "../" + name} {
			send(theirs, "POST", "http://x/"+path, "x", header...).wants(t, 403, fmt.Sprintf("the user with the number %d may not publish here", us))
		}
	}
	if n := metric(t, "caddy_comet_denied_total", hubs[1]) - before; n != 12 {
		t.Errorf("%v are counted as denied", n)
	}
	if h, _ := findHub(hubs[1]); h.Stats().Channels != 0 {
		t.Error("something is published in the hub of others")
	}
	// Kept alive, a connection is who opened it.
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, a := range speak(t, c, post(name), post(name), post(name, "X-Forwarded-For: 192.0.2.1")) {
		if want := map[bool]int{true: 403, false: 200}[strings.Contains(a.body, "proxy")]; a.status != want {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

// TestAConnectionThatWasParkedPublishesForNobody: its next requests meet a server
// that was not handed it by the kernel. Others are parked as ever.
func TestAConnectionThatWasParkedPublishesForNobody(t *testing.T) {
	hub := unique("parking")
	s := start(t, "comet {\nhub "+hub+"\n}", "http:// {\nbind unix/SOCKET|0666\ncomet /comet/* {\nhub "+hub+"\n}\ncomet_publish /publish/* "+hub+" {\nuser "+fmt.Sprint(os.Getuid())+"\n}\n}")
	name := unique("parked")
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answered := make(chan []answer, 1)
	go func() {
		answered <- speak(t, c, "GET /comet/"+name+" HTTP/1.1\r\nHost: x\r\n\r\n", post("publish/"+name), post("publish/"+name))
	}()
	eventually(t, "the poll is parked", func() bool { return metric(t, "caddy_comet_parked", hub) == 1 })
	send(overSocket(s.socket), "POST", "http://x/publish/"+name, "x").wants(t, 200, `"receivers":1`)
	all := receive(t, answered)
	all[0].wants(t, 200, `"data":"x"`)
	for _, a := range all[1:] {
		a.wants(t, 403, "it is not known which user is at the other end of this connection; publish over a connection of your own")
	}
}

// TestKeysOfAFileLetPublish, those that it has now, and no log has one.
func TestKeysOfAFileLetPublish(t *testing.T) {
	s := newServer(t)
	const old, young = "an-old-key-0123456789", "a-young-key-0123456789"
	path := s.dir + "/keys"
	put := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	try := func(key string, status int, part string) {
		t.Helper()
		send(plain, "POST", "http://"+s.publish+"/"+unique("key"), "x", "Authorization", "Bearer "+key).wants(t, status, part)
	}
	put("# the first\n"+old+"\n", 0o640)
	sites := "http://PUBLISH {\nbind 127.0.0.1\ncomet_publish {\nkey_file DIR/keys\n}\n}"
	if config := string(s.adapt("debug", sites)); strings.Contains(config, old) || !strings.Contains(config, `"key_files":["`+path+`"]`) {
		t.Errorf("adapted to %s", config)
	}
	s.reload("debug\n", sites)
	try(old, 200, "receivers")
	try(young, http.StatusUnauthorized, "a key is needed")
	put(young+"\n"+old+"\n", 0o640)
	try(old, 200, "receivers")
	try(young, 200, "receivers")
	put(young, 0o640)
	try(old, http.StatusUnauthorized, "a key is needed")
	put(young, 0o644)
	try(young, http.StatusUnauthorized, "a key is needed")
	try(young, http.StatusUnauthorized, "a key is needed")
	put(young, 0o600)
	try(young, 200, "receivers")
	logs := s.logs()
	if n := strings.Count(logs, "the keys of a file open nothing until it is mended"); n != 1 || !strings.Contains(logs, "shut it: chgrp") || strings.Count(logs, "open again") != 1 {
		t.Errorf("logged %d times: %s", n, logs)
	}
	for _, key := range []string{old, young} {
		if strings.Contains(logs, key) {
			t.Error("a log has a key")
		}
	}
}
