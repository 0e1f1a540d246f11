package doctor

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestEveryProblemHasItsPlaceInThePage: a heading, and there the sentence as it is
// seen.
func TestEveryProblemHasItsPlaceInThePage(t *testing.T) {
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	for _, s := range regexp.MustCompile(`(?m)^## `).Split(string(text), -1)[1:] {
		heading, body, _ := strings.Cut(s, "\n")
		slug := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(heading), "")
		body, _, _ = strings.Cut(body, "\n# ")
		sections[strings.ReplaceAll(slug, " ", "-")] = body
	}
	described := make(map[string]bool)
	gap := regexp.MustCompile(`%[a-z]`)
	for _, p := range problems {
		section, ok := sections[p.anchor]
		if !ok {
			t.Errorf("%s has no heading for %s", page, p.anchor)
			continue
		}
		described[p.anchor] = true
		if text := gap.ReplaceAllString(p.text, "…"); !strings.Contains(section, "`"+text+"`") {
			t.Errorf("%s: the section %s does not have `%s`", page, p.anchor, text)
		}
	}
	for slug := range sections {
		if !described[slug] {
			t.Errorf("%s: nothing leads to the heading %s", page, slug)
		}
	}
}

// TestEveryProblemIsListed: one that is not in the list has no test of its place.
func TestEveryProblemIsListed(t *testing.T) {
	source, err := os.ReadFile("problems.go")
	if err != nil {
		t.Fatal(err)
	}
	made := len(regexp.MustCompile(`(?m)^\t\w+ += problem\{`).FindAll(source, -1))
	if made == 0 || made != len(problems) {
		t.Errorf("%d problems are made and %d are listed", made, len(problems))
	}
	seen := make(map[string]bool)
	for _, p := range problems {
		if p.verdict != Warn && p.verdict != Fail || p.check == "" || seen[p.text] {
			t.Errorf("%+v", reflect.ValueOf(*p))
		}
		seen[p.text] = true
	}
}
