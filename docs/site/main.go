// Command site writes the documentation as static HTML, in the order of
// docs/README.md: `make docs`, or
//
//	go run ./docs/site [folder]
//
// from the top folder of the sources. It writes nothing where a link leads
// nowhere or a page has no place in the order.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/afero"
)

func main() {
	out := "site"
	if len(os.Args) == 2 {
		out = os.Args[1]
	}
	if err := run(".", out); err != nil {
		fmt.Fprintln(os.Stderr, "site:", err)
		os.Exit(1)
	}
	fmt.Printf("%s/index.html\n", out)
}

func run(top, out string) error {
	b, err := readBook(os.DirFS(top))
	if err != nil {
		return err
	}
	if err := b.check(); err != nil {
		return err
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	return b.write(afero.NewBasePathFs(afero.NewOsFs(), out))
}
