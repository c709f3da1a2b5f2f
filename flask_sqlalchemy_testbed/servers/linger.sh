#!/bin/sh
# Run a server until no client was connected for some seconds: linger SECONDS PORT COMMAND...
# This is the first process of its container, so its end kills the server: throwaway data needs no clean stop.
# USR1: end as soon as no client is connected. USR2: never end; a person looks at a failed test's database.
set -u
limit=$1 port=$(printf ':%04X' "$2")
shift 2

RETIRED_SECONDS=2 # A run that has found this server connects within that time, or looks for another one.
START_SECONDS=60  # A server that does not listen counts as busy for that long.
FOREVER=2147483647

if ! [ -r /proc/net/tcp ] || ! [ -r /proc/net/snmp ]; then
  echo 'linger: /proc/net cannot be read, so clients cannot be seen. Leave out --linger.' >&2
  exit 1
fi

# Set `state` to busy if a client is connected, or was connected since the last call; else to starting or idle.
opened=0
look() {
  state=starting
  for table in /proc/net/tcp /proc/net/tcp6; do
    [ -r "$table" ] || continue
    while read -r _ local _ code _; do
      case "$code $local" in
        "01 "*"$port") state=busy ;;
        "0A "*"$port") [ "$state" = busy ] || state=idle ;;
      esac
    done <"$table"
  done
  # A short run may come and go between two calls: the kernel counts the connections.
  before=$opened
  while read -r protocol _ _ _ _ _ count _; do
    [ "$protocol" != Tcp: ] || opened=$count
  done </proc/net/snmp
  [ "$opened" = "$before" ] || state=busy
}

clock() { read -r now _ </proc/uptime && now=${now%.*}; }

trap exit TERM INT
trap 'limit=$RETIRED_SECONDS' USR1
trap 'limit=$FOREVER' USR2
# The parent learns of the server's end at once.
{ "$@"; kill "$$"; } &
clock
began=$now since=$now was=starting
while [ $((now - since)) -lt "$limit" ]; do
  # Once a second, it would take 2 % of a processor for each server.
  pause=$((limit / 60))
  [ "$pause" -ge 1 ] || pause=1
  [ "$pause" -le 10 ] || pause=10
  sleep "$pause" & # A signal ends `wait`, but not `sleep`.
  wait "$!"
  clock
  look
  # The time starts when no client is seen for the first time: on a busy machine, the call before may be long ago.
  case "$was-$state" in
    busy-* | *-busy) since=$now ;;
    *-starting) [ $((now - began)) -ge "$START_SECONDS" ] || since=$now ;;
  esac
  was=$state
done
echo "linger: no client was connected for $limit s." >&2
