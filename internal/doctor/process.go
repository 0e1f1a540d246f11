package doctor

import (
	"bufio"
	"cmp"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// ThisProcess is what we are.
func ThisProcess() Process {
	p := Process{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid()}
	p.Groups, _ = os.Getgroups()
	if f, err := os.Open("/proc/self/limits"); err == nil {
		defer f.Close()
		p.OpenFiles = openFiles(f)
	}
	return p
}

// openFiles reads the limit of descriptors from Linux's table, 0 where it has none.
func openFiles(limits io.Reader) uint64 {
	lines := bufio.NewScanner(limits)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "Max open files"); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				n, _ := strconv.ParseUint(f[0], 10, 64)
				return n
			}
		}
	}
	return 0
}

// Sort has hubs and watches in the order of their names.
func (f *Facts) Sort() {
	slices.SortFunc(f.Hubs, func(a, b Hub) int { return figures.ByName(a.Name, b.Name) })
	slices.SortFunc(f.Watches, func(a, b Watch) int {
		return cmp.Or(figures.ByName(a.Hub, b.Hub), figures.ByName(a.Glob, b.Glob), strings.Compare(a.What, b.What))
	})
}
