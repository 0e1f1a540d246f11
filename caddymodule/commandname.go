package caddymodule

import (
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"
)

// nameProgram has the texts of a command and of those below it, in which the
// program is caddy, name it as it is called.
func nameProgram(cmd *cobra.Command) {
	// The manual is made by way of Markdown, where <channel> is a tag and vanishes.
	manual := len(os.Args) > 1 && os.Args[1] == "manpage"
	for _, text := range []*string{&cmd.Use, &cmd.Short, &cmd.Long, &cmd.Example} {
		if name := caddy.CustomBinaryName; name != "" {
			*text = strings.ReplaceAll(*text, "caddy comet", name+" comet")
		}
		if manual && text != &cmd.Example { // which is a block of code
			*text = strings.ReplaceAll(*text, "<", `\<`)
		}
	}
	for _, c := range cmd.Commands() {
		nameProgram(c)
	}
}
