package caddymodule

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// TestNobodyHoldsMoreThanHisShare by address and by user, whichever way it waits, and
// what ends makes room.
func TestNobodyHoldsMoreThanHisShare(t *testing.T) {
	hub := unique("shares")
	s := start(t, "servers {\ntrusted_proxies static 127.0.0.1\n}\ncomet {\nlease 30s\nhub "+hub+" {\nmax_holds_per_ip 3\nmax_holds_per_user 2\n}\n}",
		"http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub "+hub+"\ntoken {\nkey "+tokenKey+"\n}\n}\n}\nhttp:// {\nbind unix/SOCKET\ncomet_publish "+hub+"\n}")
	address := "http://" + s.site + "/comet/a?token="
	anna, ben, carl := tokenOf(t, tokenKey, hub, "anna", "a"), tokenOf(t, tokenKey, hub, "ben", "a"), tokenOf(t, tokenKey, hub, "carl", "a")
	from := func(ip, token string) <-chan answer {
		c := make(chan answer, 1)
		go func() { c <- get(address+token, "X-Forwarded-For", ip) }()
		return c
	}
	one := from("192.0.2.1", anna)
	held(t, hub, "a", 1)
	two := from("192.0.2.2", anna)
	held(t, hub, "a", 2)
	receive(t, from("192.0.2.3", anna)).wants(t, 503, "2 requests are held for you")
	three, four := from("192.0.2.1", ben), from("192.0.2.1", ben)
	held(t, hub, "a", 4)
	full := receive(t, from("192.0.2.1", carl))
	if full.wants(t, 503, "3 requests are held for you"); full.header.Get("Retry-After") == "" {
		t.Errorf("%v", full.header)
	}
	five := from("2001:db8::1", carl)
	held(t, hub, "a", 5)
	send(overSocket(s.socket), "POST", "http://x/a", "news").wants(t, 200, "")
	for _, c := range []<-chan answer{one, two, three, four, five} {
		receive(t, c).wants(t, 200, "news")
	}
	again := []<-chan answer{from("192.0.2.1", anna), from("192.0.2.1", anna), from("192.0.2.1", ben)}
	held(t, hub, "a", 3)
	send(overSocket(s.socket), "DELETE", "http://x/_holds?channel=a", "").wants(t, 200, `"ended":3`)
	for _, c := range again {
		receive(t, c).wants(t, 200, "")
	}
	h, _ := findHub(hub)
	eventually(t, "nothing is counted any more", func() bool { return h.shares.Empty() })
}

func TestClientsOfOneNetworkOfIPv6AreOne(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "": "", "@": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, make(map[string]any)))
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, ip)
		if got := networkOf(r); got != want {
			t.Errorf("%s: %s", ip, got)
		}
	}
}
