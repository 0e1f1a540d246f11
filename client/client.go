// Package client has the library for browsers, as it is built into dist from the
// sources beside it (see package.json).
package client

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
)

//go:embed dist/*.js
var dist embed.FS

// File is one that a page loads.
type File struct {
	Text []byte
	// ETag is another one for any other text.
	ETag string
}

// Files are those that pages load, by their names: comet.js for a script element,
// comet.esm.js for import, and comet.legacy.js for old browsers.
var Files = load("comet.js", "comet.esm.js", "comet.legacy.js")

func load(names ...string) map[string]File {
	files := make(map[string]File)
	for _, name := range names {
		text, err := dist.ReadFile("dist/" + name)
		if err != nil {
			panic(fmt.Sprintf("the client library was not built in: %v", err))
		}
		sum := sha256.Sum256(text)
		files[name] = File{Text: text, ETag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
	}
	return files
}
