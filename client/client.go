// Package client has what browsers get, as it is built into dist from the sources
// beside it (see package.json): the library for pages, and the status page.
package client

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
)

//go:embed dist/*.js dist/page
var dist embed.FS

// File is one that a page loads.
type File struct {
	Text []byte
	// ETag is another one for any other text.
	ETag string
}

// Files are those that pages load, by their names: comet.js for a script element,
// comet.esm.js for import, and comet.legacy.js for old browsers.
var Files = load("dist/", "comet.js", "comet.esm.js", "comet.legacy.js")

// Page is the status page, and what it loads.
var Page = load("dist/page/", "index.html", "page.js", "page.css", "icon.svg")

func load(dir string, names ...string) map[string]File {
	files := make(map[string]File)
	for _, name := range names {
		text, err := dist.ReadFile(dir + name)
		if err != nil {
			panic(fmt.Sprintf("%s was not built in: %v", name, err))
		}
		sum := sha256.Sum256(text)
		files[name] = File{Text: text, ETag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
	}
	return files
}
