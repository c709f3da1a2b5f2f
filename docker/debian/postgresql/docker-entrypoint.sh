#!/bin/bash
# Initialises the data directory if it is empty, and starts the server.
# Its variables and files are those that the official PostgreSQL image documents.
set -Eeuo pipefail
shopt -s nullglob

say() { printf 'entrypoint: %s\n' "$*" >&2; }
die() {
  say "$*"
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

as_postgres() { # COMMAND...
  mkdir -p "$PGDATA" /var/run/postgresql
  chown -R postgres:postgres "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
}

require_password() {
  [ -n "$POSTGRES_PASSWORD" ] || [ "${POSTGRES_HOST_AUTH_METHOD:-}" = trust ] || die \
    "The database is not initialised and no superuser password is given. Set POSTGRES_PASSWORD to one that is not empty," \
    "or POSTGRES_HOST_AUTH_METHOD=trust to let everyone in without."
}

initialise() {
  local arguments=()
  eval "arguments=(${POSTGRES_INITDB_ARGS:-})" # the words may be quoted, as on a command line
  [ -z "${POSTGRES_INITDB_WALDIR:-}" ] || arguments+=(--waldir "$POSTGRES_INITDB_WALDIR")
  initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${arguments[@]}"
  printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-$(postgres -D "$PGDATA" -C password_encryption)}" \
    >>"$PGDATA/pg_hba.conf"
}

psql_here() { PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc "$@"; }

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
  for file in /docker-entrypoint-initdb.d/*; do
    say "running $file"
    case "$file" in
      *.sh) run_shell "$file" ;;
      *.sql) psql_here --dbname "$POSTGRES_DB" <"$file" ;;
      *.sql.gz) gunzip -c "$file" | psql_here --dbname "$POSTGRES_DB" ;;
      *.sql.xz) xzcat "$file" | psql_here --dbname "$POSTGRES_DB" ;;
      *) say "$file is neither .sh nor .sql: ignored" ;;
    esac
  done
}

populate() { # SERVER ARGUMENTS...
  export PGPASSWORD=${PGPASSWORD-$POSTGRES_PASSWORD}
  pg_ctl -D "$PGDATA" -o "$(printf '%q ' "$@" -c listen_addresses= -p "${PGPORT:-5432}")" -w start
  [ "$POSTGRES_DB" = postgres ] ||
    psql_here --dbname postgres -v name="$POSTGRES_DB" <<<'CREATE DATABASE :"name";'
  run_scripts
  pg_ctl -D "$PGDATA" -m fast -w stop
  unset PGPASSWORD
}

case "${1:-}" in
  '' | -*) set -- postgres "$@" ;;
esac
[ "$1" = postgres ] || exec "$@"
for argument in "$@"; do
  case "$argument" in -\? | --help | --describe-config | -V | --version) exec "$@" ;; esac
done
[ "$(id -u)" != 0 ] || as_postgres "$@"

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  from_file POSTGRES_PASSWORD ''
  from_file POSTGRES_USER postgres
  from_file POSTGRES_DB "$POSTGRES_USER"
  from_file POSTGRES_INITDB_ARGS ''
  require_password
  mkdir -p "$PGDATA"
  initialise
  populate "${@:2}"
  say 'PostgreSQL init process complete; ready for start up.'
fi
exec "$@"
