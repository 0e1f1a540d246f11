package caddymodule

import (
	"bytes"
	"net/http"
	"path"
	"time"

	"github.com/caddy-comet/caddy-comet/client"
)

// library answers requests for the client library, and reports whether this is
// one: where channels are named by a path's last element, its files are, too.
func (c *Comet) library(w http.ResponseWriter, r *http.Request) bool {
	if c.Dialect != nativeDialect || len(c.Channels) > 0 || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	name := path.Base(r.URL.Path)
	file, ok := client.Files[name]
	if !ok {
		return false
	}
	h := w.Header()
	if h.Get("Access-Control-Allow-Origin") == "" {
		forEveryone(h)
	}
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	// A browser keeps it, and asks each time whether it is still the same: a page
	// whose library is another than the server's is hard to find out about.
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", file.ETag)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(file.Text))
	return true
}
