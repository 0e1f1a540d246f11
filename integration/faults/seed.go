package faults

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// Seed is where all decisions of a round come from.
type Seed uint64

// Source returns the decisions of one place, which are the same each time and
// have nothing to do with another's.
func (s Seed) Source(place string, n int) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(place))
	return rand.New(rand.NewPCG(uint64(s), h.Sum64()+uint64(n)*0x9e3779b97f4a7c15))
}

// Round is the seed of the n-th round, which is this one for n = 0: so a round
// that failed is repeated by its own seed.
func (s Seed) Round(n int) Seed {
	if n == 0 {
		return s
	}
	return Seed(s.Source("round", n).Uint64() >> 12) // short enough to be typed
}

// logUniform is a number between least and most of which each order of magnitude
// is as likely.
func logUniform(r *rand.Rand, least, most float64) float64 {
	return math.Exp(math.Log(least) + r.Float64()*(math.Log(most)-math.Log(least)))
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return time.Duration(logUniform(r, float64(least), float64(most)))
}

// awkward are texts that have broken formats: ends of lines and of scripts, the
// separators of JavaScript, what is not ASCII.
var awkward = []string{"plain text ", "\n", "\r\n", "\n\n", "</script>", "<!--", "\u2028", "\u2029", "é€😀", `"\`, "data: ", "--", "\t", "\x00", "&amp;"}

// padding is the text that an event carries besides its token, from nothing to
// some packets. Who has the token knows the padding.
func padding(token string) string {
	r := Seed(0).Source(token, 0)
	size := int(logUniform(r, 1, 200))
	switch r.IntN(40) {
	case 0:
		size = int(logUniform(r, 4000, 60000))
	case 1, 2, 3, 4, 5:
		size = int(logUniform(r, 200, 4000))
	}
	var b strings.Builder
	for b.Len() < size {
		b.WriteString(awkward[r.IntN(len(awkward))])
	}
	return b.String()
}
