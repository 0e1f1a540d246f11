package hub_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func TestNamesAreUTF8WithoutControls(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "orders 2026": true, "größe/日本": true, "a,b": true, "..": true, "\u2028": true,
		strings.Repeat("x", hub.MaxName): true,
		"":                               false, "a\x00": false, "a\n": false, "\x7f": false, "\u0085": false, "a\xff": false,
		strings.Repeat("x", hub.MaxName+1): false,
	} {
		err := hub.CheckChannel(name)
		if (err == nil) != ok || (err != nil && !errors.Is(err, hub.ErrName)) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func FuzzCheckChannel(f *testing.F) {
	for _, s := range []string{"a", "", "a\n", "\xff", strings.Repeat("é", 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ok := hub.CheckChannel(s) == nil
		want := s != "" && len(s) <= 255 && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
		if ok != want {
			t.Errorf("%q: allowed is %v", s, ok)
		}
	})
}
