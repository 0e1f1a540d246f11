package access

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	first  = "first-key-0123456789"
	second = "second-key-0123456789"
)

// keyFileOf makes a file of keys, and a ring with it.
func keyFileOf(t *testing.T, text string, said *[]string) (*Keyring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	putKeys(t, path, text)
	r := new(Keyring)
	err := r.AddFile(path, func(err error) {
		text := "mended"
		if err != nil {
			text = err.Error()
		}
		*said = append(*said, text)
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, path
}

// putKeys puts another file in the place, as mv does.
func putKeys(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func opens(r *Keyring, secret string) bool {
	_, ok := r.Find(secret)
	return ok
}

func TestKeysAreFound(t *testing.T) {
	r := new(Keyring)
	if !r.Empty() || opens(r, "") {
		t.Error("an empty ring is not empty")
	}
	r.Add(KeyOf(first))
	r.Add(KeyOf(second))
	for secret, want := range map[string]bool{first: true, second: true, "": false, first + " ": false, first[1:]: false, strings.ToUpper(first): false} {
		key, ok := r.Find(secret)
		if ok != want || key != KeyOf(secret) {
			t.Errorf("%q: %v", secret, ok)
		}
	}
}

func TestKeysOfAFileAreThoseThatItHasNow(t *testing.T) {
	var said []string
	r, path := keyFileOf(t, "# ours\r\n\n  "+first+"\t\r\n", &said)
	if r.Empty() || !opens(r, first) || opens(r, second) || opens(r, "# ours") || opens(r, "") {
		t.Error("as it was made")
	}
	putKeys(t, path, first+"\n"+second) // a rotation begins
	if !opens(r, first) || !opens(r, second) {
		t.Error("both open during a rotation")
	}
	putKeys(t, path, second)
	if opens(r, first) || !opens(r, second) {
		t.Error("the old one opens after a rotation")
	}
	// In place, with the same length: only the time is another.
	if err := os.WriteFile(path, []byte(strings.ToUpper(second)), 0o640); err != nil {
		t.Fatal(err)
	}
	if opens(r, second) || !opens(r, strings.ToUpper(second)) {
		t.Error("a file that was written in place")
	}
	if len(said) > 0 {
		t.Errorf("said %q", said)
	}
}

// TestAnOldFileIsNotReadForEachRequest: its time says that it is the same.
func TestAnOldFileIsNotReadForEachRequest(t *testing.T) {
	var said []string
	r, path := keyFileOf(t, first, &said)
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
	opens(r, first)
	f := r.files[0]
	kept := &f.keys[0]
	if opens(r, first); kept != &f.keys[0] {
		t.Error("it is read again")
	}
	if err := os.WriteFile(path, []byte(second), 0o640); err != nil {
		t.Fatal(err)
	}
	if opens(r, first) || !opens(r, second) {
		t.Error("its change is not seen")
	}
}

func TestKeysOpenNothingWhileTheirFileIsInTrouble(t *testing.T) {
	var said []string
	r, path := keyFileOf(t, first, &said)
	for _, c := range []struct {
		name string
		harm func() error
		want string
	}{
		{"deleted", func() error { return os.Remove(path) }, "there is no such file; make it: openssl rand"},
		{"without a key", func() error { putKeys(t, path, "# none\n"); return nil }, "it has no key"},
		{"a short one", func() error { putKeys(t, path, first+"\nshort\n"); return nil }, "line 2: 5 characters are too few"},
		{"a space", func() error { putKeys(t, path, "a key with spaces in it"); return nil }, "line 1: a key has no space"},
		{"binary", func() error { putKeys(t, path, strings.Repeat("\x00\xff", 20)); return nil }, "line 1: a key has no space"},
		{"a long one", func() error { putKeys(t, path, strings.Repeat("x", MaxKey+1)); return nil }, "1025 characters are too many"},
		{"too many", func() error { putKeys(t, path, strings.Repeat(first+"\n", maxKeys+1)); return nil }, "more than 1000 keys"},
		{"huge", func() error { putKeys(t, path, strings.Repeat("#\n", maxKeyFile)); return nil }, "more than 65536 bytes"},
		{"open to all", func() error { return os.Chmod(path, 0o644) }, "every user of this machine may read or write it; shut it: chgrp "},
		{"writable for all", func() error { return os.Chmod(path, 0o602) }, "every user of this machine may read or write it"},
		{"a directory", func() error { _ = os.Remove(path); return os.Mkdir(path, 0o700) }, "it is no file"},
	} {
		said = nil
		if err := c.harm(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if opens(r, first) {
				t.Errorf("%s: it opens", c.name)
			}
		}
		if len(said) != 1 || !strings.Contains(said[0], c.want) || !strings.HasPrefix(said[0], "key_file "+path+": ") {
			t.Errorf("%s: said %q", c.name, said)
		}
		if strings.Contains(strings.Join(said, ""), first) || strings.Contains(strings.Join(said, ""), "short") {
			t.Errorf("%s: it tells the key: %q", c.name, said)
		}
		if err := new(Keyring).AddFile(path, nil); err == nil {
			t.Errorf("%s: it is taken", c.name)
		}
		_ = os.RemoveAll(path)
		putKeys(t, path, first)
		if !opens(r, first) || len(said) != 2 || said[1] != "mended" {
			t.Errorf("%s: not mended: %q", c.name, said)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("# c\n" + first + "\r\n\n" + second))
	f.Add([]byte("\ufeff" + first))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeys(b)
		if (err == nil) != (len(keys) > 0) || len(keys) > maxKeys {
			t.Errorf("%d keys, %v", len(keys), err)
		}
	})
}
