#!/usr/bin/env bash
# Runs `tidemark run` with a private PostgreSQL and a webhook receiver, feeds it a disordered log of orders, draws the
# life of one order, and answers three questions. `make demo` builds the programs before.
#
# On a terminal the service runs until Enter or Ctrl-C; elsewhere it ends at once, with exit code 0.
# TIDEMARK_DEMO_BINARIES names the folder of the two programs (.build/release).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

binaries=${TIDEMARK_DEMO_BINARIES:-.build/release}
events=fixtures/demo/arrival.ndjson
work=.demo

die() { echo "demo: $*" >&2; exit 1; }

for program in tidemark tidemark-receiver; do
  [[ -x $binaries/$program ]] || die "$binaries/$program is missing: make demo builds it"
done
for program in psql curl; do
  command -v "$program" >/dev/null || die "$program is missing: make deps"
done

# PostgreSQL refuses to run as root, so root runs it as another account, which has to reach the folder. The path of its
# socket may have 103 bytes, and is quoted in the configuration.
db=$work/db
socket=\"\$PWD/$db/socket\"
socket_folder=$PWD/$db/socket
server_user=$(id -u postgres >/dev/null 2>&1 && echo postgres || echo nobody)
if ((${#PWD} > 70)) || [[ $PWD == *[!a-zA-Z0-9/._\ -]* ]] ||
  { [[ $EUID -eq 0 ]] && ! runuser -u "$server_user" -- test -x "$PWD"; }; then
  db=/var/tmp/tidemark-demo-$(printf '%s' "$PWD" | cksum | cut -d ' ' -f 1)
  socket=$db/socket
  socket_folder=$socket
fi

# These come before the demo's configuration, and name another server.
given_url=${DATABASE_URL:-}
unset DATABASE_URL "${!PG@}"
export PGCLIENTENCODING=UTF8

# --- what it looks like

bold='' yellow='' green='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
  bold=$'\033[1m' yellow=$'\033[33m' green=$'\033[32m' plain=$'\033[0m'
fi
right='->' left='<-' line='-' cross='+' bar='|' times=x star='*'
if [[ $(locale charmap 2>/dev/null) == UTF-8 ]]; then
  right='→' left='←' line='─' cross='┼' bar='│' times='×' star='◆'
fi

say() { printf '%-10s %s\n' "$1" "$2"; }

# Breaks a command at spaces where it is longer than 80 columns; within "…" a shell joins such lines too. An option
# stays with its value.
wrapped() {
  local text='' word option=''
  for word in $1; do
    if [[ $word == -?* && -z $option ]]; then option=$word; continue; fi
    word=${option:+$option }$word option=''
    if ((${#text} + ${#word} > 74)); then
      printf '  %s \\\n' "$text"
      text="  $word"
    else
      text=${text:+$text }$word
    fi
  done
  printf '  %s\n' "$text${option:+ $option}"
}
command_lines() { printf '%s%s%s\n' "$bold" "$(wrapped "$1")" "$plain"; }

# --- processes

service='' receiver='' started='' stopped_code=130

# Neither gone nor a zombie.
alive() { [[ -n $1 && $(ps -o stat= -p "$1" 2>/dev/null) == [!Z]* ]]; }

# The private server's process, where it runs.
server() {
  local process
  process=$(head -n 1 "$db/data/postmaster.pid" 2>/dev/null) || return 1
  alive "$process" && [[ $(ps -o args= -p "$process" 2>/dev/null) == *postgres* ]] && echo "$process"
}

address=''
is_listening() { address=$(sed -n 's/.* listening address=//p' "$work/service.log") && [[ -n $address ]]; }

ended() { # ended PROCESS SECONDS
  local tenths=$(($2 * 10))
  while alive "$1"; do
    ((tenths-- > 0)) || return 1
    sleep 0.1
  done
}

stop_server() {
  local process
  process=$(server) || return 0
  kill -INT "$process" 2>/dev/null || true
  ended "$process" 20 || kill -QUIT "$process" 2>/dev/null || true
}

cleanup() {
  local code=$?
  trap '' INT TERM HUP
  [[ -n $started ]] || exit "$code"
  # A signal may come between the start of a process and the assignment of its number.
  local last=${!:-}
  if [[ -z $receiver ]]; then receiver=$last; elif [[ -z $service && $last != "$receiver" ]]; then service=$last; fi
  # Until it listens, a signal ends `tidemark run` alone, and leaves initdb or the server behind.
  local tenths=300
  while alive "$service" && ! is_listening && ((tenths-- > 0)); do sleep 0.1; done
  # The service once, because a second signal ends it without its server; the receiver after it, for the last webhooks.
  if alive "$service"; then
    kill -TERM "$service"
    ended "$service" 30 || kill -KILL "$service" 2>/dev/null || true
  fi
  if alive "$receiver"; then
    kill -TERM "$receiver"
    ended "$receiver" 5 || kill -KILL "$receiver" 2>/dev/null || true
  fi
  stop_server
  rm -f "$work/pids"
  if [[ $code -ne 0 && $code -lt 128 && -s $work/service.log ]]; then
    echo "demo: the last lines of $work/service.log:" >&2
    tail -n 5 "$work/service.log" >&2
  fi
  local folders=$work
  [[ ! -d $db || $db == "$work"/* ]] || folders="$work $db"
  echo
  echo "Ended; no process is left. On disk are $(du -shc $folders 2>/dev/null | tail -n 1 | cut -f 1), removed by"
  echo "  rm -r $folders"
  exit "$code"
}
trap cleanup EXIT
trap 'exit $stopped_code' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# until_true WHAT CONDITION…: waits for up to a minute, and as long as both processes run.
until_true() {
  local what=$1 tenths=600
  shift
  until "$@"; do
    alive "$receiver" || die "the receiver has ended"
    [[ -z $service ]] || alive "$service" || die "the service has ended"
    ((tenths-- > 0)) || die "$what did not come within a minute"
    sleep 0.1
  done
}

query() { psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$socket_folder" -U tidemark -d tidemark "$@" </dev/null; }

# In process groups of their own: Ctrl-C comes to this script alone, which ends them in order.
in_background() {
  set -m
  "$@" </dev/null &
  set +m
}

# --- start

earlier=''
for process in $(cat "$work/pids" 2>/dev/null || true); do
  if alive "$process" && [[ $(ps -o args= -p "$process") == *tidemark* ]]; then earlier+=" $process"; fi
done
[[ -z $earlier ]] || die "an earlier demo runs in this folder; if its terminal is gone: kill$earlier"
for folder in "$work" "$db"; do
  [[ ! -e $folder && ! -L $folder ]] || [[ -O $folder && ! -L $folder ]] ||
    die "$folder is not this account's: remove it"
done
started=1
stop_server
rm -rf "$work" "$db"
mkdir "$work"

secret="whsec_$(head -c 24 /dev/urandom | base64)"
WEBHOOK_SECRET=$secret in_background "$binaries/tidemark-receiver" 0 >"$work/webhooks" 2>"$work/receiver.log"
receiver=$!
echo "$receiver" >"$work/pids"
until_true "the receiver's port" test -s "$work/webhooks"
receiver_port=$(head -n 1 "$work/webhooks")

(
  umask 077
  cat >"$work/tidemark.yaml" <<YAML
# Written by scripts/demo.sh.

database: "host='$socket_folder' port=5432 user=tidemark dbname=tidemark"
server: { listen: "127.0.0.1:0" }
service: { drain_timeout: 5s }
# A transaction for each event, which stores the exact order of arrival. Without these two lines it is much faster.
lanes: 1
limits: { batch_events: 1 }

sources:
  - { name: file, type: files, paths: [orders.ndjson], follow: true, absent: "null" }
  - { name: http, type: http, absent: "null" }

YAML
  projections=$(sed -n '/^projections:/,$p' fixtures/demo/tidemark.yaml)
  projections=${projections//'${RECEIVER_URL}'/http://127.0.0.1:$receiver_port/}
  echo "${projections//'${WEBHOOK_SECRET}'/$secret}" >>"$work/tidemark.yaml"
)

total=$(wc -l <"$events" | tr -d ' ')
parts=6
# The first part is there before the service starts: a source whose only file is empty is not ready.
head -n "$((total / parts))" "$events" >"$work/orders.ndjson"
in_background "$binaries/tidemark" run --config "$work/tidemark.yaml" --ephemeral "$db" --log-format text \
  >"$work/service.log" 2>&1
service=$!
echo "$service" >>"$work/pids"
say service "tidemark run --config $work/tidemark.yaml \\"
say '' "  --ephemeral $db"

http() { curl -sS --fail-with-body --noproxy '*' --max-time 30 "$@"; }
is_ready() { http -o /dev/null "$address/readyz" 2>/dev/null; }
until_true "its address" is_listening
until_true "its readiness" is_ready

# --- feed

is_applied() { [[ $(query -c 'select coalesce(sum(messages), 0) from tidemark.counters') -ge $1 ]]; }

until_true "the file's messages" is_applied "$((total / parts))"
appended=$((total / parts)) sent=0
for ((part = 2; part <= parts; part++)); do
  from=$((total * (part - 1) / parts + 1))
  to=$((total * part / parts))
  if ((part % 2 == 1)); then
    sed -n "$from,${to}p" "$events" >>"$work/orders.ndjson"
    appended=$((appended + to - from + 1))
    until_true "the file's messages" is_applied "$to"
  else
    sed -n "$from,${to}p" "$events" | http -o "$work/answer" "$address/v1/sources/http/events" \
      -H 'content-type: application/x-ndjson' --data-binary @- || die "HTTP source: $(cat "$work/answer")"
    sent=$((sent + to - from + 1))
  fi
done
say fed "$total messages, out of order: $appended appended to $work/orders.ndjson,"
say '' "$sent by curl to $address/v1/sources/http/events"
until_true "the last messages" is_applied "$total"

is_delivered() {
  [[ $(query -c "select count(*) > 0 and bool_and(status = 'delivered') from tidemark.deliveries") == t ]]
}
until_true "the webhooks" is_delivered
say result "$(query -c "
  select format('%s applied, %s late, %s duplicates, %s filtered, %s dead letters', sum(applied), sum(late),
    sum(duplicate), sum(filtered), sum(dead_letters)) from tidemark.counters")"
say webhooks "$(query -c 'select count(*) from tidemark.deliveries'), one for each order that was shipped"

# --- one order

# The one with most late events among those that were shipped, and fit the screen.
order=$(query -c "
  select t.id from orders_timeline t
  join tidemark.deliveries d on d.projection = 'orders' and d.key ->> 0 = t.id::text
  group by t.id having count(*) <= 12 and bool_and(t.position is not null)
  order by count(*) filter (where t.late) desc, t.id limit 1")
[[ -n $order ]] || die "no order was shipped"

echo
psql -X -q -h "$socket_folder" -U tidemark -d tidemark -v "order=$order" -v "right=$right" -v "left=$left" \
  -v "line=$line" -v "cross=$cross" -v "bar=$bar" -v "times=$times" -v "star=$star" -f scripts/demo.sql \
  <"$events" >"$work/order.txt"
sed -e "s/^Order.*/$bold&$plain/" -e "s/late /$yellow&$plain/" -e "s/[$star]/$green&$plain/" "$work/order.txt"
awk -v order="$order" -F '  ' '
  $2 == "key " order { count++; id = $4; signature = $5 }
  END { printf "  webhook: came %s, %s,\n  %s\n", count == 1 ? "once" : count " times", signature, id }
' "$work/webhooks"

# --- three questions

# ask QUESTION COMMAND FILTER…: shows the command, runs what it shows, and prints what FILTER takes of its output.
ask() {
  local question=$1 command
  command=$(wrapped "$2")
  shift 2
  printf '\n%s\n%s%s%s\n' "$question" "$bold" "$command" "$plain"
  bash -c "$command" >"$work/answer" 2>"$work/answer.log" </dev/null || {
    cat "$work/answer.log" >&2
    die "the command has failed"
  }
  printf '  = %s\n' "$("$@" "$work/answer" | cut -c 1-76)"
}

ask "1. Where is order $order, and why? The first line of:" \
  "$binaries/tidemark show orders $order --config $work/tidemark.yaml" head -n 1

# When the last event before the milestone happened.
moment=$(query -c "
  select to_char(max(t.event_time) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') from orders_timeline t
  join orders_milestones m using (id) where id = $order and t.state <> m.state and t.event_time <
    (select event_time from orders_timeline e where e.id = $order and e.sequence = m.sequence limit 1)")
ask "2. What was its state at $moment?" \
  "psql -h $socket -U tidemark tidemark -X -At -c \"select status, note \
from orders_history where id = $order and valid_from <= '$moment' \
order by valid_from desc limit 1\"" head -n 1

ask "3. Would my own log end the same in any order of arrival? (Name it here.)" \
  "$binaries/tidemark verify orders --shuffle 5 --config $work/tidemark.yaml $events" tail -n 1

# --- the service

echo
if [[ ! -t 0 ]]; then
  echo "Standard input is no terminal, so the service ends now."
  exit 0
fi
stopped_code=0
[[ -z $given_url ]] || echo "DATABASE_URL is set and comes before the demo's configuration: unset it first."
echo "The service keeps running. In another terminal, in this folder:"
command_lines "psql -h $socket -U tidemark tidemark"
command_lines "curl -s $address/readyz"
command_lines "curl -s $address/metrics"
command_lines "tail -f $work/service.log $work/webhooks"
echo "Enter or Ctrl-C ends it."
# Older versions of bash cannot tell a time-out from the end of the input.
if ((BASH_VERSINFO[0] < 4)); then wait "$service"; fi
while alive "$service"; do
  if read -r -t 1 || (($? <= 128)); then exit 0; fi
done
die "the service has ended"
