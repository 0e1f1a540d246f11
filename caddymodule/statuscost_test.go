package caddymodule

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/samples"
)

// BenchmarkASecondOfTheStatusPage is what is done each second where one is configured:
// the share of a second that it takes is that of a processor. The cost goes by hubs, not
// by held requests.
func BenchmarkASecondOfTheStatusPage(b *testing.B) {
	for _, hubs := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("%d hubs", hubs), func(b *testing.B) {
			var names []string
			for range hubs {
				names = append(names, unique("bench"))
			}
			config := "{\nadmin off\npersist_config off\ncomet {\nhub " + strings.Join(names, "\nhub ") + "\n}\n}\n"
			var r samples.Recorder
			r.Follow("")
			if err := loadJSON(string(adapt(b, config))); err != nil {
				b.Fatal(err)
			}
			for _, name := range names {
				for _, transport := range []string{"poll", "sse"} {
					pageOf(name, "native", transport).held.Inc()
				}
			}
			now := time.Unix(1_795_320_000, 0)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				now = now.Add(time.Second)
				r.Take(now, readHubs())
			}
		})
	}
}
