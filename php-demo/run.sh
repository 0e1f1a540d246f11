#!/usr/bin/env bash
# The demo: php-fpm with two workers, caddy-comet in front, and the same PHP files without us beside it.
#
#   php-demo/run.sh            until Ctrl-C (`make demo`)
#   php-demo/run.sh --check    start, look at everything once, stop; the exit code tells
#
# Ports: COMET_DEMO_PORT (8080), COMET_DEMO_HTTPS_PORT (8443), COMET_DEMO_WITHOUT_PORT (8081),
# COMET_DEMO_PUBLISH_PORT (2020), COMET_DEMO_STATUS_PORT (2021), COMET_DEMO_ADMIN_PORT (2019).
# COMET_DEMO_BIND (127.0.0.1) is the address that both sites listen on; 0.0.0.0 lets other machines look.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

check=
case ${1:-} in
--check) check=1 ;;
'') ;;
*)
	echo "usage: php-demo/run.sh [--check]" >&2
	exit 2
	;;
esac

given=$(compgen -e COMET_DEMO_ || true) # the names of what was set by whoever started this
export COMET_DEMO_PORT=${COMET_DEMO_PORT:-8080}
export COMET_DEMO_HTTPS_PORT=${COMET_DEMO_HTTPS_PORT:-8443}
export COMET_DEMO_WITHOUT_PORT=${COMET_DEMO_WITHOUT_PORT:-8081}
export COMET_DEMO_PUBLISH_PORT=${COMET_DEMO_PUBLISH_PORT:-2020}
export COMET_DEMO_STATUS_PORT=${COMET_DEMO_STATUS_PORT:-2021}
export COMET_DEMO_ADMIN_PORT=${COMET_DEMO_ADMIN_PORT:-2019}
export COMET_DEMO_BIND=${COMET_DEMO_BIND:-127.0.0.1}
with=http://127.0.0.1:$COMET_DEMO_PORT
secure=https://localhost:$COMET_DEMO_HTTPS_PORT
without=http://127.0.0.1:$COMET_DEMO_WITHOUT_PORT
publish=http://127.0.0.1:$COMET_DEMO_PUBLISH_PORT

die() {
	echo "demo: $*" >&2
	exit 1
}

# --- What must be there ----------------------------------------------------------------------------------------------

in_use() { # <port>
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

busy=()
declare -A settings=() # for the command that would work: what was set, and another port for each that is in use
for variable in $given; do
	settings[$variable]=${!variable}
done
for name in PORT HTTPS_PORT WITHOUT_PORT PUBLISH_PORT STATUS_PORT ADMIN_PORT; do
	variable=COMET_DEMO_$name
	in_use "${!variable}" || continue
	busy+=("${!variable}")
	other=$((${!variable} + 1000))
	while in_use "$other" || [[ " ${settings[*]} " == *" $other "* ]]; do
		other=$((other + 1))
	done
	settings[$variable]=$other
done
if ((${#busy[@]})); then
	command=
	for variable in $(printf '%s\n' "${!settings[@]}" | sort); do
		command+="$variable=${settings[$variable]} "
	done
	die "in use: port ${busy[*]}. Choose others: ${command}make demo"
fi

integration/install.sh php
command -v curl >/dev/null || integration/install.sh tools
fpm=$(compgen -G '/usr/sbin/php-fpm[0-9]*' | sort -V | tail -n 1 || true)
fpm=${fpm:-$(command -v php-fpm || true)}
[[ -n $fpm ]] || die "no php-fpm found, though it is installed. Is it in /usr/sbin?"

if command -v go >/dev/null; then
	echo "Building bin/caddy …"
	go build -o bin/caddy ./cmd/caddy
	go build -o bin/demo-visitors ./php-demo/visitors
elif [[ ! -x bin/caddy || ! -x bin/demo-visitors ]]; then
	die "Go is missing: see https://go.dev/doc/install"
fi

# --- A folder for this run, and a user without rights ----------------------------------------------------------------

declare -A pids=()
run=
stage=
# shellcheck disable=SC2317 # the trap below calls it
stop() {
	trap - EXIT
	trap '' INT TERM HUP
	if ((${#pids[@]})); then
		kill "${pids[@]}" 2>/dev/null || true
		for _ in {1..80}; do
			kill -0 "${pids[@]}" 2>/dev/null || break # none is left
			sleep 0.1
		done
		kill -KILL "${pids[@]}" 2>/dev/null || true
	fi
	rm -rf "$run" "$stage"
}
trap stop EXIT
trap 'exit 0' INT TERM HUP

as=() # how to run something as the demo's user
tree=$PWD
if ((EUID == 0)); then
	# /run rather than /tmp: a service with PrivateTmp would not see files there.
	run=$(mktemp -d /run/comet-demo-XXXXXX)
	as=(setpriv --reuid=www-data --regid=www-data --clear-groups --)
	if ! "${as[@]}" test -r "$PWD/php-demo/public/index.php" -a -x "$PWD/bin/caddy"; then
		# A checkout below /root, say: www-data works on a copy.
		stage=$(mktemp -d /var/tmp/comet-demo-XXXXXX)
		cp -R bin Caddyfile.example php php-demo "$stage"
		chmod -R a+rX "$stage"
		tree=$stage
		cd "$tree"
	fi
else
	run=$(mktemp -d "${XDG_RUNTIME_DIR:-${TMPDIR:-/tmp}}/comet-demo-XXXXXX")
fi
mkdir "$run/events" "$run/caddy"
# As on a site that has been up for a while: the first touch of a name, which makes its file, is told of 10 ms later.
touch "$run/events/customAlert.comet" "$run/events/customAlert2.comet"
echo 'Hello from a file' >"$run/events/chat.txt"

export COMET_SITE="http://:$COMET_DEMO_PORT, $secure, https://127.0.0.1:$COMET_DEMO_HTTPS_PORT"
export COMET_ROOT=$tree/php-demo/public
export COMET_RUN=$run/events
export PHP_FPM=unix/$run/with.sock PHP_FPM_WITHOUT=unix/$run/without.sock
export PHP_FPM_STATUS=unix/$run/with-status.sock PHP_FPM_WITHOUT_STATUS=unix/$run/without-status.sock
export CADDY_ADMIN=127.0.0.1:$COMET_DEMO_ADMIN_PORT
export HOME=$run XDG_DATA_HOME=$run/caddy XDG_CONFIG_HOME=$run/caddy

write_pool() {
	cat >"$run/$1.conf" <<-CONF
		[global]
		daemonize = no
		error_log = $run/$1-fpm.log
		pid = $run/$1.pid
		[$1]
		listen = $run/$1.sock
		listen.mode = 0600
		listen.backlog = 1024
		pm = dynamic
		pm.max_children = 2
		pm.start_servers = 2
		pm.min_spare_servers = 1
		pm.max_spare_servers = 2
		pm.status_path = /status
		php_admin_value[error_log] = $run/$1-php.log
		php_admin_flag[log_errors] = on
		php_admin_value[output_buffering] = 0
	CONF
	if "$fpm" -v | grep -q '^PHP [89]'; then
		# On a socket of its own, so that it answers while all workers are busy.
		echo "pm.status_listen = $run/$1-status.sock" >>"$run/$1.conf"
	else
		ln -s "$1.sock" "$run/$1-status.sock"
	fi
}
write_pool with
write_pool without
((EUID != 0)) || chown -R www-data:www-data "$run"

# --- Start -----------------------------------------------------------------------------------------------------------

start() { # <name> <command …>
	local name=$1
	shift
	"${as[@]}" "$@" >>"$run/$name.log" 2>&1 </dev/null &
	pids[$name]=$!
}

start_without() {
	start without "$fpm" -F -y "$run/without.conf"
	without_since=$SECONDS
}

wait_for() { # <what> <log> <command …>: until the command succeeds
	local what=$1 log=$2
	shift 2
	for _ in {1..100}; do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	tail -n 15 "$run/$log".log "$run/$log"-fpm.log >&2 2>/dev/null || true
	die "$what did not come up within 10 seconds; its last words are above"
}

start with "$fpm" -F -y "$run/with.conf"
start_without
start caddy "$tree/bin/caddy" run --config "$tree/php-demo/Caddyfile"
start visitors "$tree/bin/demo-visitors" -socket "$COMET_RUN/visitors.sock" \
	-with "$with" -without "$without" -publish "$publish" -status "http://127.0.0.1:$COMET_DEMO_STATUS_PORT" \
	-with-fpm "$run/with.sock" -without-fpm "$run/without.sock" -without-pid "$run/without.pid"
start clock php "$tree/php-demo/clock.php" "$publish"

wait_for php-fpm with test -S "$run/with.sock"
wait_for "the second php-fpm" without test -S "$run/without.sock"
wait_for Caddy caddy curl -fsS -m 1 "$with/"
wait_for "the site without us" caddy curl -fsS -m 1 "$without/"
wait_for "the visitors tool" visitors curl -fsS -m 1 "$with/_demo/stats"

# --- Look ------------------------------------------------------------------------------------------------------------

echo
bin/demo-visitors -check -with "$with" -publish "$publish" -status "http://127.0.0.1:$COMET_DEMO_STATUS_PORT" \
	-with-fpm "$run/with.sock" || die "the self-check failed"

if [[ -n $check ]]; then
	expect() { # <status> <URL> [<text>]
		local got
		got=$(curl -sk -m 5 -o "$run/page" -w '%{http_code}' "$2") || true
		[[ $got == "$1" ]] || die "$2 answered $got, not $1"
		[[ -z ${3:-} ]] || grep -qF -- "$3" "$run/page" || die "$2 lacks \"$3\""
	}
	for side in "$with" "$without"; do
		expect 200 "$side/" 'PHP '
		expect 200 "$side/" 'id="ladder"'
		expect 200 "$side/techniques.php" 'id="long-polling"'
		expect 200 "$side/proof.php" 'id="proof"'
		expect 200 "$side/novcomet.php" NovComet.subscribe
		expect 200 "$side/events.php" EventSource
		for file in style.css comet.svg demo.js live.js live-ladder.js live-ledger.js proof.js techniques.js events.js NovComet.js novcomet-page.js; do
			expect 200 "$side/$file"
		done
		expect 404 "$side/.env"
		expect 404 "$side/.git/config"
		expect 405 "$side/publish.php"
		expect 404 "$side/techniques.php?only=none"
	done
	expect 200 "$without/techniques.php" 'class="screen" inert' # its buttons would do nothing
	for file in php-demo/public/techniques/*.js; do
		expect 200 "$with/techniques/${file##*/}" export
	done
	expect 200 "$with/live/comet.js" WebSocket
	expect 200 "$with/live/without-poll-sse/demo?wait=0" '"cursor"'
	expect 000 "$with/live/without-poll-sse/demo?wait=1" # the front page's switches
	expect 000 "$with/live/without-poll-sse/demo?as=sse"
	expect 200 "$with/_demo/stats" '"max_children":2'
	expect 200 "$secure/" 'PHP '

	# Each technique once. Those on channel demo hear one line that PHP appends.
	expect 200 "$with/comet/demo?since=&wait=0" '"cursor"'
	declare -A heard=(
		[long-polling]="$with/comet/demo"
		[jsonp]="$with/jsonp/demo?callback=answer"
		[novcomet]="$with/comet.php?&subscribed[demo]=0&0"
		[forever-frame]="$with/comet/demo?as=frame&callback=parent.updateResult"
		[xhr-streaming]="$with/comet/demo?as=stream"
		[multipart]="$with/comet/demo?as=multipart"
		[event-source]="$with/comet/demo?as=sse"
		[https]="$secure/comet/demo?as=sse"
	)
	curls=()
	listen() { # <name> <URL>
		curl -gskN -m 20 "$2" >"$run/heard-$1" &
		curls+=($!)
	}
	for name in "${!heard[@]}"; do
		listen "$name" "${heard[$name]}"
	done
	# shellcheck disable=SC2317 # wait_for calls it
	demo_is_held() {
		curl -fsS -m 5 "$publish/demo" | grep -qF "\"held\":${#heard[@]},"
	}
	wait_for "all techniques to be held" caddy demo_is_held
	publish() { # <way> <channel>
		curl -fsS -m 5 -o "$run/page" -d "way=$1" -d "channel=$2" -d text=checked "$with/publish.php" ||
			die "PHP could not publish by $1: $(cat "$run/page")"
	}
	publish append demo
	for name in "${!heard[@]}"; do
		text=checked
		[[ $name != novcomet ]] || text='"s":1,"k":{"demo":'
		wait_for "an event by $name" caddy grep -qF "$text" "$run/heard-$name"
	done

	timestamp=$(curl -fsS -m 5 "$with/chat.php?timestamp=0" | grep -o '[0-9]*}$' | tr -d '}')
	listen chat "$with/chat.php?timestamp=$timestamp"
	expect 200 "$with/chat.php?msg=checked"
	wait_for "a message of the chat" caddy grep -qF '{"msg":"checked",' "$run/heard-chat"

	counter=$(curl -fsS -m 5 "$with/counter.php" | grep -o '"counter":[0-9]*')
	event=$(curl -fsS -m 5 "$with/counter.php?after=${counter#*:}" | grep -o '[0-9]*')
	listen doorbell "$with/doorbell/$event"
	curl -fsS -m 5 -X POST "$with/counter.php" | grep -q '"rung":true' || die "PHP could not set the event variable"
	wait_for "the doorbell" caddy grep -qF "doorbell($event);" "$run/heard-doorbell"

	listen clock "$with/clock/backend.php"
	wait_for "the clock in a frame" caddy grep -q 'parent.comet.printServerTime([0-9]*);' "$run/heard-clock"
	listen loop "$with/clock/loop.php"
	wait_for "PHP's own clock" caddy grep -q 'loop.printServerTime([0-9]*);' "$run/heard-loop"
	listen picture "$with/comet/picture?as=multipart&send=data"
	wait_for "the clock's picture" caddy grep -qa 'PNG' "$run/heard-picture"

	cursor=$(curl -fsS -m 5 "$with/comet/demo?since=" | grep -o '[a-z0-9]*\.[0-9]*')
	publish header demo
	curl -fsS -m 5 -o /dev/null -D - -H "Comet-Since: $cursor" -H 'Comet-Channels: demo' "$with/page.php" | grep -qi '^Comet-News: demo' || die "PHP's header was not published, or no answer says that there is news"

	curl -sN -m 5 "$with/comet/alerts,orders?as=sse" >"$run/stream" &
	curls+=($!)
	wait_for "an event stream" caddy grep -q . "$run/stream"
	for event in append:alerts post:orders; do
		publish "${event%:*}" "${event#*:}"
		wait_for "the event published by ${event%:*}" caddy grep -q "\"via\":\"${event%:*}\"" "$run/stream"
	done
	kill "${curls[@]}" 2>/dev/null || true
	echo "Every page answers, and so does every technique; PHP's append and PHP's POST reached an event stream."
	exit 0
fi

cat <<TEXT

Open   http://localhost:$COMET_DEMO_PORT/               a chat and a counter by comet.js: cut its connection in five ways
       http://localhost:$COMET_DEMO_PORT/techniques.php every technique of comet, live, side by side
       https://localhost:$COMET_DEMO_HTTPS_PORT/techniques.php the same over HTTP/2, where one connection carries them all
       http://localhost:$COMET_DEMO_PORT/proof.php      the proof: let 100 visitors in, with us and without
       http://localhost:$COMET_DEMO_PORT/novcomet.php   a page of 2011: PHP touches a file, the page knows
       http://localhost:$COMET_DEMO_PORT/events.php     EventSource: PHP touches, appends or posts
       http://localhost:$COMET_DEMO_WITHOUT_PORT/proof.php      the same PHP files without us

Type   touch $COMET_RUN/customAlert.comet
       echo '{"text":"from a shell"}' >> $COMET_RUN/demo.jsonl
       curl -d '{"text":"from curl"}' -H 'Content-Type: application/json' $publish/orders

TEXT
[[ $COMET_DEMO_BIND != 127.0.0.1 ]] || echo "Only this machine gets in. For others, too: COMET_DEMO_BIND=0.0.0.0 make demo"
echo "Ctrl-C stops it all."

# "Restart this php-fpm" on the page ends the second one; everything else has to stay.
while :; do
	ended=
	wait -n -p ended || true
	[[ $ended == "${pids[without]}" ]] || break
	((SECONDS - without_since > 1)) || break
	start_without
done
tail -n 15 "$run"/*.log >&2
die "something ended by itself; the logs are above"
