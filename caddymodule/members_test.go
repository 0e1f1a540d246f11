package caddymodule

import (
	"strings"
	"testing"
)

// TestAChannelKnowsItsMembers, by whatever named them, and tells who comes and leaves.
func TestAChannelKnowsItsMembers(t *testing.T) {
	hub := unique("presence")
	globals := "comet {\nhub " + hub + " {\npresence room-* members {\ngrace 100ms\n}\n}\n}"
	s := start(t, globals, "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub "+hub+"\ntoken "+tokenKey+"\n}\n}\nhttp:// {\nbind unix/SOCKET\ncomet_publish "+hub+"\n}")
	there := func(path, want string) {
		t.Helper()
		eventually(t, want+" is there", func() bool { return strings.Contains(fromSocket(s, path), want) })
	}
	there("room-1/members", `"members":[]`)
	there("members/members", `"members":[]`)
	listener := dialed(t, "ws://"+s.site+"/comet/room-1,hall?token="+tokenOf(t, tokenKey, hub, "anna", "*"))
	own := listener.hears()
	if own.Channel == "" { // it was sent its position before
		own = listener.hears()
	}
	if own.Channel != "room-1" || own.Type != "join" || string(own.Data) != `{"user":"anna"}` {
		t.Errorf("%+v", own)
	}
	there("room-1/members", `"members":["anna"]`)
	address := "http://" + s.site + "/comet/room-1?token=" + tokenOf(t, tokenKey, hub, "ben", "*")
	one, two := holding(address), holding(address)
	listener.event("room-1", `{"user":"ben"}`)
	there("room-1/members", `"members":["anna","ben"]`)
	there("some/prefix/room-1/members", `"members":["anna","ben"]`)
	a := send(s.admin(), "GET", "http://127.0.0.1/comet/"+hub+"/room-1/members", "")
	a.wants(t, 200, `"members":["anna","ben"]`)
	a.wants(t, 200, `"cursor":"`)
	send(overSocket(s.socket), "DELETE", "http://x/_holds?user=ben", "").wants(t, 200, `"ended":`)
	receive(t, one)
	receive(t, two)
	if e := listener.event("room-1", `{"user":"ben"}`); e.Type != "leave" {
		t.Errorf("%+v", e)
	}
	there("room-1/members", `"members":["anna"]`)
	// What is called so and has no members is a channel as ever.
	send(overSocket(s.socket), "GET", "http://x/hall/members", "").wants(t, 404, "has no members; write")
	send(overSocket(s.socket), "GET", "http://x/hall/members?since=", "").wants(t, 200, `"events":[]`)
	send(overSocket(s.socket), "POST", "http://x/hall/members", "x").wants(t, 200, `"channel":"members"`)
	send(overSocket(s.socket), "GET", "http://x/members", "").wants(t, 200, `"history":1`)
}

func fromSocket(s *server, path string) string {
	return send(overSocket(s.socket), "GET", "http://x/"+path, "").body
}
