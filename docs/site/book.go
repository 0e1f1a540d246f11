package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/yuin/goldmark/ast"
)

// front and contents are the pages that begin the book: what the project is, and
// what there is to read.
const (
	front    = "README.md"
	contents = "docs/README.md"
)

// book is all Markdown of the sources.
type book struct {
	fsys  fs.FS
	pages map[string]*page
	// order has the pages that the site has, as they are read.
	order []*page
}

// readBook reads every Markdown file but those of other people.
func readBook(fsys fs.FS) (*book, error) {
	b := &book{fsys: fsys, pages: map[string]*page{}}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch {
			case d.Name() == "node_modules", name == "site", name == "bin", d.Name() != "." && d.Name() != ".github" && strings.HasPrefix(d.Name(), "."):
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".md" {
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		b.pages[name] = parse(name, text)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if b.pages[front] == nil || b.pages[contents] == nil {
		return nil, fmt.Errorf("%s or %s is missing; run this from the top folder of the sources", front, contents)
	}
	return b, b.arrange()
}

// arrange takes the order from the list items of the contents that begin with a
// link. A heading above them is their section.
func (b *book) arrange() error {
	b.order = []*page{b.pages[front], b.pages[contents]}
	for _, p := range b.order {
		p.label = p.title
	}
	var missing []error
	for _, e := range b.pages[contents].entries() {
		target, _ := resolve(contents, e.destination)
		p := b.pages[target]
		switch {
		case p != nil:
			p.label, p.section = e.label, e.section
			b.order = append(b.order, p)
		case !e.comment: // which keeps a place for a page that is not written yet
			missing = append(missing, fmt.Errorf("%s names %s, which is not there", contents, target))
		}
	}
	return errors.Join(missing...)
}

// check says what a reader would stumble over.
func (b *book) check() error {
	var all []error
	times := map[string]int{}
	for _, p := range b.order {
		times[p.name]++
	}
	for name, p := range b.pages {
		if times[name] > 1 {
			all = append(all, fmt.Errorf("%s is in the order of %s %d times", name, contents, times[name]))
		}
		if times[name] == 0 && (strings.HasPrefix(name, "docs/") || !strings.Contains(name, "/")) {
			all = append(all, fmt.Errorf("%s has no place in the order: add a line to %s", name, contents))
		}
		if p.title == "" && times[name] > 0 {
			all = append(all, fmt.Errorf("%s has no title", name))
		}
		for _, l := range p.links {
			if err := b.leads(name, l); err != nil {
				all = append(all, err)
			}
		}
		for _, i := range p.images {
			if _, err := fs.Stat(b.fsys, picture(name, i)); err != nil {
				all = append(all, fmt.Errorf("%s: the picture %s is not there", name, i.Destination))
			}
		}
		for _, line := range p.html {
			all = append(all, fmt.Errorf("%s: HTML is not for these pages: %s", name, line))
		}
	}
	return errors.Join(all...)
}

// leads reports a link between files of ours that leads nowhere.
func (b *book) leads(from string, l *ast.Link) error {
	target, anchor := resolve(from, string(l.Destination))
	if target == "" {
		return nil
	}
	if p := b.pages[target]; p != nil {
		if anchor != "" && !p.anchors[anchor] {
			return fmt.Errorf("%s: %s has no heading for #%s", from, target, anchor)
		}
		return nil
	}
	info, err := fs.Stat(b.fsys, target)
	switch {
	case err != nil:
		return fmt.Errorf("%s: the link %s leads nowhere", from, l.Destination)
	case info.IsDir() || anchor != "":
		return fmt.Errorf("%s: the link %s should lead to a page or a file", from, l.Destination)
	}
	return nil
}

// picture is the file of a picture, which belongs to the project.
func picture(from string, i *ast.Image) string {
	return path.Join(path.Dir(from), string(i.Destination))
}

// resolve returns the file that a link of a page leads to, and the anchor in it;
// no file where it leads out of the project.
func resolve(from, destination string) (target, anchor string) {
	if strings.Contains(destination, ":") {
		return "", ""
	}
	file, anchor, _ := strings.Cut(destination, "#")
	if file == "" {
		return from, anchor
	}
	return path.Join(path.Dir(from), file), anchor
}
