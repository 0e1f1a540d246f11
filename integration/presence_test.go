package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheDocumentedRoomKnowsWhoIsThere: two users of a PHP site in two tabs, with the
// documented Caddyfile and the documented lines of JavaScript.
func TestTheDocumentedRoomKnowsWhoIsThere(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	listen, publish := port(t), port(t)
	write(t, filepath.Join(dir, "www", "comet-auth.php"), `<?php header('Comet-User: '.$_COOKIE['user']);`)
	write(t, filepath.Join(dir, "www", "room.php"), fmt.Sprintf(`<?php
setcookie('user', $_GET['user']);
$room = file_get_contents('http://127.0.0.1:%s/room-1/members');
?>
<!DOCTYPE html>
<script>
const now = <?= $room ?>, cursor = now.cursor, members = new Set(now.members);
%s</script>`, publish, documented(t, "presence-js")))
	fpm(t, dir, 2)
	caddy(t, dir, documented(t, "presence", "\tcomet {\n\t\tpresence room-*\n", "\tauto_https off\n\tcomet {\n\t\tpresence room-* {\n\t\t\tgrace 1s\n\t\t}\n", "example.com", "http://127.0.0.1:"+listen,
		"\tphp_fastcgi unix//run/php/php-fpm.sock\n", phpSite(dir), "127.0.0.1:2020", "127.0.0.1:"+publish))
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it
	base := "http://127.0.0.1:" + listen + "/room.php?user="
	there := func(want string) {
		t.Helper()
		until(t, want+" to be there", func() bool {
			_, body := get(t, "http://127.0.0.1:"+publish+"/room-1/members")
			return strings.Contains(body, `"members":[`+want+`]`)
		})
	}
	there("")
	anna, ben := tab(t, chromium), tab(t, chromium)
	open(t, anna, base+"anna")
	there(`"anna"`)
	open(t, ben, base+"ben")
	there(`"anna","ben"`)
	sees := func(want string) {
		t.Helper()
		until(t, "Anna to see "+want, func() bool { return script[string](t, anna, "[...members].sort().join(' ')") == want })
	}
	sees("anna ben")
	until(t, "Ben to see both", func() bool { return script[string](t, ben, "[...members].sort().join(' ')") == "anna ben" })
	script[string](t, ben, "room.close() || ''")
	there(`"anna"`)
	sees("anna")
}
