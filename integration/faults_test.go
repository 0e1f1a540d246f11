package integration

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/integration/faults"
)

// TestNothingIsLostOnBadDays is a minute of what `make soak` does for an hour, with
// another seed each time. A seed that fails is run again by the command that it
// prints.
func TestNothingIsLostOnBadDays(t *testing.T) {
	t.Parallel()
	kinds, long, park := faults.Kinds, 8*time.Second, "on"
	if !parking() {
		park = "off"
		kinds, long = []faults.Kind{faults.Reloads}, 5*time.Second
	}
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			r := faults.Round{
				Seed: faults.Seed(rand.Uint64() >> 12), Kind: kind, For: long,
				Binary: binary, Dir: runDir(t), Log: t.Output(),
			}
			wrong, err := r.Do(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(wrong) > 0 {
				t.Errorf("again by: go run ./integration/soak -seed %d -kind %s -park %s -each %s -for 0\n%s", r.Seed, kind, park, long, strings.Join(wrong, "\n"))
			}
		})
	}
}
