package caddymodule

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-comet/caddy-comet/client"
)

// TestTheLibraryIsServedWhereItsChannelsAre: each file under every path of a native
// directive, and nowhere else.
func TestTheLibraryIsServedWhereItsChannelsAre(t *testing.T) {
	s := start(t, "", `http://SITE {
	bind 127.0.0.1
	comet /comet/*
	comet /fixed/* {
		channel orders
	}
	comet /doorbell/* doorbell
	respond "the site" 418
}`)
	for name, file := range client.Files {
		for _, path := range []string{"/comet/", "/comet/deeper/"} {
			got := send(plain, "GET", "http://"+s.site+path+name, "")
			if got.status != 200 || got.body != string(file.Text) || len(file.Text) < 1000 {
				t.Fatalf("%s: %d with %d bytes", path+name, got.status, len(got.body))
			}
			for header, want := range map[string]string{
				"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache", "ETag": file.ETag,
				"X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": "*",
			} {
				if value := got.header.Get(header); value != want {
					t.Errorf("%s: %s is %q, want %q", path+name, header, value, want)
				}
			}
			if head := send(plain, "HEAD", "http://"+s.site+path+name, ""); head.status != 200 || head.body != "" || head.header.Get("ETag") != file.ETag {
				t.Errorf("HEAD %s: %d %q", path+name, head.status, head.body)
			}
			if again := send(plain, "GET", "http://"+s.site+path+name, "", "If-None-Match", file.ETag); again.status != http.StatusNotModified || again.body != "" {
				t.Errorf("%s again: %d", path+name, again.status)
			}
			if other := send(plain, "GET", "http://"+s.site+path+name, "", "If-None-Match", `"another"`); other.status != 200 {
				t.Errorf("%s is another: %d", path+name, other.status)
			}
		}
	}
	for path, want := range map[string]int{
		"/comet/comet.min.js": 404, "/comet/a,comet.js": 404, "/comet/comet.js,a": 404, "/comet.js": 418,
		"/fixed/comet.js?wait=0": 200, "/doorbell/comet.js": 400,
	} {
		if got := send(plain, "GET", "http://"+s.site+path, ""); got.status != want || strings.Contains(got.body, "function") {
			t.Errorf("%s: %d %.60s", path, got.status, got.body)
		}
	}
	if got := send(plain, "POST", "http://"+s.site+"/comet/comet.js", ""); got.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", got.status)
	}
	etags := make(map[string]bool)
	for _, file := range client.Files {
		etags[file.ETag] = true
	}
	if len(etags) != len(client.Files) {
		t.Error("files share an ETag")
	}
}
