package dialect

import (
	"math/rand/v2"
	"time"
)

// Jitter returns d times a random factor between 1-part and 1+part, so that
// clients which came together do not come back together.
func Jitter(d time.Duration, part float64) time.Duration {
	return time.Duration(float64(d) * (1 - part + 2*part*rand.Float64()))
}
