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
# $1 is a directory of data.
control() {
    of=$1
    shift
    "$bin/pg_ctl" "$@" --pgdata="$of" --wait --timeout=60
}
start() {
    control "$1" start --log="$folder/server.log" --options="-p $2"
}
# A copy that follows the server at port $1, and listens at port $2.
follow() {
    copies=$((copies + 1))
    standby=$folder/standby-$copies
    "$bin/pg_basebackup" --pgdata="$standby" --checkpoint=fast --write-recovery-conf \
        --dbname="host=127.0.0.1 port=$1 user=$user password=$password" &&
        start "$standby" "$2"
}
# The server is gone at once; the copy is what there is, at port $1.
take_over() {
    control "$data" stop --mode=immediate
    control "$standby" stop --mode=fast
    data=$standby
    start "$data" "$1" && control "$data" promote
}
answer() {
    if "$@" >>"$folder/setup.log" 2>&1; then echo done; else echo failed; fi
}

echo "$folder"
answer setup
copies=0
standby=
while read -r word port other; do
    case $word in
    start) answer start "$data" "$port" ;;
    restart) answer control "$data" restart --mode=immediate --log="$folder/server.log" ;;
    follow) answer follow "$port" "$other" ;;
    stop-following) answer control "$standby" stop --mode=fast ;;
    take-over) answer take_over "$port" ;;
    esac
done

# Whoever asked may be gone, so what goes wrong from here on has no reader.
for each in "$data" $standby; do
    control "$each" stop --mode=immediate >/dev/null 2>&1
done
rm -rf "$folder"
