//! What the hand-made components do, and what has to come of it.

use super::component::Hostile;

/// A component that loads, and how an attempt at what it does ends.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Its CPU limit.
    pub(super) cpu: &'static str,
    pub(super) hostile: Hostile,
    pub(super) outcome: &'static str,
    pub(super) message: &'static str,
    /// Whether it is so from the first instruction on, for every event.
    pub(super) always: bool,
}

const fn row(
    name: &'static str,
    hostile: Hostile,
    outcome: &'static str,
    message: &'static str,
) -> Row {
    Row {
        name,
        cpu: "100ms",
        hostile,
        outcome,
        message,
        always: false,
    }
}

/// Nothing but what `handle` does.
const fn handle(instructions: &'static str) -> Hostile {
    Hostile {
        handle: instructions,
        ..NOTHING
    }
}

const NOTHING: Hostile = Hostile {
    definitions: "",
    start: "",
    describe: "",
    handle: "",
    realloc: "",
    post_return: "",
};

/// Everything that takes time or memory.
#[expect(clippy::too_many_lines, reason = "a table of components")]
pub(super) fn greedy() -> Vec<Row> {
    vec![
        row("spin", handle("(call $spin)"), "cpu", "100ms of CPU time"),
        Row {
            always: true,
            ..row(
                "spin-at-start",
                // While it describes itself, time stands at 0.
                Hostile {
                    start: "(if (i64.ne (call $now) (i64.const 0)) (then (call $spin)))",
                    ..NOTHING
                },
                "cpu",
                "100ms of CPU time",
            )
        },
        row(
            "spin-in-realloc",
            Hostile {
                realloc: "(if (i32.eq (local.get $size) (i32.const 4099)) (then (loop $again (br $again))))",
                ..NOTHING
            },
            "cpu",
            "100ms of CPU time",
        ),
        row(
            "spin-in-post-return",
            Hostile {
                post_return: "(if (global.get $hostile) (then (call $spin)))",
                ..NOTHING
            },
            "cpu",
            "100ms of CPU time",
        ),
        row(
            "random-flood",
            Hostile {
                handle: "(loop $again (call $random (i64.const 65536) (i32.const 4096)) (br $again))",
                realloc: "(if (global.get $hostile) (then (return (i32.const 8192))))",
                ..NOTHING
            },
            "cpu",
            "100ms of CPU time",
        ),
        row(
            "one-memory",
            handle(
                "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
                 unreachable",
            ),
            "memory",
            "16 MiB",
        ),
        row(
            "many-memories",
            Hostile {
                definitions: "(memory $b 1) (memory $c 1)",
                // 6 MiB each: only the third is over the sum.
                handle: "(drop (memory.grow (i32.const 96)))
                         (if (i32.eq (memory.grow $b (i32.const 96)) (i32.const -1)) (then (return (i32.const 2048))))
                         (if (i32.eq (memory.grow $c (i32.const 96)) (i32.const -1)) (then unreachable))",
                ..NOTHING
            },
            "memory",
            "16 MiB",
        ),
        row(
            "table",
            Hostile {
                definitions: "(table $t 1 funcref)",
                handle: "(loop $again (br_if $again
                           (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))
                         unreachable",
                ..NOTHING
            },
            "memory",
            "20000 elements",
        ),
        row(
            "recursion",
            Hostile {
                definitions: "(func $deeper (call $deeper) (call $deeper))",
                handle: "(call $deeper)",
                ..NOTHING
            },
            "trap",
            "stack",
        ),
    ]
}

/// Everything that asks too much of the host, or nonsense.
#[expect(clippy::too_many_lines, reason = "a table of components")]
pub(super) fn demanding() -> Vec<Row> {
    let patient = |row: Row| Row { cpu: "30s", ..row };
    vec![
        row(
            "message-of-4-gib",
            handle("(call $log (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 0))"),
            "trap",
            "out of bounds",
        ),
        row(
            "fields-100000",
            handle(
                "(drop (memory.grow (i32.const 32)))
                 (call $log (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 16384) (i32.const 100000))",
            ),
            "output",
            "4 MiB",
        ),
        row(
            "fields-50000",
            handle(
                "(drop (memory.grow (i32.const 32)))
                 (call $log (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 131072) (i32.const 50000))",
            ),
            "output",
            "the log",
        ),
        patient(row(
            "handle-leak",
            handle("(loop $again (drop (call $subscribe (i64.const 1000000000))) (br $again))"),
            "calls",
            "1000 resources",
        )),
        patient(row(
            "pollables-100000",
            handle(
                "(local $handle i32) (local $at i32)
                 (local.set $handle (call $subscribe (i64.const 0)))
                 (drop (memory.grow (i32.const 16)))
                 (local.set $at (i32.const 131072))
                 (loop $again
                   (i32.store (local.get $at) (local.get $handle))
                   (local.set $at (i32.add (local.get $at) (i32.const 4)))
                   (br_if $again (i32.lt_u (local.get $at) (i32.const 531072))))
                 (call $poll (i32.const 131072) (i32.const 100000) (i32.const 4096))",
            ),
            "calls",
            "1000 resources",
        )),
        patient(row(
            "poll-flood",
            handle(
                "(local $handle i32)
                 (local.set $handle (call $subscribe (i64.const 0)))
                 (loop $again (drop (call $ready (local.get $handle))) (br $again))",
            ),
            "calls",
            "10000 calls",
        )),
        patient(row(
            "clock-flood",
            handle("(loop $again (drop (call $now)) (br $again))"),
            "calls",
            "looks at a clock",
        )),
        row(
            "dropped-twice",
            handle(
                "(local $handle i32)
                 (local.set $handle (call $subscribe (i64.const 0)))
                 (call $drop (local.get $handle)) (call $drop (local.get $handle))",
            ),
            "trap",
            "handle",
        ),
        row(
            "random-bytes-without-end",
            handle("(call $random (i64.const 0x7fffffffffffffff) (i32.const 4096))"),
            "trap",
            "exceeds limit 65536",
        ),
        row(
            "room-refused",
            Hostile {
                handle: "(call $config (i32.const 3000) (i32.const 2) (i32.const 4096))",
                realloc: "(if (global.get $hostile) (then unreachable))",
                ..NOTHING
            },
            "trap",
            "unreachable",
        ),
        row(
            "room-outside",
            Hostile {
                handle: "(call $config (i32.const 3000) (i32.const 2) (i32.const 4096))",
                realloc: "(if (global.get $hostile) (then (return (i32.const -16))))",
                ..NOTHING
            },
            "trap",
            "realloc",
        ),
        row(
            "call-from-realloc",
            Hostile {
                handle: "(call $config (i32.const 3000) (i32.const 2) (i32.const 4096))",
                realloc: "(if (global.get $hostile) (then (drop (call $now))))",
                ..NOTHING
            },
            "trap",
            "cannot leave",
        ),
        row(
            "answer-outside",
            handle("(return (i32.const -8))"),
            "trap",
            "out of bounds",
        ),
        row(
            "answer-of-no-kind",
            handle("(i32.store8 (i32.const 2048) (i32.const 7))"),
            "trap",
            "discriminant",
        ),
        row(
            "summary-of-2-gib",
            handle("(i32.store (i32.const 2060) (i32.const 0x7fffffff))"),
            "trap",
            "out of bounds",
        ),
        row(
            "summary-of-5-mib",
            handle(
                "(drop (memory.grow (i32.const 100)))
                 (i32.store (i32.const 2060) (i32.const 0x500000))",
            ),
            "output",
            "4 MiB",
        ),
        row(
            "summary-no-text",
            handle("(i32.store16 (i32.const 3000) (i32.const 0xfffe))"),
            "trap",
            "utf-8",
        ),
    ]
}

/// Components that are never loaded, and why.
#[expect(clippy::too_many_lines, reason = "a table of components")]
pub(super) fn unloadable() -> Vec<(&'static str, Hostile, &'static str)> {
    let describe = |instructions| Hostile {
        describe: instructions,
        ..NOTHING
    };
    vec![
        ("describe-spins", describe("(call $spin)"), "1s of CPU time"),
        ("describe-traps", describe("unreachable"), "unreachable"),
        (
            "describe-calls",
            describe("(call $config (i32.const 0) (i32.const 0) (i32.const 4096))"),
            "may call nothing",
        ),
        (
            "describe-grows",
            describe(
                "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
                 unreachable",
            ),
            "of memory was refused",
        ),
        (
            "manifest-outside",
            describe("(return (i32.const -4))"),
            "out of bounds",
        ),
        (
            "manifest-astray",
            describe("(return (i32.const 1025))"),
            "aligned",
        ),
        (
            "triggers-of-2-gib",
            describe("(i32.store (i32.const 1052) (i32.const 0x80000000))"),
            "out of bounds",
        ),
        (
            "triggers-3000",
            describe(
                "(drop (memory.grow (i32.const 32)))
                 (i32.store (i32.const 1048) (i32.const 131072))
                 (i32.store (i32.const 1052) (i32.const 3000))",
            ),
            "a list of triggers",
        ),
        (
            "start-traps",
            Hostile {
                start: "unreachable",
                ..NOTHING
            },
            "unreachable",
        ),
        (
            "four-memories",
            Hostile {
                definitions: "(memory $b 1) (memory $c 1) (memory $d 1)",
                ..NOTHING
            },
            "memories",
        ),
        (
            "memory-of-1-gib",
            Hostile {
                definitions: "(memory $b 16384)",
                ..NOTHING
            },
            "1073741824",
        ),
        (
            "table-of-30000",
            Hostile {
                definitions: "(table $t 30000 funcref)",
                ..NOTHING
            },
            "30000",
        ),
        (
            "memories-over-the-sum",
            Hostile {
                // 24 MiB each; a plugin here may have 64 MiB.
                definitions: "(memory $b 400) (memory $c 400) (memory $d 400)",
                ..NOTHING
            },
            "memor",
        ),
    ]
}
