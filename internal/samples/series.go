package samples

import (
	"math"
	"strconv"
)

// series has the last so many samples of some columns, which come and go. A column
// takes 4 bytes a sample. It is not safe for concurrent use.
type series struct {
	size int
	// times are Unix seconds. The sample n is at n % size.
	times   []int64
	n       int
	columns map[string][]float32
}

func newSeries(size int) *series {
	return &series{size: size, times: make([]int64, size), columns: make(map[string][]float32)}
}

// add appends a sample. A column that is not in it has none there.
func (s *series) add(at int64, values map[string]float64) {
	place := s.n % s.size
	s.times[place] = at
	for name := range values {
		if s.columns[name] == nil {
			column := make([]float32, s.size)
			for i := range column {
				column[i] = nothing
			}
			s.columns[name] = column
		}
	}
	for name, column := range s.columns {
		v, ok := values[name]
		if column[place] = float32(v); !ok {
			column[place] = nothing
		}
	}
	s.n++
	if place == s.size-1 {
		s.prune()
	}
}

var nothing = float32(math.NaN())

// prune forgets columns in which nothing was for the whole time.
func (s *series) prune() {
	for name, column := range s.columns {
		if peak(column) <= 0 {
			delete(s.columns, name)
		}
	}
}

// peak is the largest value of a column, -1 where there is none.
func peak(column []float32) float32 {
	most := float32(-1)
	for _, v := range column {
		if v > most {
			most = v
		}
	}
	return most
}

// append writes the columns that are wanted as JSON, the oldest sample first:
// {"t":[…],"v":{"held native":[…]}}.
func (s *series) append(b []byte, wanted func(column string) bool) []byte {
	first := max(0, s.n-s.size)
	b = append(b, `{"t":[`...)
	for i := first; i < s.n; i++ {
		if i > first {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, s.times[i%s.size], 10)
	}
	b = append(b, `],"v":{`...)
	comma := false
	for name, column := range s.columns {
		if !wanted(name) {
			continue
		}
		if comma {
			b = append(b, ',')
		}
		comma = true
		b = strconv.AppendQuote(b, name) // names are of letters, digits, dots, dashes
		b = append(b, `:[`...)
		for i := first; i < s.n; i++ {
			if i > first {
				b = append(b, ',')
			}
			b = appendNumber(b, column[i%s.size])
		}
		b = append(b, ']')
	}
	return append(b, "}}"...)
}

// appendNumber writes what a plot needs of a number.
func appendNumber(b []byte, v float32) []byte {
	switch {
	case v != v:
		return append(b, "null"...)
	case v == float32(int32(v)):
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendFloat(b, float64(v), 'g', 4, 32)
}
