package main

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// markdown is GitHub's, so that a page looks the same there and here.
var markdown = goldmark.New(goldmark.WithExtensions(extension.GFM))

// page is one Markdown file, named by its path from the top folder.
type page struct {
	name, title string
	// label and section are the page's in the order.
	label, section string
	source         []byte
	doc            ast.Node
	links          []*ast.Link
	images         []*ast.Image
	anchors        map[string]bool
	headings       []heading
	// html are the page's lines of HTML that are no comment.
	html []string
}

// heading is one of the second level: what a page is made of.
type heading struct{ Anchor, Text string }

// parse reads a page. Its headings get the anchors that GitHub gives them, and a
// link to themselves.
func parse(name string, source []byte) *page {
	p := &page{name: name, source: frontMatter.ReplaceAll(source, nil), anchors: map[string]bool{}}
	p.doc = markdown.Parser().Parse(text.NewReader(p.source))
	var comments []ast.Node
	_ = ast.Walk(p.doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			p.heading(n)
		case *ast.Link:
			p.links = append(p.links, n)
		case *ast.Image:
			p.images = append(p.images, n)
		case *ast.HTMLBlock, *ast.RawHTML:
			line := strings.TrimSpace(raw(n, p.source))
			if !strings.HasPrefix(line, "<!--") {
				p.html = append(p.html, line)
			}
			comments = append(comments, n)
		}
		return ast.WalkContinue, nil
	})
	for _, n := range comments {
		n.Parent().RemoveChild(n.Parent(), n)
	}
	return p
}

// frontMatter is what issue templates begin with.
var frontMatter = regexp.MustCompile(`(?s)\A---\n.*?\n---\n`)

func (p *page) heading(h *ast.Heading) {
	words := plain(h, p.source)
	anchor := slug(words)
	for n, base := 1, anchor; p.anchors[anchor]; n++ {
		anchor = base + "-" + strconv.Itoa(n)
	}
	p.anchors[anchor] = true
	h.SetAttributeString("id", []byte(anchor))
	if h.Level == 1 && p.title == "" {
		p.title = words
		return
	}
	if h.Level == 2 {
		p.headings = append(p.headings, heading{anchor, words})
	}
	link := ast.NewLink()
	link.Destination = []byte("#" + anchor)
	link.SetAttributeString("class", []byte("anchor"))
	link.SetAttributeString("aria-label", []byte("link to this heading"))
	link.AppendChild(link, ast.NewString([]byte("#")))
	h.AppendChild(h, link)
}

// slug is a heading's anchor by GitHub's rule.
func slug(words string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(words))
}

// plain is the text of a node without its markup.
func plain(n ast.Node, source []byte) string {
	var b bytes.Buffer
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Value(source))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// raw is a node of HTML as it stands in the source.
func raw(n ast.Node, source []byte) string {
	var b bytes.Buffer
	switch n := n.(type) {
	case *ast.HTMLBlock:
		b.Write(n.Lines().Value(source))
		if n.HasClosure() {
			b.Write(n.ClosureLine.Value(source))
		}
	case *ast.RawHTML:
		b.Write(n.Segments.Value(source))
	}
	return b.String()
}

// entry is a line of the contents.
type entry struct {
	label, destination, section string
	// comment says that the line stands in a comment: it keeps the page's place.
	comment bool
}

var entryLine = regexp.MustCompile(`^- \[([^\]]+)\]\(([^)]+)\)`)

// entries are the page's list items that begin with a link, in comments, too.
func (p *page) entries() (all []entry) {
	section, comment := "", false
	for line := range strings.Lines(string(p.source)) {
		line = strings.TrimSpace(line)
		if words, ok := strings.CutPrefix(line, "## "); ok {
			section = words
		}
		comment = comment || strings.HasPrefix(line, "<!--")
		if m := entryLine.FindStringSubmatch(strings.TrimSpace(strings.TrimPrefix(line, "<!--"))); m != nil {
			all = append(all, entry{m[1], m[2], section, comment})
		}
		if strings.HasSuffix(line, "-->") {
			comment = false
		}
	}
	return all
}
