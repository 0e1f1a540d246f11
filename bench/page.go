//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// report is the whole of what was measured, as Markdown.
func (b *bench) report() string {
	var w strings.Builder
	fmt.Fprintf(&w, "Measured on %s.\n\n", time.Now().UTC().Format("2006-01-02"))
	if len(b.unmeasured) > 0 {
		fmt.Fprintf(&w, "- **Incomplete.** Not measured: %s\n", strings.Join(b.unmeasured, "; "))
	}
	for _, fact := range b.facts {
		fmt.Fprintf(&w, "- %s\n", fact)
	}
	if len(b.suites) > 0 {
		fmt.Fprintf(&w, "- TLS, of both: %s\n", strings.Join(b.suites, "; "))
	}
	fmt.Fprintf(&w, "- %s\n", disturbance(b.machine.others()))
	fmt.Fprintf(&w, "- %s\n", b.faults)
	for _, a := range b.absent {
		fmt.Fprintf(&w, "- Not there: %s\n", a)
	}
	b.figures(&w)
	for _, c := range b.results.cases {
		fmt.Fprintf(&w, "\n### %s\n\n%s\n\n", strings.ToUpper(c.name[:1])+c.name[1:], c.caption)
		c.write(&w)
	}
	return w.String()
}

// disturbance says what others did to the figures.
func disturbance(percent float64) string {
	text := fmt.Sprintf("Other programs used %.0f %% of the machine meanwhile.", percent)
	if percent > 5 {
		text += " **That is too much for the figures to count: run it again on a quiet machine.**"
	}
	return text
}

// figures writes which of the figures are met, a column for each of ours.
func (b *bench) figures(w *strings.Builder) {
	names := slices.DeleteFunc(slices.Concat(anyOfOurs, []string{passers[1].name, besideAll}), func(name string) bool {
		return !slices.ContainsFunc(figures, func(f figure) bool { return f.judge(&b.results, name) != "" })
	})
	if len(names) == 0 {
		return
	}
	rows := [][]string{slices.Concat([]string{"", "wanted"}, names)}
	for _, f := range figures {
		row, any := []string{f.what, f.wanted()}, false
		for _, name := range names {
			verdict := f.judge(&b.results, name)
			row, any = append(row, verdict), any || verdict != ""
		}
		if any {
			rows = append(rows, row)
		}
	}
	fmt.Fprintf(w, "\n### What we want to be true\n\nRatios to %s, unless the row says else.\n\n", rival)
	table(w, rows)
}

// write writes a case's table: a row for each metric, a column for each contender.
func (c *caseResult) write(w *strings.Builder) {
	rows := [][]string{slices.Concat([]string{""}, c.names)}
	for _, m := range metrics {
		if c.samples[m] == nil {
			continue
		}
		row := []string{m.name}
		for _, name := range c.names {
			row = append(row, c.cell(m, name))
		}
		rows = append(rows, row)
	}
	table(w, rows)
}

// cell is a contender's figure and, in bold, its ratio to the base.
func (c *caseResult) cell(m metric, name string) string {
	value, ok := c.value(m, name)
	if !ok {
		return ""
	}
	text := number(value)
	if s, ok := c.ratio(m, name); ok && name != c.base && m != growth {
		text += fmt.Sprintf(" = **%.2f** (%.2f–%.2f)", s.median, s.least, s.most)
	}
	return text
}

// number writes a figure with as many digits as mean something.
func number(value float64) string {
	switch {
	case value >= 1000:
		return thousands(int(value + 0.5))
	case value >= 100:
		return fmt.Sprintf("%.0f", value)
	case value >= 10:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.2f", value)
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// table writes rows, of which the first is the head, in columns that line up
// in a terminal, too.
func table(w *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range rows {
		for j, cell := range row {
			fmt.Fprintf(w, "| %-*s ", widths[j], cell)
		}
		w.WriteString("|\n")
		if i == 0 {
			for _, width := range widths {
				w.WriteString("|" + strings.Repeat("-", width+2))
			}
			w.WriteString("|\n")
		}
	}
}

// The marks in the page between which all is written by this program.
const (
	beginMark = "<!-- make bench writes from here … -->"
	endMark   = "<!-- … to here -->"
)

// writePage replaces what is between the page's marks.
func writePage(page, text string) error {
	b, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(b), beginMark)
	_, after, ends := strings.Cut(rest, endMark)
	if !begins || !ends {
		return errors.New(page + " lacks the marks between which tables are written: " + beginMark + " and " + endMark)
	}
	return os.WriteFile(page, []byte(before+beginMark+"\n"+text+endMark+after), 0o644)
}
