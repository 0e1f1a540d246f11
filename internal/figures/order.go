package figures

import (
	"cmp"
	"strings"
)

// ByName is the order in which hubs and what belongs to them are told of: that of names,
// and of the numbers in them, so that tenant2 is before tenant10.
func ByName(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		m, n := number(x), number(y)
		if m == 0 || n == 0 {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		i, j := strings.TrimLeft(x[:m], "0"), strings.TrimLeft(y[:n], "0")
		if by := cmp.Or(cmp.Compare(len(i), len(j)), strings.Compare(i, j)); by != 0 {
			return by
		}
		x, y = x[m:], y[n:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b)) // 7 and 07 are two
}

// number is the length of the number that s begins with.
func number(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}
