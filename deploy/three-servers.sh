#!/bin/sh
# Three NATS servers on this machine, to try a hub on a cluster before there is one: they survive the loss of one process,
# not of the machine. Ctrl-C stops them; their data stay, and the next run goes on with them.
#
#   deploy/three-servers.sh [directory]        default: ./three-servers
#
# NATS_SERVER names the program (default: nats-server). PORT is the first server's (default: 4222); the others have the
# next two, their cluster the ports 2000 above, their monitors 4000 above. All of it listens on 127.0.0.1 alone.
set -eu

directory=${1:-three-servers}
program=${NATS_SERVER:-nats-server}
port=${PORT:-4222}

command -v "$program" >/dev/null || {
  echo "there is no $program here: install nats-server, or name it with NATS_SERVER" >&2
  exit 2
}

routes=
for i in 0 1 2; do routes="$routes${routes:+, }\"nats://127.0.0.1:$((port + 2000 + i))\""; done

pids=
stop() {
  trap - EXIT INT TERM
  [ -z "$pids" ] || kill $pids 2>/dev/null || :
  wait
}
trap 'stop; exit 0' INT TERM
trap stop EXIT

for i in 0 1 2; do
  name=n$((i + 1))
  mkdir -p "$directory/$name"
  cat >"$directory/$name.conf" <<CONF
server_name: $name
listen: "127.0.0.1:$((port + i))"
http: "127.0.0.1:$((port + 4000 + i))"
jetstream { store_dir: "$directory/$name" }
cluster {
  name: redcar
  listen: "127.0.0.1:$((port + 2000 + i))"
  routes: [$routes]
}
CONF
  "$program" -c "$directory/$name.conf" -l "$directory/$name.log" &
  pids="$pids $!"
done

cat <<TEXT
Three NATS servers, their configuration, logs and data in $directory. Start a hub on them:

  redcar serve --engine nats://127.0.0.1:$port,nats://127.0.0.1:$((port + 1)),nats://127.0.0.1:$((port + 2)) --nats-replicas 3

One of them may be killed: $pids. Ctrl-C stops all.
TEXT
wait
