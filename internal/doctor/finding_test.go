package doctor

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestTheExitCodeIsThatOfTheWorst: what is unknown is no reason to wake anybody.
func TestTheExitCodeIsThatOfTheWorst(t *testing.T) {
	ok, warn, fail, open := fine("a", "a"), sharedHub.found("", "a, b", "c"), noLine.found(""), unknown("a", "", "a")
	for _, c := range []struct {
		found []Finding
		code  int
	}{
		{nil, 0}, {[]Finding{ok, open}, 0}, {[]Finding{warn, ok}, 1}, {[]Finding{ok, warn, fail, open}, 2}, {[]Finding{fail, warn}, 2},
	} {
		r := Report{c.found}
		if got := r.ExitCode(); got != c.code {
			t.Errorf("%v: %d, want %d", c.found, got, c.code)
		}
	}
}

// TestTheReportIsPrinted with marks, cures and pages, and coloured only where that is
// wanted; what came from elsewhere cannot steer the terminal.
func TestTheReportIsPrinted(t *testing.T) {
	var r Report
	r.Add(fine("lines", "well"), refused.found("one\ntwo", "evil\x1b[2J\u009b\u202e.example"))
	var plain, coloured, machine strings.Builder
	if err := r.Print(&plain, false, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ok       lines        well\n", "FAIL     reach        nobody listens at evil[2J", "  one\n", "  two\n", "see docs/troubleshooting.md#nobody-listens\n", "1 fine, 0 warnings, 1 failures, 0 unknown"} {
		if !strings.Contains(plain.String(), want) {
			t.Errorf("%q is missing in %q", want, plain.String())
		}
	}
	if strings.ContainsAny(plain.String(), "\x1b\u009b\u202e") {
		t.Errorf("controls in %q", plain.String())
	}
	if err := r.Print(&coloured, true, false); err != nil || !strings.Contains(coloured.String(), "\x1b[31mFAIL") {
		t.Errorf("%v %q", err, coloured.String())
	}
	var quiet strings.Builder
	_, rest, _ := strings.Cut(plain.String(), "well\n")
	if err := r.Print(&quiet, false, true); err != nil || quiet.String() != rest {
		t.Errorf("%v %q", err, quiet.String())
	}
	quiet.Reset()
	allFine := Report{[]Finding{fine("lines", "well")}}
	if err := allFine.Print(&quiet, false, true); err != nil || quiet.String() != "1 fine, 0 warnings, 0 failures, 0 unknown\n" {
		t.Errorf("%v %q", err, quiet.String())
	}
	if err := r.JSON(&machine); err != nil {
		t.Fatal(err)
	}
	var read struct {
		Verdict  Verdict
		Findings []Finding
	}
	if err := json.Unmarshal([]byte(machine.String()), &read); err != nil || read.Verdict != Fail || len(read.Findings) != 2 || read.Findings[1].Cure != "one\ntwo" {
		t.Errorf("%v %s", err, machine.String())
	}
}
