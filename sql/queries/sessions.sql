-- Renovation sessions. `shown` is the row and what it shows of others: its default conversation and counts. These and updated_at (also the time of the
-- last change of what belongs to the session) change without the version, so they are part of its tag, once they differ from those of a new session.

-- fragment: session_body
json_build_object('id', s.id, 'title', s.title, 'phase', s.phase, 'totalBudget', s.total_budget::text, 'currency', s.currency, 'address', s.address,
	'summary', s.summary, 'plan', s.plan, 'userId', NULL, 'conversationId', s.conversation_id, 'rooms', s.rooms, 'tasks', s.tasks,
	'openTasks', s.open_tasks, 'createdAt', rfc3339(s.created_at), 'updatedAt', rfc3339(s.updated_at), 'version', s.version)

-- fragment: session_etag
CASE WHEN s.updated_at = s.created_at AND s.rooms + s.tasks = 0 THEN s.version::text
	ELSE concat(s.version, '-', (extract(epoch FROM s.updated_at) * 1000000)::bigint, '.', s.rooms, '.', s.tasks, '.', s.open_tasks) END

-- fragment: session_extras
(SELECT c.id FROM conversations c WHERE c.owner_id = $1 AND c.session_id = r.id AND c.is_default) AS conversation_id,
o.rooms, t.tasks, t.open_tasks

-- fragment: session_counts
CROSS JOIN LATERAL (SELECT count(*) AS tasks, count(*) FILTER (WHERE x.status IN ('open', 'in_progress')) AS open_tasks
	FROM tasks x WHERE x.owner_id = $1 AND x.session_id = r.id) t
CROSS JOIN LATERAL (SELECT count(*) AS rooms FROM renovation_rooms x WHERE x.owner_id = $1 AND x.session_id = r.id) o

-- statement: sessions_list
-- kind: read
-- params: owner uuid, after timestamptz, after_id uuid, limit int
-- result: key text, id uuid, body json
SELECT s.updated_at::text AS key, s.id, {{session_body}} AS body
FROM (
	SELECT r.*, {{session_extras}} FROM (
		SELECT * FROM renovation_sessions
		WHERE owner_id = $1
			AND (updated_at, id) < (coalesce($2, 'infinity'::timestamptz), coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
		ORDER BY updated_at DESC, id DESC LIMIT $4
	) r {{session_counts}}
) s
ORDER BY s.updated_at DESC, s.id DESC;

-- statement: sessions_create
-- kind: write
-- params: owner uuid, input jsonb, route text, idempotency_key text, request_hash bytea
-- result: outcome text, id uuid, etag text, body text
WITH {{prior}},
made AS (
	INSERT INTO renovation_sessions (owner_id, title, total_budget, currency, address)
	SELECT $1, $2->>'title', ($2->>'totalBudget')::numeric, coalesce($2->>'currency', 'USD'), nullif($2->'address', 'null')
	WHERE NOT EXISTS (SELECT FROM prior)
	RETURNING *
),
talk AS (
	INSERT INTO conversations (owner_id, session_id, title, is_default) SELECT owner_id, id, title, true FROM made RETURNING id
),
shown AS (
	SELECT s.id, {{session_etag}} AS etag, {{session_body}} AS body
	FROM (SELECT made.*, talk.id AS conversation_id, 0 AS rooms, 0 AS tasks, 0 AS open_tasks FROM made, talk) s
),
{{kept}};

-- statement: sessions_read
-- kind: read
-- params: owner uuid, id uuid
-- result: etag text, body json
SELECT {{session_etag}} AS etag, {{session_body}} AS body
FROM (SELECT r.*, {{session_extras}} FROM renovation_sessions r {{session_counts}} WHERE r.owner_id = $1 AND r.id = $2) s;

-- statement: sessions_update
-- kind: write
-- params: owner uuid, id uuid, input jsonb, versions int[]
-- result: is_done bool, etag text, body json
WITH present AS (SELECT id FROM renovation_sessions WHERE owner_id = $1 AND id = $2),
changed AS (
	UPDATE renovation_sessions SET
		title = CASE WHEN $3 ? 'title' THEN $3->>'title' ELSE title END,
		total_budget = CASE WHEN $3 ? 'totalBudget' THEN ($3->>'totalBudget')::numeric ELSE total_budget END,
		currency = CASE WHEN $3 ? 'currency' THEN $3->>'currency' ELSE currency END,
		address = CASE WHEN $3 ? 'address' THEN nullif($3->'address', 'null') ELSE address END,
		updated_at = now(), version = version + 1
	WHERE owner_id = $1 AND id = $2 AND ($4::int[] IS NULL OR version = ANY ($4))
	RETURNING *
),
shown AS (
	SELECT {{session_etag}} AS etag, {{session_body}} AS body FROM (SELECT r.*, {{session_extras}} FROM changed r {{session_counts}}) s
)
{{updated}};

-- statement: sessions_remove
-- kind: write
-- params: owner uuid, id uuid, versions int[]
-- result: is_done bool
WITH present AS (SELECT id FROM renovation_sessions WHERE owner_id = $1 AND id = $2),
gone AS (DELETE FROM renovation_sessions WHERE owner_id = $1 AND id = $2 AND ($3::int[] IS NULL OR version = ANY ($3)) RETURNING id)
{{removed}};
