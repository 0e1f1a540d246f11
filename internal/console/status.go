package console

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// PrintStatus writes a status as tables, of one hub or of all.
func PrintStatus(out io.Writer, s figures.Status, only string) error {
	s.Hubs = slices.DeleteFunc(s.Hubs, func(h figures.Hub) bool { return only != "" && h.Hub != only })
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "HUB\tHELD\tCHANNELS\tEVENTS KEPT\tPUBLISHED\tDELIVERED\tCURSOR")
	for _, h := range s.Hubs {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%d\t%s\n", h.Hub, h.Held, h.Channels, h.History, sources(h.Published), h.Delivered, h.Cursor)
	}
	if len(s.Hubs) == 0 {
		fmt.Fprintln(w, "(none: the running configuration has no comet directive)")
	}
	title := "\nHELD BY\tHUB\tHELD\tPARKED\tOPENED"
	for _, h := range s.Hubs {
		for _, k := range h.Kinds {
			if title != "" {
				fmt.Fprintln(w, title)
				title = ""
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\n", kindOf(k.Dialect, k.Transport), h.Hub, k.Held, k.Parked, k.Opened)
		}
	}
	title = "\nREFUSED FOR\tHUB\tREQUESTS"
	for _, h := range s.Hubs {
		for _, reason := range slices.Sorted(maps.Keys(h.Denied)) {
			if h.Denied[reason] == 0 {
				continue
			}
			if title != "" {
				fmt.Fprintln(w, title)
				title = ""
			}
			fmt.Fprintf(w, "%s\t%s\t%d\n", reason, h.Hub, h.Denied[reason])
		}
	}
	title = "\nSTORE\tHUB\tBYTES\tERROR"
	for _, h := range s.Hubs {
		if h.Store == nil {
			continue
		}
		if title != "" {
			fmt.Fprintln(w, title)
			title = ""
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", h.Store.Path, h.Hub, h.Store.Bytes, Plain(h.Store.Error))
	}
	title = "\nWATCH\tHUB\tWHAT\tBY\tFILES\tLAST ERROR"
	for _, f := range s.Watches {
		if only != "" && f.Hub != only {
			continue
		}
		if title != "" {
			fmt.Fprintln(w, title)
			title = ""
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", f.Glob, f.Hub, f.What, f.Mode, f.Files, Plain(f.LastError))
	}
	return w.Flush()
}

func sources(published map[string]uint64) string {
	var parts []string
	for source, n := range published {
		parts = append(parts, fmt.Sprintf("%d by %s", n, source))
	}
	if len(parts) == 0 {
		return "0"
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
