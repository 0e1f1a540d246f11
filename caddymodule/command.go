package caddymodule

import (
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "comet",
		Usage: "top|holds|tail|publish|kick|status|doctor",
		Short: "Watches what is held in the running server, publishes, follows channels and checks",
		Long: `
Talks to the running server over its admin endpoint: that of the Debian package's
service where it runs, unix//run/caddy-comet/admin.sock, else localhost:2019.
If yours is elsewhere, name it with --address, or name the configuration with
--config and it is read from there. The environment's CADDY_ADMIN names it, too.

Where you may not use the admin endpoint, but the comet_publish of a hub, name
that with --socket: /run/comet/publish/shop.sock, or 127.0.0.1:2020 with
--key-file if it wants a key.

Programs that publish all day should not use this command but touch a file or
post to comet_publish; this is for the administrator's hands.`,
		CobraFunc: addCommands,
	})
}

func addCommands(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.String("address", "", "The admin endpoint of the running server")
	flags.StringP("config", "c", "", "The configuration file in which to look for the admin endpoint")
	flags.StringP("adapter", "a", "", "The adapter of that configuration file")
	flags.String("socket", "", "A hub's comet_publish, to use instead of the admin endpoint")
	flags.String("key-file", "", "A file with the key that this comet_publish wants")
	flags.String("hub", "", "The hub; needed where the configuration has several")
	for _, of := range []string{"address", "config", "hub"} {
		cmd.MarkFlagsMutuallyExclusive("socket", of)
	}
	for _, add := range []func() *cobra.Command{topCommand, holdsCommand, tailCommand, publishCommand, kickCommand, statusCommand, doctorCommand} {
		cmd.AddCommand(add())
	}
	nameProgram(cmd)
	// Without these a misspelt command prints help and counts as a success.
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

func topCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Shows what goes on, again and again",
		Long: `
Shows hubs, what is held by dialect and transport, the busiest channels, file
watches and which limits are near, with rates a second. Arrows choose, tab goes
from hubs to channels, enter follows the channel, h lists holds, s sorts, ? tells
of all keys, q ends it.

Where the output is no terminal it prints one picture as text and ends.`,
		Example: `  caddy comet top
  caddy comet top --hub shop --interval 5s
  caddy comet top | cat`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(runTop),
	}
	cmd.Flags().Duration("interval", time.Second, "How often to look, 200ms at least")
	return cmd
}

func holdsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "holds",
		Short: "Lists the requests that are held",
		Long: `
Lists each request that is held: its hub, dialect and transport, whether it is
parked (and costs no goroutine), for how long it has been waiting, the client's
address, the user if the site, a token or Caddy named one, and its channels. They
come as the server finds them, in no order, and who comes or goes meanwhile may
be missing. Event variables are a hub of their own, such as shop/doorbell.`,
		Example: `  caddy comet holds
  caddy comet holds --hub shop --channel orders --user 42
  caddy comet holds --json | jq -r .client | sort | uniq -c | sort -rn | head`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(runHolds),
	}
	cmd.Flags().String("channel", "", "Only those that follow this channel")
	cmd.Flags().String("user", "", "Only those of this user")
	cmd.Flags().Int("limit", 0, "At most so many (default all)")
	cmd.Flags().Bool("json", false, "Print each as a line of JSON")
	return cmd
}

func tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail <channel>[,<channel>...] [<channel>...]",
		Short: "Prints the events of channels as they happen",
		Long: `
Prints each event as a line until you press Ctrl-C: its time, channel, type (if
it has one) and data, in colours on a terminal unless NO_COLOR is set. It begins
now, or with --since all at the oldest event that is kept, or with --since
<cursor> after an event that you have seen. It survives a restart of the server;
where events were lost a line says so on standard error.`,
		Example: `  caddy comet tail orders alerts
  caddy comet tail orders,alerts --since all
  caddy comet tail --json orders | jq .data`,
		Args: cobra.MinimumNArgs(1),
		RunE: caddycmd.WrapCommandFuncForCobra(runTail),
	}
	cmd.Flags().String("since", "now", "Where to begin: now, all or a cursor")
	cmd.Flags().Bool("json", false, "Print each event as a line of JSON, as the server has it")
	return cmd
}

func publishCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish <channel>[,<channel>...] [<data>|-]",
		Short: "Publishes an event",
		Long: `
Publishes one event on the channels and prints its cursor and how many requests
follow each channel. Without data the event says only that something happened;
with - the data is read from standard input. A JSON object or array is sent as
JSON, everything else as text, unless --content-type says otherwise.`,
		Example: `  caddy comet publish orders '{"id": 42}'
  date | caddy comet publish clock -
  caddy comet publish --hub shop --type sale prices`,
		Args: cobra.RangeArgs(1, 2),
		RunE: caddycmd.WrapCommandFuncForCobra(runPublish),
	}
	cmd.Flags().String("type", "", "The event's type (default \"message\")")
	cmd.Flags().String("id", "", "An ID that makes a repetition harmless")
	cmd.Flags().String("content-type", "", "The data's media type")
	return cmd
}

func kickCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kick",
		Short: "Ends the holds of a user, a session or a channel",
		Long: `
Ends the held requests of who is all that the flags name, and what the site or a
token had granted until now: who was kicked is asked about anew when he comes back.
Prints how many were held.`,
		Example: `  caddy comet kick --user 42
  caddy comet kick --user 42 --channel orders`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(runKick),
	}
	cmd.Flags().String("user", "", "The user, as the site or the token named him")
	cmd.Flags().String("session", "", "The value of the session's cookie")
	cmd.Flags().String("channel", "", "The channel")
	return cmd
}

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Shows hubs, held requests and file watches",
		Long: `
Shows each hub with what is held in it, by dialect and transport, what was
refused and for which reason, its store and its file watches, once. With --json
there is more: limits and the process.`,
		Example: `  caddy comet status
  caddy comet status --socket /run/comet/publish/shop.sock --json`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(runStatus),
	}
	cmd.Flags().Bool("json", false, "Print JSON")
	return cmd
}
