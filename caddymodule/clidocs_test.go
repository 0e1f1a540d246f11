package caddymodule

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

func docPage(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// section is what stands below a heading of the second level.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, s, ok := strings.Cut(text, "\n## "+heading+"\n")
	if !ok {
		t.Errorf("there is no section %q", heading)
	}
	s, _, _ = strings.Cut(s, "\n## ")
	return s
}

// optionRow is a row of a table of options.
var optionRow = regexp.MustCompile("(?m)^\\| ((?:`--[a-z-]+`(?:, )?)+) \\|")

// options are those of a section's table, in order.
func optionsIn(s string) (names []string) {
	for _, row := range optionRow.FindAllStringSubmatch(s, -1) {
		for _, name := range regexp.MustCompile("--([a-z-]+)").FindAllStringSubmatch(row[1], -1) {
			names = append(names, name[1])
		}
	}
	slices.Sort(names)
	return names
}

// TestThePageOfTheCommandLineIsThatOfTheCode: each command with its examples and options,
// and no other.
func TestThePageOfTheCommandLineIsThatOfTheCode(t *testing.T) {
	text := docPage(t, "../docs/cli.md")
	root := new(cobra.Command)
	addCommands(root)
	flagsOf := func(f *pflag.FlagSet) (names []string) {
		f.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		slices.Sort(names)
		return names
	}
	if got, want := optionsIn(section(t, text, "Which server")), flagsOf(root.PersistentFlags()); !slices.Equal(got, want) {
		t.Errorf("the options of all commands are %v; the page has %v", want, got)
	}
	var names []string
	for _, cmd := range root.Commands() {
		names = append(names, cmd.Name())
		s := section(t, text, "`caddy comet "+cmd.Name()+"`")
		if got, want := optionsIn(s), flagsOf(cmd.LocalNonPersistentFlags()); !slices.Equal(got, want) {
			t.Errorf("the options of %s are %v; the page has %v", cmd.Name(), want, got)
		}
		for example := range strings.Lines(cmd.Example) {
			if line := strings.TrimSpace(example); line == "" || !strings.Contains(s, "\n"+line+"\n") {
				t.Errorf("%s: the page has no line %q", cmd.Name(), line)
			}
		}
		if cmd.Example == "" || cmd.Long == "" {
			t.Errorf("%s: its help has no example, or tells nothing", cmd.Name())
		}
		if !strings.Contains(text, "\n| [`"+cmd.Name()+"`](#caddy-comet-"+cmd.Name()+") |") {
			t.Errorf("%s is missing in the list of commands", cmd.Name())
		}
	}
	pages, _ := filepath.Glob("../docs/*.md")
	for _, path := range append(pages, "../README.md") {
		for _, m := range regexp.MustCompile("`?caddy(?:-comet)? comet ([a-z]+)").FindAllStringSubmatch(docPage(t, path), -1) {
			if !slices.Contains(names, m[1]) {
				t.Errorf("%s: there is no command %q", path, m[0])
			}
		}
	}
	if picture := docPage(t, "../internal/console/testdata/some-80x24.txt"); !strings.Contains(section(t, text, "`caddy comet top`"), "\n```\n"+picture+"```\n") {
		t.Error("the picture of top is not what it draws: internal/console/testdata/some-80x24.txt")
	}
}

// TestEachFigureIsDocumented by its name.
func TestEachFigureIsDocumented(t *testing.T) {
	s := section(t, docPage(t, "../docs/operations.md"), "Figures as JSON")
	seen := make(map[reflect.Type]bool)
	var check func(reflect.Type)
	check = func(v reflect.Type) {
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Slice {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct || !strings.HasSuffix(v.PkgPath(), "/figures") || seen[v] {
			return
		}
		seen[v] = true
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Field(i).Tag.Get("json"), ",")
			if name == "" || !strings.Contains(s, "`"+name+"`") {
				t.Errorf("%s.%s: the page has no `%s`", v.Name(), v.Field(i).Name, name)
			}
			check(v.Field(i).Type)
		}
	}
	for _, v := range []any{figures.Status{}, figures.Holds{}, figures.Channels{}} {
		check(reflect.TypeOf(v))
	}
}
