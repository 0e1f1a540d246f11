package doctor

import (
	"strconv"
	"strings"

	"github.com/spf13/afero"
)

// sysctl is a number of the kernel's.
func sysctl(sys System, name string) (int64, bool) {
	text, err := afero.ReadFile(sys.FS(), "/proc/sys/"+strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, false
	}
	return int64(min(n, 1<<62)), true
}
