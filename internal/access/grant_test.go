package access

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"
)

func TestPatterns(t *testing.T) {
	for pattern, names := range map[string]struct{ yes, no string }{
		"orders":     {"orders", "order orders2 Orders"},
		"user-42":    {"user-42", "user-421"},
		"user-42-*":  {"user-42- user-42-x user-42-x/y", "user-42 user-4 xuser-42-"},
		"*":          {"a user-42", ""},
		"*.news":     {"a.news .news a.news.news", "a.newsx news"},
		"a*b*c":      {"abc aXbYc abcbc a*b*c", "ab ac acb abcd"},
		"room-*-*":   {"room-1-2 room--", "room-1"},
		"aa*aa":      {"aaaa aaXaa", "aaa"},
		"**":         {"x", ""},
		"*ab*ab*ab*": {"ababab xabxabxabx", "abab"},
	} {
		p, err := ParsePatterns([]string{"other", pattern})
		if err != nil {
			t.Fatal(err)
		}
		for name := range strings.FieldsSeq(names.yes) {
			if !p.Match(name) {
				t.Errorf("%s does not name %s", pattern, name)
			}
		}
		for name := range strings.FieldsSeq(names.no) {
			if p.Match(name) {
				t.Errorf("%s names %s", pattern, name)
			}
		}
	}
	if Patterns(nil).Match("a") || (Patterns{}).Match("a") {
		t.Error("no pattern names something")
	}
}

func TestPatternsHaveBounds(t *testing.T) {
	for _, names := range [][]string{
		make([]string, maxPatterns+1), {strings.Repeat("a", maxPattern+1)}, {""}, {"a\nb"}, {"\xff"},
	} {
		if _, err := ParsePatterns(names); !errors.Is(err, ErrPatterns) {
			t.Errorf("%d patterns: %v", len(names), err)
		}
	}
}

func TestAGrantNarrows(t *testing.T) {
	asked := []string{"a", "b", "c-1"}
	allowed, denied := Grant{}.Narrow(asked)
	if !slices.Equal(allowed, asked) || denied != nil {
		t.Errorf("%v %v", allowed, denied)
	}
	allowed, denied = Grant{Channels: Patterns{"c-*", "a"}}.Narrow(asked)
	if !slices.Equal(allowed, []string{"a", "c-1"}) || !slices.Equal(denied, []string{"b"}) {
		t.Errorf("%v %v", allowed, denied)
	}
	if allowed, _ = (Grant{Channels: Patterns{}}).Narrow(asked); allowed != nil {
		t.Errorf("%v", allowed)
	}
}

// FuzzMatch compares with the standard library's, for what both know.
func FuzzMatch(f *testing.F) {
	f.Add("a*b*c", "aXbYc")
	f.Add("aa*aa", "aaa")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.ContainsAny(pattern, `?[\`) || strings.Contains(name, "/") || len(pattern) > 30 {
			return
		}
		want, err := path.Match(pattern, name)
		if got := match(pattern, name); err == nil && got != want {
			t.Errorf("%q %q: %v", pattern, name, got)
		}
	})
}
