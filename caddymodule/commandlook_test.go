package caddymodule

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// looking is a server with two hubs, of which one has a socket and one a port that wants a
// key, and a request held in the first.
func looking(t *testing.T) (s *server, shop, forum, admin string) {
	t.Helper()
	shop, forum = unique("shop"), unique("forum")
	s = start(t, "comet {\nhub "+shop+" {\nwatch DIR/*.comet\n}\nhub "+forum+"\n}", `
http://SITE {
	bind 127.0.0.1
	comet /comet/* {
		hub `+shop+`
	}
}
http:// {
	bind unix/SOCKET|0600
	comet_publish `+shop+`
}
http://PUBLISH {
	bind 127.0.0.1
	comet_publish `+forum+` {
		key 0123456789abcdef0123
	}
}`)
	holding("http://" + s.site + "/comet/orders,alerts")
	held(t, shop, "orders", 1)
	return s, shop, forum, "unix/" + s.dir + "/admin.sock"
}

// TestTheCommandListsHolds over the admin endpoint and over a hub's own door.
func TestTheCommandListsHolds(t *testing.T) {
	s, shop, forum, admin := looking(t)
	for _, c := range []struct {
		name       string
		args       []string
		lines      int
		want, said string
	}{
		{"all", []string{"--address", admin}, 2, "orders,alerts", ""},
		{"by the socket", []string{"--socket", s.socket}, 2, "127.0.0.1", ""},
		{"as PHP writes it", []string{"--socket", "unix:" + s.socket}, 2, shop, ""},
		{"on a channel", []string{"--address", admin, "--hub", shop, "--channel", "alerts"}, 2, "native/poll", ""},
		{"on another", []string{"--address", admin, "--hub", shop, "--channel", "x"}, 0, "", `nothing is held in hub "` + shop + `" on the channel "x"`},
		{"of nobody", []string{"--socket", s.socket, "--user", "42"}, 0, "", `nothing is held for the user "42"`},
		{"of another hub", []string{"--address", admin, "--hub", forum}, 0, "", "nothing is held in hub"},
		{"JSON", []string{"--socket", s.socket, "--json", "--limit", "1"}, 1, `"channels":["orders","alerts"]`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, errs, code := run(t, "", append([]string{"holds"}, c.args...)...)
			if code != 0 || strings.Count(out, "\n") != c.lines || !strings.Contains(out, c.want) || !strings.Contains(errs, c.said) || c.said == "" && errs != "" {
				t.Errorf("%d %q %q", code, out, errs)
			}
		})
	}
	holding("http://" + s.site + "/comet/orders")
	held(t, shop, "orders", 2)
	if out, errs, _ := run(t, "", "holds", "--address", admin, "--limit", "1"); strings.Count(out, "\n") != 2 || errs != "1 more are held\n" {
		t.Errorf("%q %q", out, errs)
	}
}

// TestTheCommandsWorkByAHubsOwnDoor as by the admin endpoint.
func TestTheCommandsWorkByAHubsOwnDoor(t *testing.T) {
	s, shop, forum, _ := looking(t)
	key := s.dir + "/key"
	if err := os.WriteFile(key, []byte("# the forum's\n\n0123456789abcdef0123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"publish", "--socket", s.socket, "elsewhere", "x"}, `"receivers":0`},
		{[]string{"publish", "--socket", s.publish, "--key-file", key, "elsewhere", "x"}, `"receivers":0`},
		{[]string{"publish", "--socket", "http://" + s.publish + "/", "--key-file", key, "elsewhere", "x"}, `"receivers":0`},
		{[]string{"status", "--socket", s.socket}, shop + "   1      3"},
		{[]string{"status", "--socket", s.publish, "--key-file", key}, forum},
		{[]string{"kick", "--socket", s.socket, "--user", "42"}, "0 ended"},
		{[]string{"top", "--interval", "200ms", "--socket", s.socket}, "HUBS (1)"},
	} {
		out, errs, code := run(t, "", c.args...)
		if code != 0 || !strings.Contains(out, c.want) {
			t.Errorf("%v: %d %q %q", c.args, code, out, errs)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"status", "--socket", s.publish}, "wants a key: name the file that has it with --key-file"},
		{[]string{"status", "--socket", s.publish, "--key-file", s.dir + "/none"}, "no such file"},
		{[]string{"status", "--socket", s.publish, "--key-file", os.DevNull}, "has no key in it"},
		{[]string{"status", "--address", "localhost:1", "--key-file", key}, "the admin endpoint has no keys"},
		{[]string{"status", "--socket", s.dir + "/none.sock"}, "no server answers at the comet_publish " + s.dir + "/none.sock"},
		{[]string{"status", "--socket", s.site}, "is no caddy-comet"},
		{[]string{"status", "--socket", "udp/localhost:1"}, "udp is no network to ask over; write it as /run/comet/publish/shop.sock"},
		{[]string{"status", "--address", "localhost"}, "it needs one port; write it as localhost:2019"},
		{[]string{"holds", "--socket", s.socket, "--hub", shop}, "if any flags in the group [socket hub] are set"},
		{[]string{"holds", "--socket", s.socket, "--limit", "-1"}, "--limit is to be a number above 0"},
		{[]string{"top", "--socket", s.socket, "--interval", "1ms"}, "--interval is to be 200ms at least"},
		{[]string{"tail", "--socket", s.socket, "a", "b/\x01"}, "control character"},
	} {
		out, errs, code := run(t, "", c.args...)
		if code == 0 || !strings.Contains(errs, c.want) {
			t.Errorf("%v: %d %q %q", c.args, code, out, errs)
		}
	}
	if _, errs, code := run(t, "", "holds", "--address", "unix/"+s.dir+"/admin.sock", "--hub", strings.ToUpper(shop)); code == 0 || !strings.Contains(errs, "did you mean") {
		t.Errorf("%d %q", code, errs)
	}
}

// TestTopIsTextWhereThereIsNoTerminal, one picture, and has what there is.
func TestTopIsTextWhereThereIsNoTerminal(t *testing.T) {
	s, shop, forum, admin := looking(t)
	out, errs, code := run(t, "", "top", "--address", admin, "--interval", "200ms")
	for _, want := range []string{"held 1  parked", "HUBS (2) by name", "▸ " + shop, "  " + forum, "KINDS IN " + strings.ToUpper(shop) + " (1)", "native/poll", "CHANNELS (2) by held", "orders", "WATCHES (1)", s.dir + "/*.comet", "descriptors "} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%d: %q is missing in\n%s%s", code, want, out, errs)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Errorf("%q", out)
	}
	if out, _, _ := run(t, "", "top", "--address", admin, "--interval", "200ms", "--hub", forum); !strings.Contains(out, "▸ "+forum) || !strings.Contains(out, "CHANNELS (0)") {
		t.Error(out)
	}
	if _, errs, code := run(t, "", "top", "--address", admin, "--hub", "nohub"); code == 0 || !strings.Contains(errs, "there is no hub") {
		t.Errorf("%d %q", code, errs)
	}
}

// TestTailFollowsSeveralChannels as text, and says which of them nobody knows.
func TestTailFollowsSeveralChannels(t *testing.T) {
	s, _, _, _ := looking(t)
	tail := command(t, "tail", "--socket", s.socket, "orders,alerts", "ordres")
	stdout, _ := tail.StdoutPipe()
	stderr, _ := tail.StderrPipe()
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tail.Process.Kill(); _ = tail.Wait() })
	out, errs := bufio.NewScanner(stdout), bufio.NewScanner(stderr)
	line(t, errs, `nothing is kept of the channel "ordres" and nobody follows it; waiting for its first event; did you mean "orders"?`)
	own := overSocket(s.socket)
	eventually(t, "it follows", func() bool { return strings.Contains(send(own, "GET", "http://localhost/ordres", "").body, `"held":1`) })
	for _, c := range [][2]string{{"orders", "orders  sale {\"id\":42}"}, {"ordres", "ordres  sale {\"id\":42}"}, {"alerts", "alerts  sale {\"id\":42}"}} {
		send(own, "POST", "http://localhost/"+c[0], `{"id":42}`, "Content-Type", "application/json", "Comet-Type", "sale").wants(t, 200, "cursor")
		line(t, out, c[1])
	}
}

// TestTheStatusIsWholeAsJSON.
func TestTheStatusIsWholeAsJSON(t *testing.T) {
	s, shop, _, admin := looking(t)
	eventually(t, "it is parked", func() bool {
		out, errs, code := run(t, "", "status", "--json", "--address", admin)
		var st figures.Status
		if err := json.Unmarshal([]byte(out), &st); err != nil || code != 0 {
			t.Fatalf("%d %q %q", code, out, errs)
		}
		h := st.Hubs[1]
		if h.Hub != shop || h.Limits.MaxHolds != 100_000 || st.Process == nil || st.Process.MemoryBytes == 0 || st.Time.IsZero() || len(h.Kinds) != 1 {
			t.Fatalf("%+v", st)
		}
		return h.Kinds[0].Held == 1 && h.Kinds[0].Parked == 1
	})
	send(overSocket(s.socket), "POST", "http://localhost/orders", "x").wants(t, 200, `"receivers":1`)
	h, _ := findHub(shop)
	eventually(t, "it is written", func() bool {
		st := statusOf([]*sharedHub{h})
		return st.Hubs[0].Written.Events == 1 && st.Hubs[0].Kinds[0].Answered["event"] == 1
	})
}
