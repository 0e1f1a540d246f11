#!/usr/bin/env bash
# Installs what the demo and the tests need from outside, by Debian's own packages:
#
#   integration/install.sh php chromium
#   integration/install.sh all
#
# Says and does nothing where everything is there already. It enables, disables and starts no service:
# whoever needs php-fpm, Apache or nginx starts an own one, with own ports and sockets.
set -euo pipefail

declare -A packages=(
	[php]='php-fpm php-cli php-curl'
	[apache]='apache2 libapache2-mod-php'
	[nginx]='nginx-light libnginx-mod-nchan'
	[chromium]='chromium'
	[node]='nodejs npm'
	[prometheus]='prometheus'
	[package]='mmdebstrap systemd-container lintian man-db'
	[tools]='curl make shellcheck gcc libc6-dev systemd'
)

die() {
	echo "install.sh: $*" >&2
	exit 1
}

usage="usage: integration/install.sh <what>… where <what> is one of: $(printf '%s\n' "${!packages[@]}" | sort | xargs) all"
(($#)) || die "$usage"

wanted=()
for what in "$@"; do
	if [[ $what == all ]]; then
		# shellcheck disable=SC2206 # a list of package names
		wanted+=(${packages[*]})
	elif [[ -n ${packages[$what]:-} ]]; then
		# shellcheck disable=SC2206
		wanted+=(${packages[$what]})
	else
		die "do not know \"$what\"; $usage"
	fi
done

# Node by any other way serves as well; Debian's npm brings hundreds of packages.
have() { [[ $1 =~ ^(nodejs|npm)$ ]] && command -v "${1/nodejs/node}" >/dev/null; }

[[ -x /usr/bin/apt-get && -x /usr/bin/dpkg-query ]] ||
	die "this is no Debian or Ubuntu (no apt-get). Install what corresponds to: ${wanted[*]}"

missing=()
for package in "${wanted[@]}"; do
	have "$package" && continue
	status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
	[[ $status == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

root=()
if ((EUID != 0)); then
	command -v sudo >/dev/null || die "not root and no sudo. As root: apt-get install ${missing[*]}"
	root=(sudo)
fi

apt() {
	# `env` sits behind sudo, because sudo drops most of the environment.
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@"
}

log=$(mktemp)
policy=
cleanup() {
	rm -f "$log"
	[[ -z $policy ]] || "${root[@]}" rm -f "$policy"
}
trap cleanup EXIT

# Debian starts what it installs, unless a policy says no; a container has one already.
if [[ ! -e /usr/sbin/policy-rc.d ]]; then
	policy=/usr/sbin/policy-rc.d
	printf '#!/bin/sh\nexit 101\n' | "${root[@]}" install -m 755 /dev/stdin "$policy"
fi
echo "Installing: ${missing[*]}"
if ! { apt update && apt install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
	tail -n 20 "$log" >&2
	die "apt-get failed (its last lines are above). By hand: apt-get update && apt-get install ${missing[*]}"
fi
