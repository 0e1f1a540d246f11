//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRatiosAreOfTheSameRound: noise that slows a whole round down cancels out.
func TestRatiosAreOfTheSameRound(t *testing.T) {
	var r results
	c := r.begin("case", "", "them", []string{"them", "us"})
	for _, noise := range []float64{1, 10, 3, 7, 2} {
		c.add(cpuDelivery, "them", 10*noise)
		c.add(cpuDelivery, "us", 5*noise)
	}
	if got, ok := c.ratio(cpuDelivery, "us"); !ok || got != (spread{0.5, 0.5, 0.5}) {
		t.Errorf("got %v, %v", got, ok)
	}
	if got, _ := c.value(cpuDelivery, "us"); got != 15 {
		t.Errorf("the median is %v", got)
	}
}

func TestFiguresAreJudgedByTheirBound(t *testing.T) {
	var r results
	polls := r.begin(pollsPlain, "", rival, []string{rival, parked, leased})
	for name, value := range map[string]float64{rival: 10, parked: 2.5, leased: 2.5} {
		polls.add(memoryHeld, name, value)
		polls.add(cpuIdle, name, 0)
	}
	pages := r.begin(passThrough, "", withoutComet, []string{withoutComet, passers[1].name})
	pages.add(pageRate, withoutComet, 1000)
	pages.add(pageRate, passers[1].name, 990)
	foe := r.begin(besideAFoe, "", alone, []string{alone, besideBurn, besideAll})
	for i, name := range foe.names {
		foe.add(tailPost, name, float64(i+1))
	}
	const foes = "a hostile neighbour: POST to answer, 99th percentile, of that alone"
	for _, c := range []struct{ what, name, want string }{
		{foes, besideAll, "3.00 missed"},
		{foes, besideBurn, ""},
		{"without a lease: memory of a poll, plain", parked, "0.25 met"},
		{"with a lease: memory of a poll, plain", leased, "0.25 missed"},
		{"with a lease: memory of a poll, plain", parked, ""},
		{"idle CPU, % of a core, polls", parked, "0.00 met"},
		{"pages passed through", passers[1].name, "0.99 met"},
		{"memory of a poll, TLS", parked, ""},
	} {
		found := false
		for _, f := range figures {
			if f.what != c.what {
				continue
			}
			found = true
			if got := f.judge(&r, c.name); got != c.want {
				t.Errorf("%s of %s: %q, not %q", c.what, c.name, got, c.want)
			}
		}
		if !found {
			t.Errorf("no figure %s", c.what)
		}
	}
}

func TestThePageKeepsWhatIsWrittenByHand(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	write := func(text string) {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("above\n" + beginMark + "\nold\n" + endMark + "\nbelow\n")
	if err := writePage(page, "new\n"); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(page)
	if want := "above\n" + beginMark + "\nnew\n" + endMark + "\nbelow\n"; string(got) != want {
		t.Errorf("got %q", got)
	}
	write("no marks")
	if err := writePage(page, "new\n"); err == nil || !strings.Contains(err.Error(), "lacks the marks") {
		t.Errorf("got %v", err)
	}
}

// TestARunThatEndsEarlyPrintsWhatItHas and names what it has not; the page stays.
func TestARunThatEndsEarlyPrintsWhatItHas(t *testing.T) {
	const old = "above\n" + beginMark + "\nold\n" + endMark + "\n"
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	b := &bench{options: options{page: page, only: regexp.MustCompile("wanted")}}
	b.machine.begin()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var measured []string
	measure := func(name string, rounds int) benchCase {
		return benchCase{name, func(ctx context.Context) error {
			measured = append(measured, name)
			result := b.results.begin(name, "Median of 2 rounds.", rival, []string{rival})
			for range rounds {
				result.add(cpuDelivery, rival, 12)
			}
			if rounds < 2 {
				cancel()
			}
			return ctx.Err()
		}}
	}
	var out strings.Builder
	err := b.run(ctx, []benchCase{measure("wanted first", 2), measure("other", 2), measure("wanted second", 1), measure("wanted, third", 2)}, &out)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "wanted second: ") || !strings.Contains(err.Error(), page+" is left as it was") {
		t.Errorf("the error is %v", err)
	}
	if want := []string{"wanted first", "wanted second"}; !slices.Equal(measured, want) {
		t.Errorf("measured %q, want %q", measured, want)
	}
	printed := out.String()
	for _, want := range []string{"### Wanted first\n\nMedian of 2 rounds.\n", "12.0", "**Incomplete.** Not measured: wanted second; wanted, third\n"} {
		if !strings.Contains(printed, want) {
			t.Errorf("it does not print %q:\n%s", want, printed)
		}
	}
	if strings.Count(printed, "###") != 1 {
		t.Errorf("it prints more than the case that is whole:\n%s", printed)
	}
	if written, _ := os.ReadFile(page); string(written) != old {
		t.Errorf("the page has become\n%s", written)
	}
}

func TestNumbersHaveTheDigitsThatMeanSomething(t *testing.T) {
	for value, want := range map[float64]string{0: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 9999.6: "10,000", 1234567: "1,234,567", 1002: "1,002"} {
		if got := number(value); got != want {
			t.Errorf("%v is written %s, not %s", value, got, want)
		}
	}
}
