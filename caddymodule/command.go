package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "comet",
		Usage: "publish|tail|kick|status|doctor",
		Short: "Publishes, follows channels, shows what is held and checks the running server",
		Long: `
Talks to the running server over its admin endpoint, by default localhost:2019.
If yours is elsewhere, name it with --address, or name the configuration with
--config and it is read from there. An endpoint on a Unix socket is written as
unix//run/caddy/admin.sock.

Programs that publish all day should not use this command but touch a file or
post to comet_publish; this is for the administrator's hands.`,
		CobraFunc: addCommands,
	})
}

func addCommands(cmd *cobra.Command) {
	cmd.PersistentFlags().String("address", "", "The admin endpoint of the running server")
	cmd.PersistentFlags().StringP("config", "c", "", "The configuration file in which to look for the admin endpoint")
	cmd.PersistentFlags().StringP("adapter", "a", "", "The adapter of that configuration file")
	cmd.PersistentFlags().String("hub", "", "The hub; needed where the configuration has several")

	publish := &cobra.Command{
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
	publish.Flags().String("type", "", "The event's type (default \"message\")")
	publish.Flags().String("id", "", "An ID that makes a repetition harmless")
	publish.Flags().String("content-type", "", "The data's media type")

	tail := &cobra.Command{
		Use:   "tail <channel>[,<channel>...]",
		Short: "Prints the events of channels as they happen",
		Long: `
Prints each event as a line of JSON until you press Ctrl-C. It begins now, or
with --since all at the oldest event that is kept, or with --since <cursor>
after an event that you have seen. It survives a restart of the server; where
events were lost a line says so on standard error.`,
		Example: "  caddy comet tail orders,alerts --since all",
		Args:    cobra.ExactArgs(1),
		RunE:    caddycmd.WrapCommandFuncForCobra(runTail),
	}
	tail.Flags().String("since", "now", "Where to begin: now, all or a cursor")

	kick := &cobra.Command{
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
	kick.Flags().String("user", "", "The user, as the site or the token named him")
	kick.Flags().String("session", "", "The value of the session's cookie")
	kick.Flags().String("channel", "", "The channel")

	status := &cobra.Command{
		Use:   "status",
		Short: "Shows hubs, held requests and file watches",
		Args:  cobra.NoArgs,
		RunE:  caddycmd.WrapCommandFuncForCobra(runStatus),
	}
	status.Flags().Bool("json", false, "Print JSON")
	cmd.AddCommand(publish, tail, kick, status, doctorCommand())
	// Without these a misspelt command prints help and counts as a success.
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// admin is the running server's admin endpoint.
type admin struct{ address string }

func adminOf(fl caddycmd.Flags) (admin, error) {
	address, err := caddycmd.DetermineAdminAPIAddress(fl.String("address"), nil, fl.String("config"), fl.String("adapter"))
	return admin{address}, err
}

// do makes a request and reads its JSON answer into v.
func (a admin) do(method, uri string, header http.Header, body io.Reader, v any) error {
	res, err := caddycmd.AdminAPIRequest(a.address, method, uri, header, body)
	if err != nil {
		return explain(err, a.address)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", a.address, err)
	}
	return nil
}

// explain says what to do about the most common failures.
func explain(err error, address string) error {
	text := err.Error()
	if i := strings.IndexByte(text, '{'); i >= 0 {
		var refused struct{ Error string }
		if json.Unmarshal([]byte(text[i:]), &refused) == nil && refused.Error != "" {
			return errors.New(refused.Error) // our own endpoint's sentence
		}
	}
	switch {
	case strings.Contains(text, "connection refused"), strings.Contains(text, "no such file"):
		return fmt.Errorf("no server answers at the admin endpoint %s: is it running? if its endpoint is elsewhere, name it with --address (%w)", address, err)
	case strings.Contains(text, "404 page not found"):
		return fmt.Errorf("the server at the admin endpoint %s has no comet in it; is another Caddy running there?", address)
	case strings.Contains(text, "permission denied"):
		return fmt.Errorf("the admin endpoint %s is not for this user: run the command as the server's user or as root (%w)", address, err)
	}
	return err
}

// hub returns the hub that the flags name, or the only one there is.
func (a admin) hub(fl caddycmd.Flags) (string, error) {
	if name := fl.String("hub"); name != "" {
		return name, nil
	}
	var s status
	if err := a.do(http.MethodGet, "/comet/", nil, nil, &s); err != nil {
		return "", err
	}
	var names []string
	for _, h := range s.Hubs {
		if !strings.Contains(h.Hub, "/") { // no namespace, which is meant only where it is named
			names = append(names, h.Hub)
		}
	}
	switch len(names) {
	case 0:
		return "", errors.New("the running configuration uses no hub: it has no comet directive")
	case 1:
		return names[0], nil
	}
	return "", fmt.Errorf("there are several hubs; choose one with --hub: %s", strings.Join(names, ", "))
}

// hubURI returns the address of channels, as the user wrote them, in the hub.
func (a admin) hubURI(fl caddycmd.Flags, channels string) (string, error) {
	hub, err := a.hub(fl)
	if err != nil {
		return "", err
	}
	parts := strings.Split(channels, ",")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return "/comet/" + url.PathEscape(hub) + "/" + strings.Join(parts, ","), nil
}

func runPublish(fl caddycmd.Flags) (int, error) {
	a, err := adminOf(fl)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	var data []byte
	switch arg := fl.Arg(1); arg {
	case "-":
		if data, err = io.ReadAll(os.Stdin); err != nil {
			return caddy.ExitCodeFailedStartup, err
		}
	default:
		data = []byte(arg)
	}
	uri, err := a.hubURI(fl, fl.Arg(0))
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	header := http.Header{"Content-Type": {contentType(fl.String("content-type"), data)}}
	for flag, name := range map[string]string{"type": "Comet-Type", "id": "Comet-Id"} {
		if v := fl.String(flag); v != "" {
			header.Set(name, v)
		}
	}
	var answer json.RawMessage
	if err := a.do(http.MethodPost, uri, header, bytes.NewReader(data), &answer); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	fmt.Println(string(answer))
	return caddy.ExitCodeSuccess, nil
}

// tailRetry is how long tail waits for a server that is away.
const tailRetry = time.Second

func runTail(fl caddycmd.Flags) (int, error) {
	a, err := adminOf(fl)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	uri, err := a.hubURI(fl, fl.Arg(0))
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	since, connected, away := fl.String("since"), false, false
	for {
		var answer struct {
			Cursor string            `json:"cursor"`
			Gap    bool              `json:"gap"`
			Events []json.RawMessage `json:"events"`
		}
		err := a.do(http.MethodGet, uri+"?since="+url.QueryEscape(since), nil, nil, &answer)
		switch {
		case err != nil && !connected:
			return caddy.ExitCodeFailedStartup, err
		case err != nil:
			// Also a 404: a server that starts has its admin endpoint before its hubs.
			if !away {
				fmt.Fprintln(os.Stderr, "the server is away; waiting for it:", err)
			}
			away = true
			time.Sleep(tailRetry)
			continue
		}
		connected, away = true, false
		if answer.Gap {
			fmt.Fprintln(os.Stderr, "events are lost: the server has forgotten what was after", since)
		}
		for _, e := range answer.Events {
			fmt.Println(string(e))
		}
		since = answer.Cursor
	}
}

func runKick(fl caddycmd.Flags) (int, error) {
	a, err := adminOf(fl)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	query := make(url.Values)
	for _, name := range []string{"user", "session", "channel"} {
		if value := fl.String(name); value != "" {
			query.Set(name, value)
		}
	}
	if len(query) == 0 {
		return caddy.ExitCodeFailedStartup, errors.New("say whose holds are to end: --user, --session or --channel")
	}
	uri, err := a.hubURI(fl, holdsName)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	var answer struct{ Ended int }
	if err := a.do(http.MethodDelete, uri+"?"+query.Encode(), nil, nil, &answer); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	fmt.Println(answer.Ended, "ended")
	return caddy.ExitCodeSuccess, nil
}

func runStatus(fl caddycmd.Flags) (int, error) {
	a, err := adminOf(fl)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	var s status
	if err := a.do(http.MethodGet, "/comet/", nil, nil, &s); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if fl.Bool("json") {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return caddy.ExitCodeSuccess, encoder.Encode(s)
	}
	only := fl.String("hub")
	if only != "" && !slices.ContainsFunc(s.Hubs, func(h hubStatus) bool { return h.Hub == only }) {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("there is no hub %q in the running configuration", only)
	}
	return caddy.ExitCodeSuccess, s.print(os.Stdout, only)
}

// print writes the status as tables, of one hub or of all.
func (s status) print(out io.Writer, only string) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "HUB\tHELD\tCHANNELS\tEVENTS KEPT\tPUBLISHED\tDELIVERED\tCURSOR")
	for _, h := range s.Hubs {
		if only != "" && h.Hub != only {
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%d\t%s\n", h.Hub, h.Held, h.Channels, h.History, sources(h.Published), h.Delivered, h.Cursor)
	}
	if len(s.Hubs) == 0 {
		fmt.Fprintln(w, "(none: the running configuration has no comet directive)")
	}
	for i, title := 0, "\nSTORE\tHUB\tBYTES\tERROR"; i < len(s.Hubs); i++ {
		if h := s.Hubs[i]; h.Store != nil && (only == "" || h.Hub == only) {
			if title != "" {
				fmt.Fprintln(w, title)
				title = ""
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", h.Store.Path, h.Hub, h.Store.Bytes, h.Store.Error)
		}
	}
	if len(s.Watches) > 0 {
		fmt.Fprintln(w, "\nWATCH\tHUB\tWHAT\tBY\tFILES\tLAST ERROR")
	}
	for _, f := range s.Watches {
		if only == "" || f.Hub == only {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", f.Glob, f.Hub, f.What, f.Mode, f.Files, f.LastError)
		}
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
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}
