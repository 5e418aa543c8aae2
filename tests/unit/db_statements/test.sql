-- Statements of the database tests: the database code is compiled once more with these instead of the real ones.

-- statement: echo
-- kind: read
-- params: n int
-- result: n int
SELECT $1;

-- statement: divide
-- kind: read
-- params: by int
-- result: n int
SELECT 100 / $1;

-- statement: missing_table
-- kind: read
-- result: n int
SELECT n FROM nowhere;

-- statement: hold
-- kind: read
-- params: lock int
-- result: held text
SELECT pg_advisory_xact_lock_shared($1)::text;

-- statement: types
-- kind: read
-- params: a int, b bigint, c bool, d text, e json, f uuid, g jsonb
-- result: a int, b bigint, c bool, d text, e json, f uuid, g jsonb
SELECT $1, $2, $3, $4, $5, $6, $7;

-- statement: types_with_bytes
-- kind: read
-- params: a int, b bigint, c bool, d text, e json, f uuid, g jsonb, h bytea
-- result: a int, b bigint, c bool, d text, e json, f uuid, g jsonb, h bytea
SELECT $1, $2, $3, $4, $5, $6, $7, $8;

-- statement: backend
-- kind: read
-- result: pid int
SELECT pg_backend_pid();

-- statement: end_own_backend
-- kind: read
-- result: is_done bool
SELECT pg_terminate_backend(pg_backend_pid());

-- statement: put
-- kind: write
-- params: id int, n int
-- result: n int
INSERT INTO test_rows (id, n) VALUES ($1, $2) RETURNING n;

-- statement: put_child
-- kind: write
-- params: parent int
INSERT INTO test_children (parent) VALUES ($1);

-- statement: lock
-- kind: write
-- params: id int
-- result: n int
SELECT n FROM test_rows WHERE id = $1 FOR UPDATE;

-- statement: set_from
-- kind: write
-- params: id int, delta int
-- result: n int
UPDATE test_rows SET n = (SELECT n FROM test_rows WHERE id = $1) + $2 WHERE id = $1 RETURNING n;

-- statement: hold_then_put
-- kind: write
-- params: id int, lock int
INSERT INTO test_rows (id, n) SELECT $1, length(pg_advisory_xact_lock_shared($2)::text);

-- statement: wake
-- kind: write
-- params: payload text
SELECT pg_notify('renovationd', $1)::text;
