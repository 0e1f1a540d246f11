package source

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// contentType is what we say of data out of the file with this name. An
// extension alone is no proof: who gets application/json will parse it.
func contentType(name string, data []byte) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json", ".jsonl", ".ndjson":
		if json.Valid(data) {
			return "application/json"
		}
	}
	if !utf8.Valid(data) {
		return "application/octet-stream"
	}
	return "text/plain; charset=utf-8"
}
