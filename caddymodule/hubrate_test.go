package caddymodule

import (
	"strings"
	"testing"
)

// TestAHubHasARate, which all who publish share, on whichever way they come, and which
// is counted on over a reload.
func TestAHubHasARate(t *testing.T) {
	name, other, key := unique("rate"), unique("other"), "0123456789abcdef"
	globals := func(rate string) string {
		return "comet {\nhub " + name + " {\nmax_publish_rate " + rate + "\n}\nhub " + other + "\n}"
	}
	sites := `
http://SITE {
	bind 127.0.0.1
	comet /doorbell/* doorbell {
		hub ` + name + `
	}
	route /publishes {
		comet_backend {
			hub ` + name + `
			publish
		}
		header >Comet-Publish "header-a, header-b"
		respond "a page"
	}
}
http://PUBLISH {
	bind 127.0.0.1
	@one path /one/*
	handle @one {
		uri strip_prefix /one
		comet_publish ` + name + ` {
			key ` + key + `
		}
	}
	handle {
		comet_publish ` + other + ` {
			key ` + key + `
		}
	}
}
`
	s := start(t, globals("1/h burst 4"), sites)
	publish := func(channels string) answer {
		return send(plain, "POST", "http://"+s.publish+"/one/"+channels, "x", "Authorization", "Bearer "+key)
	}
	admin := func(channels string) answer {
		return send(s.admin(), "POST", "http://127.0.0.1/comet/"+name+"/"+channels, "x")
	}
	before := metric(t, "caddy_comet_denied_total", name)
	publish("a,b,c,d,e").wants(t, 413, "5 events at one go are more than the rate has room for, which is 4")
	publish("a,b").wants(t, 200, "receivers")
	get("http://"+s.site+"/publishes").wants(t, 200, "a page")
	admin("header-b").wants(t, 429, "")
	full := publish("a")
	full.wants(t, 429, "the hub "+name+" is told of events faster than its max_publish_rate; try again in 3600 s, or raise it")
	if full.header.Get("Retry-After") != "3600" {
		t.Errorf("%v", full.header)
	}
	send(plain, "POST", "http://"+s.publish+"/one/publish/", `{"items":[{"channel":"a","formats":{"http-response":{"body":"x"}}}]}`, "Authorization", "Bearer "+key).wants(t, 429, "max_publish_rate")
	get("http://"+s.site+"/publishes").wants(t, 200, "a page") // whose events are left out
	eventually(t, "that is logged", func() bool { return strings.Contains(s.logs(), "faster than its max_publish_rate") })
	if n := metric(t, "caddy_comet_denied_total", name) - before; n != 6 {
		t.Errorf("%v are counted as refused", n)
	}
	send(plain, "POST", "http://"+s.publish+"/a", "x", "Authorization", "Bearer "+key).wants(t, 200, "receivers") // the neighbour

	// Event variables have the same once more.
	for range 4 {
		send(plain, "POST", "http://"+s.site+"/doorbell/"+newNumber(), "").wants(t, 200, "set\n")
	}
	send(plain, "POST", "http://"+s.site+"/doorbell/"+newNumber(), "").wants(t, 429, "faster than its max_publish_rate")

	s.reload(globals("1/h burst 4")+"\n", sites)
	publish("a").wants(t, 429, "")
	s.reload(globals("2/h burst 4"), sites)
	publish("a").wants(t, 200, "")
}
