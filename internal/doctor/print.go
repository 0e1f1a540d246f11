package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/fatih/color"
)

// JSON writes the report for programs.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		Verdict Verdict `json:"verdict"`
		*Report
	}{r.Worst(), r})
}

// Print writes the report for people, with colours where they are wanted. If quiet, what
// is fine is only counted.
func (r *Report) Print(w io.Writer, colours, quiet bool) error {
	var b strings.Builder
	count := make(map[Verdict]int)
	for _, f := range r.Findings {
		if count[f.Verdict]++; quiet && f.Verdict == OK {
			continue
		}
		fmt.Fprintf(&b, "%s  %-12s %s\n", mark(f.Verdict, colours), f.Check, clean(f.Seen))
		for line := range strings.Lines(f.Cure) {
			fmt.Fprintf(&b, "%*s%s\n", cureIndent, "", paint(clean(line), colours, color.Bold))
		}
		if f.Page != "" {
			fmt.Fprintf(&b, "%*s%s\n", cureIndent, "", paint("see "+f.Page, colours, color.Faint))
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%d fine, %d warnings, %d failures, %d unknown\n", count[OK], count[Warn], count[Fail], count[Unknown])
	_, err := io.WriteString(w, b.String())
	return err
}

// cureIndent is where a cure begins: below what was seen.
const cureIndent = 22

// marks begin a line, all equally wide.
var marks = map[Verdict]struct {
	text   string
	colour color.Attribute
}{
	OK: {"ok     ", color.FgGreen}, Warn: {"warn   ", color.FgYellow}, Fail: {"FAIL   ", color.FgRed}, Unknown: {"unknown", color.FgCyan},
}

func mark(v Verdict, colours bool) string {
	m := marks[v]
	return paint(m.text, colours, m.colour)
}

func paint(text string, colours bool, attribute color.Attribute) string {
	c := color.New(attribute)
	if colours {
		c.EnableColor()
	} else {
		c.DisableColor()
	}
	return c.Sprint(text)
}

// clean takes out what would steer a terminal: some of what is shown other servers
// have sent.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
