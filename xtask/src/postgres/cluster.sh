# The life of a throw-away PostgreSQL cluster, from initdb to the removal of its directory.
#
# Run by `sh -c` as the user whom the cluster belongs to. $1 is the folder of the server's
# programs, $2 where to make the cluster's directory, $3 the settings, one a line.
#
# Standard input is the lifeline: the superuser's name and password, then one command a line.
# It ends however the process at its other end ends, SIGKILL included, and the cluster ends
# with it; signals to a whole process group or terminal must not come before.
trap '' HUP INT PIPE TERM
umask 077
cd /
bin=$1 settings=$3
read -r user password || exit

folder=$(mktemp -d "$2/hookbay-postgres.XXXXXX" 2>/dev/null) ||
    folder=$(mktemp -d /tmp/hookbay-postgres.XXXXXX) || exit
data=$folder/data
setup() {
    printf '%s\n' "$password" >"$folder/password" &&
        "$bin/initdb" --pgdata="$data" --username="$user" --pwfile="$folder/password" \
            --auth=scram-sha-256 --locale=C --encoding=UTF8 --no-sync &&
        rm "$folder/password" &&
        printf '%s\n' "$settings" "unix_socket_directories = '$folder'" \
            >>"$data/postgresql.conf"
}
control() {
    "$bin/pg_ctl" "$@" --pgdata="$data" --wait --timeout=60
}
answer() {
    if "$@" >>"$folder/setup.log" 2>&1; then echo done; else echo failed; fi
}

echo "$folder"
answer setup
while read -r word port; do
    case $word in
    start) answer control start --log="$folder/server.log" --options="-p $port" ;;
    restart) answer control restart --mode=immediate --log="$folder/server.log" ;;
    esac
done

# Whoever asked may be gone, so what goes wrong from here on has no reader.
control stop --mode=immediate >/dev/null 2>&1
rm -rf "$folder"
