package figures

import (
	"slices"
	"testing"
)

// TestNamesHaveOneOrder, and their numbers, whatever the order was before.
func TestNamesHaveOneOrder(t *testing.T) {
	want := []string{
		"", "07", "7", "10", "a", "a/doorbell", "tenant", "tenant-1", "tenant01", "tenant1", "tenant1/doorbell", "tenant1a2", "tenant1a10", "tenant2", "tenant10", "tenant11",
		"tenant99999999999999999998", "tenant99999999999999999999", "tenanta",
	}
	for i, a := range want {
		for j, b := range want {
			if got := ByName(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%q and %q: %d", a, b, got)
			}
		}
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, ByName)
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
