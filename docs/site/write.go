package main

import (
	"bytes"
	_ "embed"
	"html/template"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/afero"
)

//go:embed page.html
var layout string

//go:embed style.css
var style []byte

var pageTemplate = template.Must(template.New("page").Parse(layout))

// section is a part of the navigation.
type section struct {
	Title string
	Pages []item
}

// item is a page as another links to it.
type item struct {
	Title, Link string
	Here        bool
	// Parts are what the page is made of, on the page itself.
	Parts []heading
}

// write writes the site: pages at the place of their Markdown, and beside them
// the files that they link to and show.
func (b *book) write(out afero.Fs) error {
	for i, p := range b.order {
		var body bytes.Buffer
		for _, l := range p.links {
			target, anchor := resolve(p.name, string(l.Destination))
			if target == "" {
				continue
			}
			if b.place(target) < 0 {
				if err := b.copyFile(out, target, copyName(target)); err != nil {
					return err
				}
			}
			l.Destination = []byte(b.link(p.name, target, anchor))
		}
		for _, i := range p.images {
			if err := b.copyFile(out, picture(p.name, i), picture(p.name, i)); err != nil {
				return err
			}
		}
		if err := markdown.Renderer().Render(&body, p.source, p.doc); err != nil {
			return err
		}
		data := map[string]any{
			"Title": p.title, "Body": template.HTML(body.String()), // our own pages
			"Sections": b.sections(p), "Style": b.link(p.name, "style.css", ""), "Front": b.link(p.name, front, ""),
		}
		if i > 0 {
			data["Previous"] = item{Title: b.order[i-1].label, Link: b.link(p.name, b.order[i-1].name, "")}
		}
		if i < len(b.order)-1 {
			data["Next"] = item{Title: b.order[i+1].label, Link: b.link(p.name, b.order[i+1].name, "")}
		}
		var html bytes.Buffer
		if err := pageTemplate.Execute(&html, data); err != nil {
			return err
		}
		if err := put(out, htmlName(p.name), html.Bytes()); err != nil {
			return err
		}
	}
	return put(out, "style.css", style)
}

// sections are the navigation as it stands on a page.
func (b *book) sections(on *page) (all []section) {
	for _, p := range b.order {
		if len(all) == 0 || all[len(all)-1].Title != p.section {
			all = append(all, section{Title: p.section})
		}
		it := item{Title: p.label, Link: b.link(on.name, p.name, ""), Here: p == on}
		if it.Here {
			it.Parts = p.headings
		}
		s := &all[len(all)-1]
		s.Pages = append(s.Pages, it)
	}
	return all
}

// place is where in the order a file stands, -1 for one that is no page of the site.
func (b *book) place(name string) int {
	for i, p := range b.order {
		if p.name == name {
			return i
		}
	}
	return -1
}

// link leads from a page to a file of the project.
func (b *book) link(from, target, anchor string) string {
	switch {
	case target == from && anchor != "":
		return "#" + anchor
	case b.place(target) >= 0:
		target = htmlName(target)
	case target != "style.css":
		target = copyName(target)
	}
	relative, err := filepath.Rel(path.Dir(from), target)
	if err != nil {
		panic(err) // both are relative to the same folder
	}
	if anchor != "" {
		anchor = "#" + anchor
	}
	return filepath.ToSlash(relative) + anchor
}

func htmlName(name string) string {
	if path.Base(name) == "README.md" {
		return path.Join(path.Dir(name), "index.html")
	}
	return strings.TrimSuffix(name, ".md") + ".html"
}

// copyName makes text of a file that is linked to: a server might run it, and a
// browser would offer to store it.
func copyName(name string) string { return "files/" + name + ".txt" }

func (b *book) copyFile(out afero.Fs, name, as string) error {
	content, err := fs.ReadFile(b.fsys, name)
	if err != nil {
		return err
	}
	return put(out, as, content)
}

func put(out afero.Fs, name string, content []byte) error {
	if err := out.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return afero.WriteFile(out, name, content, 0o644)
}
