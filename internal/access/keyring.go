package access

import (
	"crypto/sha256"
	"crypto/subtle"
)

// Key is what is kept of a key: nothing by which anybody could publish.
type Key [sha256.Size]byte

// Bounds of a key.
const (
	MinKey = 16
	MaxKey = 1024
)

// KeyOf returns what is kept of a key.
func KeyOf(secret string) Key { return sha256.Sum256([]byte(secret)) }

// Keyring are the keys that open one door: those of the configuration, and those
// of files, as they are now, and those by which tokens are signed.
type Keyring struct {
	fixed  []Key
	files  []*keyFile
	shared []SharedKey
}

// Add adds a key.
func (r *Keyring) Add(k Key) { r.fixed = append(r.fixed, k) }

// AddFile adds the keys of a file, which are those that it has whenever somebody
// asks: lines are added and taken out while the server runs. It fails where the
// file cannot be used now. Later changed is told, once each, when it cannot be used
// any more (its keys open nothing then) and when it can again (nil).
func (r *Keyring) AddFile(path string, changed func(error)) error {
	f := &keyFile{path: path, changed: changed}
	if _, err := f.look(); err != nil {
		return err
	}
	r.files = append(r.files, f)
	return nil
}

// Empty reports whether nothing would ever open.
func (r *Keyring) Empty() bool {
	return len(r.fixed) == 0 && len(r.files) == 0 && len(r.shared) == 0
}

// Find returns the key of that secret, if it is one of the ring. How long that takes
// says nothing about the keys.
func (r *Keyring) Find(secret string) (Key, bool) {
	asked := KeyOf(secret)
	match := 0
	for i := range r.fixed {
		match |= subtle.ConstantTimeCompare(r.fixed[i][:], asked[:])
	}
	for _, f := range r.files {
		keys := f.current()
		for i := range keys {
			match |= subtle.ConstantTimeCompare(keys[i][:], asked[:])
		}
	}
	return asked, match == 1
}
