#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Debian packages without root: finds what a meta package stands for, and unpacks
# packages into a directory without installing them. The system's package lists are
# used where they know the package; else a private apt state in the cache is
# updated from the mirror that the machine is configured with (so another
# architecture or suite, or lists that are out of date, leave the system alone).
#
#	deb.sh [-a arch] [-s suite] depends PACKAGE		prints its Depends, one a line
#	deb.sh [-a arch] [-s suite] version PACKAGE		prints its candidate version
#	deb.sh [-a arch] [-s suite] unpack DIR PACKAGE...	downloads and unpacks
set -eu

cache=${XDG_CACHE_HOME:-$HOME/.cache}/quarry
arch='' suite=''
while getopts a:s: opt; do
	case $opt in
	a) arch=$OPTARG ;;
	s) suite=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
verb=$1
shift

options=(-q -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=1
	-o Acquire::http::Timeout=60 -o Acquire::https::Timeout=60)

# A mirror that sends a byte now and then is not waited for either.
apt_get() {
	timeout --foreground -k 10 1800 apt-get "${options[@]}" "$@"
}

# Points apt at a state of our own, updated at most once a run and once an hour.
private_state() {
	local state mirror release key=/usr/share/keyrings/debian-archive-keyring.gpg
	state=$cache/apt/${suite:-system}-${arch:-native}
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
	options+=(-o "Dir::State::Lists=$state/lists" -o "Dir::Cache=$state/cache")
	if [ -n "$arch$suite" ]; then
		# shellcheck disable=SC1091
		release=$(. /etc/os-release && echo "$VERSION_CODENAME")
		# shellcheck disable=SC2016
		mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' |
			awk -v r="$release" '$1 == r { print $2; exit }')
		echo "deb [signed-by=$key] ${mirror:?apt has no source for $release} ${suite:-$release} main" \
			>"$state/sources.list"
		options+=(-o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=/dev/null
			-o Dir::State::status=/dev/null)
		[ -z "$arch" ] || options+=(-o "APT::Architecture=$arch" -o "APT::Architectures=$arch")
	fi
	if [ -z "$(find "$state/updated" -mmin -60 2>/dev/null)" ]; then
		echo "deb.sh: updating package lists (${suite:-system} ${arch:-native})" >&2
		(
			flock 9
			apt_get update >&2 9>&-
		) 9>"$state/lock" || return 1
		touch "$state/updated"
	fi
	private_state() { return 1; }
}

# apt takes seconds to answer; one answer serves for an hour
field() {
	local answer=$cache/apt/answers/$1-$2-${suite:-system}-${arch:-native}
	if [ -z "$(find "$answer" -mmin -60 2>/dev/null)" ]; then
		mkdir -p "$cache/apt/answers"
		if ! ask "$@" >"$answer.$$"; then
			rm -f "$answer.$$"
			return 1
		fi
		mv "$answer.$$" "$answer"
	fi
	cat "$answer"
}

ask() {
	apt-cache "${options[@]}" show --no-all-versions "$2" 2>/dev/null |
		awk -v f="$1:" '$1 == f { sub(/^[^ ]+ /, ""); print; found = 1; exit } END { exit !found }'
}

[ -z "$arch$suite" ] || private_state
case $verb in
depends)
	out=$(field Depends "$1") || { private_state && out=$(field Depends "$1"); }
	echo "$out" | awk -v RS='[,|]' '{ print $1 }'
	;;
version)
	field Version "$1" || { private_state && field Version "$1"; }
	;;
unpack)
	mkdir -p "$1"
	dir=$(cd "$1" && pwd)
	shift
	tmp=$(mktemp -d "$dir/.debs.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	cd "$tmp"
	apt_get download "$@" >/dev/null 2>&1 || {
		rm -rf "$cache/apt/answers"
		private_state && apt_get download "$@" >&2
	}
	for deb in *.deb; do
		dpkg -x "$deb" "$dir"
	done
	;;
*)
	echo "deb.sh: unknown verb '$verb'" >&2
	exit 2
	;;
esac
