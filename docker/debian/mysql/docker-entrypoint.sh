#!/bin/bash
# Initialises the data directory if it is empty, and starts the server.
# Its variables and files are those that the official MySQL image documents; time zone names are not loaded.
set -Eeuo pipefail
shopt -s nullglob

say() { printf '%s [Note] [Entrypoint]: %s\n' "$(date --iso-8601=seconds)" "$*"; }
die() {
  printf '%s [ERROR] [Entrypoint]: %s\n' "$(date --iso-8601=seconds)" "$*" >&2
  exit 1
}

# Prints $NAME, or the content of the file that $NAME_FILE names.
from_file() { # NAME DEFAULT
  local file=$1_FILE
  [ -z "${!1:-}" ] || [ -z "${!file:-}" ] || die "Both $1 and $file are set; set one of them."
  if [ -n "${!file:-}" ]; then
    export "$1=$(<"${!file}")"
  else
    export "$1=${!1:-$2}"
  fi
  unset "$file"
}

# Prints the value of a setting that the server reads from its options and files.
setting() { # NAME SERVER...
  "${@:2}" --verbose --help --log-bin-index=/nonexistent/index 2>/dev/null | sed -n "s/^$1 \+//p"
}

as_mysql() { # SERVER...
  local data
  data=$(setting datadir "$@")
  mkdir -p "$data" /var/run/mysqld
  chown -R mysql:mysql "$data" /var/run/mysqld
  exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" "$@"
}

require_password() {
  [ -n "$MYSQL_ROOT_PASSWORD$MYSQL_ALLOW_EMPTY_PASSWORD$MYSQL_RANDOM_ROOT_PASSWORD" ] || die \
    "The database is not initialised and no root password is given. Set one of MYSQL_ROOT_PASSWORD," \
    "MYSQL_ALLOW_EMPTY_PASSWORD and MYSQL_RANDOM_ROOT_PASSWORD."
  [ "$MYSQL_USER" != root ] || die "MYSQL_USER is for an ordinary user; root is set by MYSQL_ROOT_PASSWORD."
  if [ -n "$MYSQL_RANDOM_ROOT_PASSWORD" ]; then
    MYSQL_ROOT_PASSWORD=$(openssl rand -base64 24)
    say "GENERATED ROOT PASSWORD: $MYSQL_ROOT_PASSWORD"
  fi
}

# Prints a string literal that is valid in every SQL mode at the start of a server.
quoted() { printf "'%s'" "$(sed -e 's/\\/\\\\/g' -e "s/'/''/g" <<<"$1")"; }

mysql_here() { MYSQL_PWD=$ROOT mysql --no-defaults --protocol=socket --socket="$socket" --user=root --comments "$@"; }

accounts() {
  local password
  password=$(quoted "$MYSQL_ROOT_PASSWORD")
  echo "ALTER USER root@localhost IDENTIFIED BY $password;"
  if [ "$MYSQL_ROOT_HOST" != localhost ]; then
    echo "CREATE USER root@$(quoted "$MYSQL_ROOT_HOST") IDENTIFIED BY $password;"
    echo "GRANT ALL ON *.* TO root@$(quoted "$MYSQL_ROOT_HOST") WITH GRANT OPTION;"
  fi
  [ -z "$MYSQL_DATABASE" ] || echo "CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;"
  [ -n "$MYSQL_USER" ] && [ -n "$MYSQL_PASSWORD" ] || return 0
  echo "CREATE USER $(quoted "$MYSQL_USER")@'%' IDENTIFIED BY $(quoted "$MYSQL_PASSWORD");"
  # An underscore in a grant stands for any character unless it is escaped.
  [ -z "$MYSQL_DATABASE" ] || echo "GRANT ALL ON \`${MYSQL_DATABASE//_/\\_}\`.* TO $(quoted "$MYSQL_USER")@'%';"
}

# A script that is not executable is sourced, and may change this shell's variables.
run_shell() { # FILE
  if [ -x "$1" ]; then
    "$1"
  else
    # shellcheck source=/dev/null # mounted at run time
    . "$1"
  fi
}

# Scripts run in the order of their names, against a server that accepts no other connections.
run_scripts() {
  local file
  local -a database=()
  [ -z "$MYSQL_DATABASE" ] || database=("--database=$MYSQL_DATABASE")
  for file in /docker-entrypoint-initdb.d/*; do
    say "running $file"
    case "$file" in
      *.sh) run_shell "$file" ;;
      *.sql) mysql_here "${database[@]}" <"$file" ;;
      *.sql.gz) gunzip -c "$file" | mysql_here "${database[@]}" ;;
      *.sql.xz) xzcat "$file" | mysql_here "${database[@]}" ;;
      *) say "$file is neither .sh nor .sql: ignored" ;;
    esac
  done
}

populate() { # SERVER...
  local server
  say 'Starting temporary server'
  "$@" --skip-networking --socket="$socket" &
  server=$!
  ROOT=''
  until mysql_here --execute='DO 0' 2>/dev/null; do
    kill -0 "$server" 2>/dev/null || die "The temporary server ended (see above)."
    [ "$SECONDS" -lt 120 ] || die "The temporary server did not answer within two minutes."
    sleep 0.1
  done
  say 'Temporary server started.'
  accounts | mysql_here mysql
  ROOT=$MYSQL_ROOT_PASSWORD
  run_scripts
  [ -z "${MYSQL_ONETIME_PASSWORD:-}" ] || mysql_here --execute="ALTER USER root@$(quoted "$MYSQL_ROOT_HOST") PASSWORD EXPIRE"
  say 'Stopping temporary server'
  kill "$server"
  wait "$server" || die "The temporary server did not stop cleanly (see above)."
}

case "${1:-}" in
  '' | -*) set -- mysqld "$@" ;;
esac
[ "$1" = mysqld ] || exec "$@"
for argument in "$@"; do
  case "$argument" in -\? | --help | --print-defaults | -V | --version) exec "$@" ;; esac
done
[ "$(id -u)" != 0 ] || as_mysql "$@"

data=$(setting datadir "$@")
if [ ! -d "$data/mysql" ]; then
  for name in MYSQL_DATABASE MYSQL_USER MYSQL_PASSWORD MYSQL_ROOT_PASSWORD MYSQL_ALLOW_EMPTY_PASSWORD MYSQL_RANDOM_ROOT_PASSWORD; do
    from_file "$name" ''
  done
  from_file MYSQL_ROOT_HOST %
  require_password
  socket=$(setting socket "$@")
  say 'Initializing database files'
  "$@" --initialize-insecure
  populate "$@"
  say 'MySQL init process done. Ready for start up.'
fi
exec "$@"
