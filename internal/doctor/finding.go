package doctor

import (
	"fmt"
	"strings"
)

// Verdict is what a check comes to.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Warn    Verdict = "warn"
	Fail    Verdict = "fail"
	Unknown Verdict = "unknown" // it cannot be known from here
)

// Finding is what one check has seen.
type Finding struct {
	// Check is the check's name, for people and programs.
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	// Seen is what was seen, in a sentence.
	Seen string `json:"seen"`
	// Cure is what to type, or to write into a configuration. Empty where there is
	// nothing to do.
	Cure string `json:"cure,omitempty"`
	// Page is where cause and cure are described.
	Page string `json:"page,omitempty"`
}

// page is where all problems are described.
const page = "docs/troubleshooting.md"

// fine is a finding that is none.
func fine(check, format string, args ...any) Finding {
	return Finding{Check: check, Verdict: OK, Seen: fmt.Sprintf(format, args...)}
}

// unknown says what cannot be known, and by which cure it could.
func unknown(check, cure, format string, args ...any) Finding {
	return Finding{Check: check, Verdict: Unknown, Seen: fmt.Sprintf(format, args...), Cure: cure}
}

// problem is something that may be wrong.
type problem struct {
	check   string
	verdict Verdict
	// anchor is the heading in the page, and text the sentence with its gaps, as it
	// stands there.
	anchor, text string
}

// found is a finding of the problem, with what fills the gaps of its text.
func (p *problem) found(cure string, args ...any) Finding {
	return Finding{
		Check: p.check, Verdict: p.verdict, Seen: fmt.Sprintf(p.text, args...),
		Cure: strings.TrimSpace(cure), Page: page + "#" + p.anchor,
	}
}

// Report is what all checks have seen, in their order.
type Report struct {
	Findings []Finding `json:"findings"`
}

// Add appends findings.
func (r *Report) Add(findings ...Finding) { r.Findings = append(r.Findings, findings...) }

// Worst is the gravest verdict. What is unknown counts as well as what is fine.
func (r *Report) Worst() Verdict {
	worst := OK
	for _, f := range r.Findings {
		switch {
		case f.Verdict == Fail:
			return Fail
		case f.Verdict == Warn:
			worst = Warn
		}
	}
	return worst
}

// ExitCode is 0 where nothing is wrong, 1 for warnings and 2 for failures.
func (r *Report) ExitCode() int {
	switch r.Worst() {
	case Fail:
		return 2
	case Warn:
		return 1
	}
	return 0
}
