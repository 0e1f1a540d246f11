package samples

// Times is a histogram: how many took at most the upper bound of each bucket, as
// Prometheus counts, and longer ones in Count alone.
type Times struct {
	Count  uint64
	Upper  []float64
	Counts []uint64
}

// minus returns what came since an earlier reading.
func (t Times) minus(earlier Times) Times {
	if earlier.Count > t.Count || len(earlier.Counts) != len(t.Counts) {
		return t // it is another histogram, or nothing was there
	}
	d := Times{Count: t.Count - earlier.Count, Upper: t.Upper, Counts: make([]uint64, len(t.Counts))}
	for i := range t.Counts {
		d.Counts[i] = t.Counts[i] - earlier.Counts[i]
	}
	return d
}

// Plus adds up two of the same bounds.
func (t Times) Plus(other Times) Times {
	if len(t.Counts) == 0 {
		return other
	}
	sum := Times{Count: t.Count + other.Count, Upper: t.Upper, Counts: make([]uint64, len(t.Counts))}
	for i := range t.Counts {
		sum.Counts[i] = t.Counts[i]
		if i < len(other.Counts) {
			sum.Counts[i] += other.Counts[i]
		}
	}
	return sum
}

// quantile is the time within which the share q of all came, nil where there were
// none. Within a bucket they count as spread evenly; what took longer than the last
// bound counts as that.
func (t Times) quantile(q float64) *float64 {
	if t.Count == 0 || len(t.Upper) == 0 {
		return nil
	}
	rank := q * float64(t.Count)
	lower, below := 0.0, 0.0
	for i, upper := range t.Upper {
		if n := float64(t.Counts[i]); n >= rank && n > below {
			v := lower + (upper-lower)*(rank-below)/(n-below)
			return &v
		}
		lower, below = upper, float64(t.Counts[i])
	}
	last := t.Upper[len(t.Upper)-1]
	return &last
}
