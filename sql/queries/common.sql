-- Words shared by the statements of the API's resources.
--
-- A create has the parameters $1 owner, $2 input, $3 route, $4 idempotency_key, $5 request_hash first, and is written as
--   WITH {{prior}}, made AS (INSERT … SELECT … WHERE NOT EXISTS (SELECT FROM prior) RETURNING *), shown AS (SELECT id, etag, body FROM made …), {{kept}}
-- so that effect and record are one statement: a repeated key finds the first answer and does nothing; of two at once the second is undone by
-- the primary key of idempotency_keys and finds the answer when it is run again. Without a key nothing is looked up or kept.

-- fragment: prior
prior AS (
	SELECT request_hash, headers, body FROM idempotency_keys WHERE owner_id = $1 AND route = $3 AND key = $4
)

-- fragment: kept
kept AS (
	INSERT INTO idempotency_keys (owner_id, route, key, request_hash, status, headers, body)
	SELECT $1, $3, $4, $5, 201, jsonb_build_object('id', id, 'etag', etag), body::text FROM shown WHERE $4 IS NOT NULL
)
SELECT 'created' AS outcome, id, etag, body::text AS body FROM shown
UNION ALL
SELECT CASE WHEN request_hash = $5 THEN 'replayed' ELSE 'reused' END, (headers->>'id')::uuid, headers->>'etag', body FROM prior

-- Each change of what belongs to a session touches it: the list of sessions is ordered by the last change of any of it.
--
-- An update has a CTE `changed` (the row after it) and ends with this: one row when the row exists, is_done false when If-Match did not fit.
-- fragment: updated
SELECT true AS is_done, etag, body FROM shown
UNION ALL
SELECT false, NULL, NULL FROM present WHERE NOT EXISTS (SELECT FROM shown)

-- fragment: removed
SELECT EXISTS (SELECT FROM gone) AS is_done FROM present

-- What belongs to a session (rooms, products, contractors, tasks) is kept in tables of one form. The frames below take the table and the fragment
-- that shows a row `r` of it; a create or update writes its CTE `made` or `changed` itself, because there the columns are named.

-- fragment: child_newest_first
SELECT '' AS key, r.id, CASE WHEN r.id IS NOT NULL THEN {{{{2}}}} END AS body
FROM renovation_sessions p
LEFT JOIN LATERAL (
	SELECT * FROM {{1}}
	WHERE owner_id = $1 AND session_id = $2
		AND id < coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
		AND ($5 IS NULL OR status = $5) AND ($6::uuid IS NULL OR room_id = $6)
	ORDER BY id DESC LIMIT $4
) r ON true
WHERE p.owner_id = $1 AND p.id = $2
ORDER BY r.id DESC

-- fragment: child_created
touched AS (UPDATE renovation_sessions SET updated_at = now() WHERE owner_id = $1 AND id = (SELECT session_id FROM made)),
shown AS (SELECT r.id, r.version::text AS etag, {{{{1}}}} AS body FROM made r),
{{kept}}

-- fragment: child_read
SELECT r.version::text AS etag, {{{{2}}}} AS body FROM {{1}} r WHERE r.owner_id = $1 AND r.id = $2

-- fragment: child_updated
touched AS (UPDATE renovation_sessions SET updated_at = now() WHERE owner_id = $1 AND id = (SELECT session_id FROM changed)),
shown AS (SELECT r.version::text AS etag, {{{{1}}}} AS body FROM changed r)
{{updated}}

-- fragment: child_remove
WITH present AS (SELECT id FROM {{1}} WHERE owner_id = $1 AND id = $2),
gone AS (DELETE FROM {{1}} WHERE owner_id = $1 AND id = $2 AND ($3::int[] IS NULL OR version = ANY ($3)) RETURNING session_id),
touched AS (UPDATE renovation_sessions SET updated_at = now() WHERE owner_id = $1 AND id = (SELECT session_id FROM gone))
{{removed}}
