;; A plugin that behaves, with places (⟨…⟩) to misbehave in. See component.rs.
(component
  ;; As much of the contract and of WASI as it calls.
  (import "hookbay:plugin/log@0.1.0" (instance $log
    (type $level-type (enum "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $level-type)))
    (type $field-type (record (field "name" string) (field "value" string)))
    (export "field" (type $field (eq $field-type)))
    (export "write" (func (param "level" $level) (param "message" string) (param "fields" (list $field))))))
  (import "hookbay:plugin/config@0.1.0" (instance $config
    (export "get" (func (param "key" string) (result (option string))))))
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.ready" (func (param "self" (borrow $pollable)) (result bool)))
    (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $pollable-type))
    (export "pollable" (type $pollable (eq $pollable-type)))
    (export "now" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (import "wasi:random/random@0.2.0" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))

  (core func $now (canon lower (func $clock "now")))

  (core module $Memory
    (import "host" "now" (func $now (result i64)))
    (memory (export "memory") 2)
    ;; 1 from the beginning of a hostile `handle` on.
    (global $hostile (export "hostile") (mut i32) (i32.const 0))
    ;; The first 8 KiB are for answers; a manifest of zeros has nothing in it.
    (global $free (mut i32) (i32.const 8192))
    (func (export "realloc")
      (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
      ⟨realloc⟩
      (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.get $free)
      (global.set $free (i32.add (global.get $free) (local.get $size)))))
  (core instance $memory (instantiate $Memory
    (with "host" (instance (export "now" (func $now))))))
  (alias core export $memory "memory" (core memory $bytes))
  (alias core export $memory "realloc" (core func $realloc))

  (core module $Plugin
    (import "memory" "memory" (memory 2))
    (import "memory" "hostile" (global $hostile (mut i32)))
    (import "host" "log"
      (func $log (param $level i32) (param $message i32) (param $bytes i32) (param $fields i32) (param $n_fields i32)))
    (import "host" "config" (func $config (param $key i32) (param $bytes i32) (param $answer i32)))
    (import "host" "poll" (func $poll (param $pollables i32) (param $n_pollables i32) (param $answer i32)))
    (import "host" "ready" (func $ready (param i32) (result i32)))
    (import "host" "drop" (func $drop (param i32)))
    (import "host" "now" (func $now (result i64)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (import "host" "random" (func $random (param $bytes i64) (param $answer i32)))

    (data (i32.const 3000) "ok")
    ;; At 2048 the answer: a success, its summary the two bytes at 3000.
    (data (i32.const 2056) "\b8\0b\00\00\02\00\00\00")
    ⟨definitions⟩

    (func $spin (loop $again (br $again)))
    (func $start ⟨start⟩)
    (start $start)
    (func (export "describe") (result i32)
      ⟨describe⟩
      (i32.const 1024))
    (func $misbehave (result i32)
      ⟨handle⟩
      (i32.const 2048))
    (func (export "handle") (param $event i32) (result i32)
      ;; The address of the event's body stands 76 bytes into it.
      (if (i32.eq (i32.load8_u (i32.load offset=76 (local.get $event))) (i32.const 104 (; h ;))) (then
        (global.set $hostile (i32.const 1))
        (return (call $misbehave))))
      (i32.const 2048))
    (func (export "post-return") (param i32)
      ⟨post-return⟩))
  (core func $log-write (canon lower (func $log "write") (memory $bytes)))
  (core func $config-get (canon lower (func $config "get") (memory $bytes) (realloc $realloc)))
  (core func $poll-poll (canon lower (func $poll "poll") (memory $bytes) (realloc $realloc)))
  (core func $ready (canon lower (func $poll "[method]pollable.ready")))
  (core func $drop (canon resource.drop $pollable))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $random-bytes
    (canon lower (func $random "get-random-bytes") (memory $bytes) (realloc $realloc)))
  (core instance $plugin (instantiate $Plugin
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "log" (func $log-write))
      (export "config" (func $config-get))
      (export "poll" (func $poll-poll))
      (export "ready" (func $ready))
      (export "drop" (func $drop))
      (export "now" (func $now))
      (export "subscribe" (func $subscribe))
      (export "random" (func $random-bytes))))))

  ;; The contract's types: what an export speaks of must have a name.
  (type $origin-type (variant (case "provider" string) (case "source" string)))
  (export $origin "origin" (type $origin-type))
  (type $trigger-type (record
    (field "origin" $origin) (field "kind" string) (field "ordering-key" (option string))))
  (export $trigger "trigger" (type $trigger-type))
  (type $endpoint-type (record
    (field "name" string) (field "default-origin" (option string)) (field "doc" string)))
  (export $endpoint "endpoint-want" (type $endpoint-type))
  (type $secret-type (record (field "name" string) (field "doc" string)))
  (export $secret "secret-want" (type $secret-type))
  (type $config-type (record (field "name" string) (field "required" bool) (field "doc" string)))
  (export $config-want "config-want" (type $config-type))
  (type $wants-type (record
    (field "endpoints" (list $endpoint)) (field "secrets" (list $secret)) (field "config" (list $config-want))))
  (export $wants "wants" (type $wants-type))
  (type $manifest-type (record
    (field "name" string) (field "version" string) (field "description" string)
    (field "triggers" (list $trigger)) (field "wants" $wants)))
  (export $manifest "manifest" (type $manifest-type))
  (type $header-type (record (field "name" string) (field "value" (list u8))))
  (export $header "header" (type $header-type))
  (type $event-type (record
    (field "id" string) (field "source" string) (field "provider" string) (field "kind" string)
    (field "delivery-id" (option string)) (field "received-at" u64) (field "content-type" (option string))
    (field "headers" (list $header)) (field "body" (list u8))))
  (export $event "event" (type $event-type))
  (type $run-type (record
    (field "id" string) (field "attempt" u32) (field "max-attempts" u32) (field "idempotency-key" string)))
  (export $run "run" (type $run-type))
  (type $success-type (record (field "summary" string) (field "data" (option string))))
  (export $success "success" (type $success-type))
  (type $retry-type (record (field "reason" string) (field "after-ms" (option u64))))
  (export $retry "retry" (type $retry-type))
  (type $permanent-type (record (field "reason" string)))
  (export $permanent "permanent" (type $permanent-type))
  (type $failure-type (variant (case "retry" $retry) (case "permanent" $permanent)))
  (export $failure "failure" (type $failure-type))

  (func $describe (result $manifest)
    (canon lift (core func $plugin "describe") (memory $bytes) (realloc $realloc)))
  (func $handle (param "event" $event) (param "run" $run) (result (result $success (error $failure)))
    (canon lift (core func $plugin "handle") (memory $bytes) (realloc $realloc)
      (post-return (func $plugin "post-return"))))
  (instance $handler
    (export "describe" (func $describe))
    (export "handle" (func $handle)))
  (export "hookbay:plugin/handler@0.1.0" (instance $handler)))
