package caddymodule

import (
	"strings"
	"testing"
)

// TestAClientMayHaveSignsOfLifeMoreOften than is configured, and never has them less
// often, parked or not: as events that its script sees.
func TestAClientMayHaveSignsOfLifeMoreOften(t *testing.T) {
	slow, fast := unique("slow"), unique("fast")
	s := start(t, "comet {\nhub "+slow+" {\nheartbeat 1h\n}\nhub "+fast+" {\nheartbeat 1s\n}\n}", `http://SITE {
	bind 127.0.0.1
	header /held/* >X-Held yes
	comet /slow/* {
		hub `+slow+`
	}
	comet /held/* {
		hub `+slow+`
	}
	comet /fast/* {
		hub `+fast+`
	}
}`)
	var all []*reading
	for _, path := range []string{"/slow/a?beat=1&", "/held/a?beat=1&", "/fast/a?beat=3600&"} {
		for _, as := range []string{"as=sse", "as=stream"} {
			all = append(all, read(t, plain, "http://"+s.site+path+as))
		}
	}
	for i, r := range all {
		sign := []string{"event: cursor\ndata: \n\n", `"}` + "\n"}[i%2]
		var got string
		for strings.Count(got, sign) < 3 { // the position that it begins with, and two beats
			piece := receive(t, r.text)
			if piece == "" {
				t.Fatalf("%s ended: %q", r.res.Request.URL, shortened(got))
			}
			got += piece
		}
	}
}
