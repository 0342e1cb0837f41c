# The life of a throw-away PgBouncer, from its configuration to the removal of its directory.
#
# Run by `sh -c` as a user that is not root. $1 is the program, $2 where to make the pooler's
# directory, $3 the configuration. Standard input is the lifeline, as in cluster.sh; its one
# line names the user whom the pooler lets in, and logs in as, with the password.
trap '' HUP INT PIPE TERM
umask 077
cd /
read -r user password || exit

folder=$(mktemp -d "$2/hookbay-pgbouncer.XXXXXX" 2>/dev/null) ||
    folder=$(mktemp -d /tmp/hookbay-pgbouncer.XXXXXX) || exit
printf '"%s" "%s"\n' "$user" "$password" >"$folder/users.txt"
printf '%s\nauth_file = %s/users.txt\n' "$3" "$folder" >"$folder/pgbouncer.ini"
"$1" "$folder/pgbouncer.ini" </dev/null >>"$folder/pgbouncer.log" 2>&1 &
process=$!
echo "$folder"

while read -r _; do :; done

# Newer versions take SIGTERM as a wish to wait for every client. The shell would report how
# it ended.
{
    kill -KILL "$process"
    wait "$process"
} 2>/dev/null
rm -rf "$folder"
