# SQLite without the host, through Python's own driver.
#
# "sql FILE": runs the statement on standard input in one transaction, prints its rows.
# "limit FILE BYTES SECONDS": inserts rows of random bytes, 50 a transaction, with the
# host's durability; prints the rows per second.
import os, sqlite3, sys, time

what, file = sys.argv[1:3]
db = sqlite3.connect(file, isolation_level=None)
db.execute("pragma journal_mode = wal")
if what == "sql":
    db.execute("pragma synchronous = normal")
    db.execute("pragma cache_size = -262144")
    event_id = lambda first, n: first[:6] + b"\x70\x00\x80" + n.to_bytes(7, "big")
    event_at = lambda _, ms, n: ms.to_bytes(6, "big") + b"\x70\x00\x80" + n.to_bytes(7, "big")
    db.create_function("bench_at", 3, event_at, deterministic=True)
    db.create_function("bench_id", 2, event_id, deterministic=True)
    db.execute("begin")
    for row in db.execute(sys.stdin.read()):
        print("|".join(str(value) for value in row))
    db.execute("commit")
    db.execute("pragma wal_checkpoint(truncate)")
else:
    size, seconds = int(sys.argv[3]), float(sys.argv[4])
    db.execute("pragma synchronous = full")
    db.execute("create table bare (id integer primary key, body blob not null) strict")
    bodies = [(os.urandom(size),) for _ in range(500)]
    started, rows = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        at = rows % len(bodies)
        db.execute("begin immediate")
        db.executemany("insert into bare (body) values (?)", bodies[at : at + 50])
        db.execute("commit")
        rows += 50
    print(rows / (time.monotonic() - started))
db.close()
