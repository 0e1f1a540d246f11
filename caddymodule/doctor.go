package caddymodule

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/caddy-comet/caddy-comet/internal/doctor"
)

// doctorCommand is `caddy comet doctor`.
func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [<url>]",
		Short: "Says what is wrong between PHP, the server and visitors, and what to type",
		Long: `
Looks at the running server: what each comet line takes over, whether PHP can
write where the server watches and how fast that is told, who may publish, and
whether the limits are enough. With the site's public address it also comes as
a visitor does: does the address come to a comet line, do events arrive as they
happen, which proxy cuts or holds back, what does PHP see of a visitor?

Run it as root, on the server: only then is it known what other users may do.
It makes a file with a random name in each watched directory, on a channel that
nobody follows, and removes it.

With --hub it looks inside at one hub alone, and at what all share. With
--quiet it prints only what is not fine, and how much is.

Each finding has a line to type and a heading of docs/troubleshooting.md. The
exit code is 0 where nothing is wrong, 1 for warnings and 2 for failures.`,
		Example: `  caddy comet doctor
  caddy comet doctor https://example.com
  caddy comet doctor https://example.com --wait 35s --page /account.php
  caddy comet doctor --json --php-user shop
  caddy comet doctor --hub shop
  caddy comet doctor --quiet`,
		Args: cobra.MaximumNArgs(1),
		RunE: runDoctor,
	}
	f := cmd.Flags()
	f.Bool("json", false, "Print JSON")
	f.BoolP("quiet", "q", false, "Print only what is not fine, and how much is")
	f.Duration("wait", 5*time.Second, "How long a request is to be silent, to find what cuts it; 35s is a whole default hold")
	f.StringArrayP("header", "H", nil, "A header for the requests to the site, as in \"Cookie: a=b\"")
	f.String("php-user", "", "The user as whom PHP runs (default: what the pool files of php-fpm say)")
	f.StringArray("fpm-config", nil, "Pool files of php-fpm elsewhere than usual, as in '/opt/php/pool.d/*.conf'")
	f.String("fpm-status", "", "The address of php-fpm's status page")
	f.String("page", "", "A page of the site that takes a moment, to see whether two requests of one session wait for each other")
	f.String("cookie", "PHPSESSID", "The session's cookie for --page: its name, or name=value of a session that there is")
	return cmd
}

// maxDoctorWait is the longest --wait: the server holds a visit no longer.
const maxDoctorWait = maxVisit

func runDoctor(cmd *cobra.Command, args []string) error {
	fl := caddycmd.Flags{FlagSet: cmd.Flags()}
	for _, name := range []string{"socket", "key-file"} {
		if fl.String(name) != "" {
			return fmt.Errorf("--%s is not for the doctor, who asks the admin endpoint: leave it out, or name that with --address", name)
		}
	}
	wait := fl.Duration("wait")
	if wait < time.Second || wait > maxDoctorWait {
		return fmt.Errorf("--wait %s: from 1s to %s", wait, maxDoctorWait)
	}
	header, err := headersOf(cmd)
	if err != nil {
		return err
	}
	address, err := caddycmd.DetermineAdminAPIAddress(fl.String("address"), nil, fl.String("config"), fl.String("adapter"))
	if err != nil {
		return err
	}
	var report doctor.Report
	places := []string{address}
	if fl.String("address") == "" && fl.String("config") == "" {
		places = append(places, "unix//run/caddy-comet/admin.sock", "unix//run/comet/admin/admin.sock")
	}
	running := findServer(places)
	if err := running.knows(fl.String("hub")); err != nil {
		return err
	}
	report.Add(running.findings(len(args) > 0)...)
	if running.err == nil {
		more, _ := cmd.Flags().GetStringArray("fpm-config")
		running.examine(&report, fl.String("hub"), fl.String("php-user"), more)
	}
	if status := fl.String("fpm-status"); status != "" {
		report.Add(doctor.Status(status)...)
	}
	if len(args) > 0 {
		running.visit(&report, args[0], header, wait, fl.String("page"), fl.String("cookie"))
	}
	return conclude(cmd, &report)
}

// conclude prints the report and ends with its exit code.
func conclude(cmd *cobra.Command, report *doctor.Report) error {
	fl := caddycmd.Flags{FlagSet: cmd.Flags()}
	var err error
	if fl.Bool("json") {
		err = report.JSON(os.Stdout)
	} else {
		err = report.Print(color.Output, !color.NoColor, fl.Bool("quiet"))
	}
	if err != nil {
		return err
	}
	cmd.SilenceErrors, cmd.SilenceUsage = true, true // all is said
	switch code := report.ExitCode(); code {
	case 0:
		return nil
	case 1:
		return errors.New("there are warnings") // Caddy makes 1 of any error
	default:
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(cmd, nil)
	}
}

// headersOf reads the flag --header.
func headersOf(cmd *cobra.Command) (http.Header, error) {
	lines, err := cmd.Flags().GetStringArray("header")
	header := make(http.Header)
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("--header %q: write name and value, as in \"Cookie: a=b\"", name)
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return header, err
}

// runningServer is the server at an admin endpoint, as the doctor finds it.
type runningServer struct {
	address string
	facts   doctor.Facts
	setup   *doctor.Setup
	err     error
}

// findServer looks at each of the places for a server of ours. Where there is none, the
// first place counts at which anybody is, else the first of all.
func findServer(places []string) (s runningServer) {
	for i, address := range places {
		next := runningServer{address: address}
		next.err = next.read()
		if next.err == nil {
			return next
		}
		if i == 0 || nobody(s.err) && !nobody(next.err) {
			s = next
		}
	}
	return s
}

func (s *runningServer) read() error {
	if err := s.raw(http.MethodGet, "/comet/_doctor", nil, nil, &s.facts); err != nil {
		return err
	}
	var config json.RawMessage
	if err := s.raw(http.MethodGet, "/config/", nil, nil, &config); err != nil {
		return err
	}
	var err error
	s.setup, err = readSetup(config)
	return err
}

// Do implements [doctor.Admin].
func (s *runningServer) Do(method, uri string, header http.Header, body io.Reader, v any) error {
	if err := s.raw(method, uri, header, body, v); err != nil {
		return fmt.Errorf("the admin endpoint %s: %w", s.address, err)
	}
	return nil
}

// adminTime is how long the admin endpoint may take, which answers within five seconds
// also where it waits.
const adminTime = 20 * time.Second

// raw is Do with the error as Caddy has it.
func (s *runningServer) raw(method, uri string, header http.Header, body io.Reader, v any) error {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		res, err := caddycmd.AdminAPIRequest(s.address, method, uri, header, body)
		if err != nil {
			done <- result{err: err}
			return
		}
		defer res.Body.Close()
		text, err := io.ReadAll(io.LimitReader(res.Body, maxAdminAnswer))
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return r.err
		}
		return json.Unmarshal(r.text, v)
	case <-time.After(adminTime):
		return fmt.Errorf("no answer within %s", adminTime)
	}
}

// maxAdminAnswer bounds what is read: a configuration of thousands of sites is less.
const maxAdminAnswer = 256 << 20

// nobody reports whether an error says that nothing is there.
func nobody(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "no such file"))
}

// findings say whether the server is there. outside: more will be seen from there.
func (s *runningServer) findings(outside bool) []doctor.Finding {
	switch text := errorOf(s.err); {
	case s.err == nil:
		return []doctor.Finding{doctor.Runs(doctor.Here(), s.address, &s.facts)}
	case nobody(s.err):
		return []doctor.Finding{doctor.NoServer(s.address, outside)}
	case strings.Contains(text, "permission denied"):
		return []doctor.Finding{doctor.NoPermission(doctor.Here(), s.address, os.Args)}
	case strings.Contains(text, "404 page not found"), strings.Contains(text, "HTTP 404") && !strings.Contains(text, "there is no hub"):
		return []doctor.Finding{doctor.NoComet(s.address)}
	case strings.Contains(text, "there is no hub"):
		return []doctor.Finding{doctor.OldServer(s.address)}
	default:
		return []doctor.Finding{doctor.Trouble(s.address, text)}
	}
}

func errorOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// knows reports that there is no such hub. "" is all of them.
func (s *runningServer) knows(hub string) error {
	if hub == "" || s.err != nil || slices.ContainsFunc(s.facts.Hubs, func(h doctor.Hub) bool { return h.Name == hub }) {
		return nil
	}
	var known []string
	for _, h := range s.facts.Hubs {
		known = append(known, h.Name)
	}
	return noHubOf(hub, known)
}

// examine is all that is seen from inside, of one hub or of all for "".
func (s *runningServer) examine(report *doctor.Report, hub, phpUser string, poolFiles []string) {
	here, setup, facts := doctor.Here(), s.setup.Ordered(), &s.facts
	if hub != "" {
		setup, facts = setup.OfHub(hub), facts.OfHub(hub)
	}
	php := &doctor.PHP{Pools: doctor.Pools(here.FS(), poolFiles...), User: phpUser}
	if hub == "" || len(setup.Lines) > 0 { // of a hub there need not be a line
		report.Add(doctor.Lines(setup, facts)...)
	}
	report.Add(doctor.Publish(here, setup, facts, php)...)
	report.Add(doctor.Files(here, setup, facts, php)...)
	report.Add(doctor.Touch(here, s, setup, facts, php)...)
	report.Add(php.Check(here, setup, facts)...)
	report.Add(doctor.Full(facts)...)
	report.Add(doctor.Limits(here, &s.facts)...) // the machine's, which all hubs share
}

// visit is all that is seen from outside.
func (s *runningServer) visit(report *doctor.Report, address string, header http.Header, wait time.Duration, page, cookie string) {
	u, bad := doctor.ParseURL(address)
	if bad != nil {
		report.Add(*bad)
		return
	}
	doctor.Aim(u, s.setup)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	transport.DisableCompression = true
	o := &doctor.Outside{
		URL: u, Header: header, Address: s.address, Setup: s.setup, Facts: &s.facts, Wait: wait,
		Client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	if s.err == nil {
		o.Admin = s
	}
	report.Add(o.Visit()...)
	if page != "" {
		report.Add(o.Session(page, cookie))
	}
}

// Interface guards
var _ doctor.Admin = (*runningServer)(nil)
