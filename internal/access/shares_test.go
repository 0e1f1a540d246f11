package access

import "testing"

func TestNobodyHasMoreThanHisShare(t *testing.T) {
	var q Shares
	two, one := []Share{{"a", 2}, {"b", 3}}, []Share{{"c", 1}, {"b", 3}}
	take := func(shares []Share, full string) {
		t.Helper()
		if got, ok := q.Take(shares); got.Name != full || ok != (full == "") {
			t.Errorf("got %q %v, want %q", got.Name, ok, full)
		}
	}
	take(two, "")
	take(two, "")
	take(two, "a")
	take(one, "")
	take(one, "c")
	q.Release(one)
	take(one, "") // what was refused took no room in b
	take([]Share{{"b", 3}}, "b")
	take([]Share{{"b", 4}}, "")
	q.Release([]Share{{"b", 4}})
	for _, shares := range [][]Share{one, two, two} {
		q.Release(shares)
	}
	if len(q.taken) != 0 {
		t.Errorf("%v is left", q.taken)
	}
}
