package source

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseWatchTakesWhatCanBeWatched(t *testing.T) {
	for _, c := range []struct{ glob, what, wantGlob, wantDir string }{
		{"/dev/shm/*.comet", "", "/dev/shm/*.comet", "/dev/shm"},
		{"/srv/www/data.txt", "content", "/srv/www/data.txt", "/srv/www"},
		{"/run//comet/./shop/*.jsonl", "lines", "/run/comet/shop/*.jsonl", "/run/comet/shop"},
		{"/run/comet/*", "touches", "/run/comet/*", "/run/comet"},
		{"/a*b", "", "/a*b", "/"},
		{"/srv/x..y/a", "", "/srv/x..y/a", "/srv/x..y"},
	} {
		w, err := ParseWatch(c.glob, c.what)
		if err != nil {
			t.Errorf("ParseWatch(%q): %v", c.glob, err)
			continue
		}
		want := What(c.what)
		if want == "" {
			want = Touches
		}
		if w.Glob != c.wantGlob || w.Dir() != c.wantDir || w.What != want {
			t.Errorf("ParseWatch(%q, %q) = %+v in %q", c.glob, c.what, w, w.Dir())
		}
	}
}

func TestParseWatchSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ glob, what, want string }{
		{"", "", "empty"},
		{"data/*.txt", "", "absolute"},
		{"/a/*/b*", "", "more than one *"},
		{"/a/**", "", "more than one *"},
		{"/a/*/b", "", "last path element"},
		{"/a/../b", "", ".."},
		{"/a/..", "", ".."},
		{"/a/b\n", "", "control characters"},
		{"/a/b\x00", "", "control characters"},
		{"/a/\xff", "", "UTF-8"},
		{"/a/?.txt", "", "only wildcard"},
		{"/a/[ab].txt", "", "only wildcard"},
		{"/a/{a,b}.txt", "", "only wildcard"},
		{"/a/b/", "", "slash"},
		{"/", "", "slash"},
		{"/a/.", "", "directory"},
		{"/a/" + strings.Repeat("x", 256), "", "255"},
		{"/a/*", "line", "touches, content or lines"},
	} {
		_, err := ParseWatch(c.glob, c.what)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseWatch(%q, %q): error %v does not say %q", c.glob, c.what, err, c.want)
		}
	}
}

func TestChannelIsWhatTheStarStandsFor(t *testing.T) {
	for _, c := range []struct{ glob, base, want string }{
		{"/d/*.comet", "orders.comet", "orders"},
		{"/d/*.comet", "a.b.comet", "a.b"},
		{"/d/*.comet", ".comet", ""},
		{"/d/*.comet", ".hidden.comet", ""},
		{"/d/*.comet", "orders.comet~", ""},
		{"/d/*", "orders", "orders"},
		{"/d/*", ".orders", ""},
		{"/d/.x*", ".xy", "y"},
		{"/d/a*a", "a", ""},
		{"/d/a*a", "aa", ""},
		{"/d/a*a", "aba", "b"},
		{"/d/data.txt", "data.txt", "data"},
		{"/d/data.tar.gz", "data.tar.gz", "data.tar"},
		{"/d/.profile", ".profile", ".profile"},
		{"/d/data", "data", "data"},
		{"/d/data.txt", "data.txt2", ""},
		{"/d/*", "größe", "größe"},
		{"/d/*", "a\xff", ""},
		{"/d/*", "a\nb", ""},
		{"/d/*", "a\u0085b", ""},
		{"/d/*", strings.Repeat("x", 255), strings.Repeat("x", 255)},
		{"/d/*", strings.Repeat("x", 256), ""},
	} {
		w := must(ParseWatch(c.glob, ""))
		if got, ok := w.Channel(c.base); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s: Channel(%q) = %q, %v; want %q", c.glob, c.base, got, ok, c.want)
		}
	}
}

func TestOverlapsFindsGlobsThatShareAFile(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"/d/*.a", "/d/*.a", true},
		{"/d/*.a", "/e/*.a", false},
		{"/d/*.a", "/d/*.b", false},
		{"/d/*.a", "/d/x*", true},
		{"/d/*.a", "/d/*", true},
		{"/d/x*", "/d/y*", false},
		{"/d/x*", "/d/xy*", true},
		{"/d/*.json", "/d/*.x.json", true},
		{"/d/*.a", "/d/q.a", true},
		{"/d/*.a", "/d/.q.a", false},
		{"/d/*.a", "/d/.q*", false},
		{"/d/.*", "/d/.q*", true},
		{"/d/q.a", "/d/q.a", true},
		{"/d/q.a", "/d/q.b", false},
		{"/d//q.a", "/d/./q.a", true},
	} {
		a, b := must(ParseWatch(c.a, "")), must(ParseWatch(c.b, "lines"))
		if a.Overlaps(b) != c.want || b.Overlaps(a) != c.want {
			t.Errorf("%s and %s: overlaps %v and %v, want %v", c.a, c.b, a.Overlaps(b), b.Overlaps(a), c.want)
		}
	}
}

func TestWarningOfPrivateTmp(t *testing.T) {
	for glob, want := range map[string]bool{
		"/tmp/*.comet": true, "/var/tmp/x/*.comet": true, "/tmpx/*": false, "/run/comet/*": false,
	} {
		if got := must(ParseWatch(glob, "")).Warning(); strings.Contains(got, "PrivateTmp") != want {
			t.Errorf("%s: %q", glob, got)
		}
	}
}

func FuzzParseWatch(f *testing.F) {
	for _, s := range []string{"/dev/shm/*.comet", "/a/../b", "/a//b/./*", "x", "/*/", "/a/\x00*"} {
		f.Add(s, "lines")
	}
	f.Fuzz(func(t *testing.T, glob, what string) {
		w, err := ParseWatch(glob, what)
		if err != nil {
			return
		}
		again, err := ParseWatch(w.Glob, string(w.What))
		if err != nil || again != w {
			t.Fatalf("%q is %+v, which is %+v (%v)", glob, w, again, err)
		}
		if strings.Contains(w.Dir(), "*") || !strings.HasPrefix(w.Dir(), "/") || !w.Overlaps(w) && !strings.Contains(w.Glob, "/.") && len(w.Glob) < 250 {
			t.Fatalf("%q is %+v", glob, w)
		}
	})
}

func FuzzChannel(f *testing.F) {
	f.Add("/d/*.comet", "/d/o*", "orders.comet")
	f.Add("/d/a*a", "/d/aa", "aa")
	f.Add("/d/*", "/d/.a", ".a")
	f.Fuzz(func(t *testing.T, glob, other, base string) {
		w, err := ParseWatch(glob, "")
		if err != nil {
			return
		}
		channel, ok := w.Channel(base)
		if !ok {
			return
		}
		if channel == "" || len(channel) > 255 || !utf8.ValidString(channel) || strings.Contains(channel, "/") {
			t.Fatalf("%q, %q: channel %q", glob, base, channel)
		}
		if prefix, suffix, star := strings.Cut(w.Glob[strings.LastIndex(w.Glob, "/")+1:], "*"); star && prefix+channel+suffix != base {
			t.Fatalf("%q, %q: channel %q", glob, base, channel)
		}
		if o, err := ParseWatch(other, ""); err == nil && o.Dir() == w.Dir() {
			if _, both := o.Channel(base); both && !w.Overlaps(o) {
				t.Fatalf("%q matches %q and %q, which are said not to overlap", base, glob, other)
			}
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
