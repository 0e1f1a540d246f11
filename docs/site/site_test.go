package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/spf13/afero"
)

// TestThePagesLeadSomewhere: every link and anchor in every Markdown file of the
// sources, and every page's place in the order.
func TestThePagesLeadSomewhere(t *testing.T) {
	b, err := readBook(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.check(); err != nil {
		t.Error(err)
	}
	if len(b.order) < 20 {
		t.Errorf("only %d pages are in the order", len(b.order))
	}
}

// sources are a small book that is sound.
func sources(changes ...string) fstest.MapFS {
	files := fstest.MapFS{
		"README.md":         {Data: []byte("# Front\n\nSee [the contents](docs/README.md), [one](docs/one.md#a-part-of-it), [this](#below) and <https://example.com/>.\n\n## Below\n")},
		"docs/README.md":    {Data: []byte("# Contents\n\n## First\n\n- [One](one.md): it.\n<!-- - [Later](later.md): it. -->\n\n## Second\n\n- [Two](deep/two.md): it.\n<!--\n- [Never](never.md): it.\n-->\n")},
		"docs/one.md":       {Data: []byte("# One\n\n<!-- snippet: x -->\n```php\n<?php [no](link.md) # no heading\n```\n\n## A `part` of: *it*\n\n## Again\n\n## Again\n")},
		"docs/deep/two.md":  {Data: []byte("# Two\n\n[again](../one.md#again-1), [a file](../../php/x.php), [front](../../README.md#below) ![a picture](../img/x.png)\n\n| a | b |\n|---|---|\n| 1 | [`c`](../one.md) |\n")},
		"docs/img/x.png":    {Data: []byte("PNG")},
		"php/x.php":         {Data: []byte("<?php\n")},
		"vendor/README.md":  {Data: []byte("no page of ours, but [its link](../php/x.php) counts\n")},
		".git/HEAD.md":      {Data: []byte("[nowhere](nowhere.md)\n")},
		"node_modules/a.md": {Data: []byte("[nowhere](nowhere.md)\n")},
	}
	for i := 0; i < len(changes); i += 2 {
		files[changes[i]] = &fstest.MapFile{Data: []byte(changes[i+1])}
	}
	return files
}

func TestMistakesInTheBookAreTold(t *testing.T) {
	contents := string(sources()["docs/README.md"].Data)
	for promise, c := range map[string]struct {
		changes []string
		want    string // none: it is sound
	}{
		"a sound book":                        {nil, ""},
		"a place that is kept is taken":       {[]string{"docs/later.md", "# Later\n"}, ""},
		"a dead link":                         {[]string{"docs/one.md", "# One\n\n## A part of it\n\n## Again\n\n## Again\n\n[x](gone.md)\n"}, "docs/one.md: the link gone.md leads nowhere"},
		"a dead link of another file":         {[]string{"vendor/README.md", "[x](../gone.txt)\n"}, "vendor/README.md: the link ../gone.txt leads nowhere"},
		"a dead anchor":                       {[]string{"docs/deep/two.md", "# Two\n\n[x](../one.md#again-2)\n"}, "docs/one.md has no heading for #again-2"},
		"a dead anchor on the page itself":    {[]string{"docs/deep/two.md", "# Two\n\n[x](#gone)\n"}, "docs/deep/two.md has no heading for #gone"},
		"a link in a table":                   {[]string{"docs/deep/two.md", "# Two\n\n| a |\n|---|\n| [x](gone.md) |\n"}, "the link gone.md leads nowhere"},
		"a link to a folder":                  {[]string{"docs/deep/two.md", "# Two\n\n[x](../../php)\n"}, "should lead to a page or a file"},
		"a page without a place":              {[]string{"docs/deep/three.md", "# Three\n"}, "docs/deep/three.md has no place in the order"},
		"a page of the top folder without it": {[]string{"NEWS.md", "# News\n"}, "NEWS.md has no place in the order"},
		"a place without a page":              {[]string{"docs/README.md", contents + "- [Three](three.md): it.\n"}, "docs/README.md names docs/three.md, which is not there"},
		"two places for a page":               {[]string{"docs/README.md", contents + "- [One](one.md): it.\n"}, "docs/one.md is in the order of docs/README.md 2 times"},
		"a page without a title":              {[]string{"docs/deep/two.md", "Two\n"}, "docs/deep/two.md has no title"},
		"a picture that is missing":           {[]string{"docs/deep/two.md", "# Two\n\n![x](../img/y.png)\n"}, "docs/deep/two.md: the picture ../img/y.png is not there"},
		"a picture of somebody else":          {[]string{"docs/deep/two.md", "# Two\n\n![x](https://example.com/img/y.png)\n"}, "the picture https://example.com/img/y.png is not there"},
		"HTML that is no comment":             {[]string{"docs/deep/two.md", "# Two\n\n<script>alert(1)</script>\n"}, "HTML is not for these pages: <script>"},
	} {
		t.Run(promise, func(t *testing.T) {
			b, err := readBook(sources(c.changes...))
			if err == nil {
				err = b.check()
			}
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("told %v, not %q", err, c.want)
			}
		})
	}
}

// TestTheSiteLeadsSomewhere follows every link of what is written.
func TestTheSiteLeadsSomewhere(t *testing.T) {
	out := afero.NewMemMapFs()
	b, err := readBook(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.write(out); err != nil {
		t.Fatal(err)
	}
	ids, links := map[string]bool{}, 0
	id, link := regexp.MustCompile(` id="([^"]+)"`), regexp.MustCompile(`<(?:a|link) [^>]*href="([^"]+)"`)
	texts := map[string]string{}
	for _, p := range b.order {
		name := htmlName(p.name)
		text, err := afero.ReadFile(out, name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
		for _, m := range id.FindAllStringSubmatch(string(text), -1) {
			ids[name+"#"+m[1]] = true
		}
		if strings.Contains(string(text), "<script") {
			t.Errorf("%s has a script", name)
		}
	}
	for name, text := range texts {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, anchor := resolve(name, m[1])
			if target == "" {
				continue
			}
			links++
			if ok, _ := afero.Exists(out, target); !ok {
				t.Errorf("%s: %s leads nowhere", name, m[1])
			}
			if anchor != "" && !ids[target+"#"+anchor] {
				t.Errorf("%s: %s has no such anchor", name, m[1])
			}
		}
	}
	if links < 1000 {
		t.Errorf("only %d links were looked at", links)
	}
}

// TestPagesFollowEachOther by the order, with previous, next and the sections.
func TestPagesFollowEachOther(t *testing.T) {
	out := afero.NewMemMapFs()
	b, err := readBook(sources("docs/later.md", "# Later\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.write(out); err != nil {
		t.Fatal(err)
	}
	if b, err := afero.ReadFile(out, "docs/img/x.png"); err != nil || string(b) != "PNG" {
		t.Errorf("the picture is %q, %v", b, err)
	}
	for name, want := range map[string][]string{
		"index.html":         {`rel="next" href="docs/index.html"`, `href="docs/one.html#a-part-of-it"`, `href="#below"`, `href="style.css"`, `id="below"`},
		"docs/index.html":    {`rel="prev" href="../index.html"`, `rel="next" href="one.html"`},
		"docs/one.html":      {`rel="next" href="later.html"`, `<h2>First</h2>`, `aria-current="page"`, `<a href="#again-1">Again</a>`},
		"docs/later.html":    {`rel="prev" href="one.html"`, `rel="next" href="deep/two.html"`},
		"docs/deep/two.html": {`rel="prev" href="../later.html"`, `href="../../files/php/x.php.txt"`, `href="../../style.css"`, `href="../../index.html#below"`, `src="../img/x.png"`},
	} {
		text, err := afero.ReadFile(out, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range want {
			if !strings.Contains(string(text), s) {
				t.Errorf("%s lacks %s:\n%s", name, s, text)
			}
		}
		if strings.Contains(string(text), "snippet:") {
			t.Errorf("%s shows a comment", name)
		}
	}
}
