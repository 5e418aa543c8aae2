-- The to-do list: of the owner as a whole, and of one session.

-- fragment: task_body
json_build_object('id', r.id, 'sessionId', r.session_id, 'roomId', r.room_id, 'title', r.title, 'description', r.description, 'status', r.status,
	'completed', r.completed, 'priority', r.priority, 'dueAt', rfc3339(r.due_at), 'position', r.position, 'createdBy', r.created_by,
	'turnId', r.turn_id, 'completedAt', rfc3339(r.completed_at), 'createdAt', rfc3339(r.created_at), 'updatedAt', rfc3339(r.updated_at),
	'version', r.version)

-- statement: tasks_list
-- kind: read
-- params: owner uuid, after int, after_id uuid, limit int, status text, session_id uuid, room_id uuid
-- result: key text, id uuid, body json
SELECT r.position::text AS key, r.id, {{task_body}} AS body
FROM tasks r
WHERE r.owner_id = $1
	AND (r.position, r.id) > (coalesce($2, -2147483648), coalesce($3, '00000000-0000-0000-0000-000000000000'::uuid))
	AND ($5 IS NULL OR r.status = $5) AND ($6::uuid IS NULL OR r.session_id = $6) AND ($7::uuid IS NULL OR r.room_id = $7)
ORDER BY r.position, r.id LIMIT $4;

-- Those without a due time come last.
-- statement: tasks_list_due
-- kind: read
-- params: owner uuid, after timestamptz, after_id uuid, limit int, status text, session_id uuid, room_id uuid
-- result: key text, id uuid, body json
SELECT coalesce(r.due_at, 'infinity')::text AS key, r.id, {{task_body}} AS body
FROM tasks r
WHERE r.owner_id = $1
	AND (coalesce(r.due_at, 'infinity'), r.id)
		> (coalesce($2, '-infinity'::timestamptz), coalesce($3, '00000000-0000-0000-0000-000000000000'::uuid))
	AND ($5 IS NULL OR r.status = $5) AND ($6::uuid IS NULL OR r.session_id = $6) AND ($7::uuid IS NULL OR r.room_id = $7)
ORDER BY coalesce(r.due_at, 'infinity'), r.id LIMIT $4;

-- statement: session_tasks_list
-- kind: read
-- params: owner uuid, parent uuid, after int, after_id uuid, limit int, status text, room_id uuid
-- result: key text, id uuid, body json
SELECT r.position::text AS key, r.id, CASE WHEN r.id IS NOT NULL THEN {{task_body}} END AS body
FROM renovation_sessions p
LEFT JOIN LATERAL (
	SELECT * FROM tasks
	WHERE owner_id = $1 AND session_id = $2
		AND (position, id) > (coalesce($3, -2147483648), coalesce($4, '00000000-0000-0000-0000-000000000000'::uuid))
		AND ($6 IS NULL OR status = $6) AND ($7::uuid IS NULL OR room_id = $7)
	ORDER BY position, id LIMIT $5
) r ON true
WHERE p.owner_id = $1 AND p.id = $2
ORDER BY r.position, r.id;

-- A task without a position goes to the end of its session's list, or of those without a session.
-- statement: tasks_create
-- kind: write
-- params: owner uuid, input jsonb, route text, idempotency_key text, request_hash bytea
-- result: outcome text, id uuid, etag text, body text
WITH {{prior}},
made AS (
	INSERT INTO tasks (owner_id, session_id, room_id, title, description, status, priority, due_at, position, completed_at)
	SELECT $1, ($2->>'sessionId')::uuid, ($2->>'roomId')::uuid, $2->>'title', $2->>'description', coalesce($2->>'status', 'open'),
		coalesce($2->>'priority', 'normal'), ($2->>'dueAt')::timestamptz,
		coalesce(($2->>'position')::int, CASE WHEN $2->>'sessionId' IS NULL
			THEN (SELECT x.position FROM tasks x WHERE x.owner_id = $1 ORDER BY x.position DESC, x.id DESC LIMIT 1)
			ELSE (SELECT x.position FROM tasks x WHERE x.owner_id = $1 AND x.session_id = ($2->>'sessionId')::uuid
				ORDER BY x.position DESC, x.id DESC LIMIT 1) END + 1, 0),
		CASE WHEN $2->>'status' = 'done' THEN now() END
	WHERE NOT EXISTS (SELECT FROM prior)
	RETURNING *
),
{{child_created: task_body}};

-- statement: tasks_read
-- kind: read
-- params: owner uuid, id uuid
-- result: etag text, body json
{{child_read: tasks, task_body}};

-- statement: tasks_update
-- kind: write
-- params: owner uuid, id uuid, input jsonb, versions int[]
-- result: is_done bool, etag text, body json
WITH present AS (SELECT id FROM tasks WHERE owner_id = $1 AND id = $2),
changed AS (
	UPDATE tasks SET
		session_id = CASE WHEN $3 ? 'sessionId' THEN ($3->>'sessionId')::uuid ELSE session_id END,
		room_id = CASE WHEN $3 ? 'roomId' THEN ($3->>'roomId')::uuid ELSE room_id END,
		title = CASE WHEN $3 ? 'title' THEN $3->>'title' ELSE title END,
		description = CASE WHEN $3 ? 'description' THEN $3->>'description' ELSE description END,
		status = CASE WHEN $3 ? 'status' THEN $3->>'status' ELSE status END,
		priority = CASE WHEN $3 ? 'priority' THEN $3->>'priority' ELSE priority END,
		due_at = CASE WHEN $3 ? 'dueAt' THEN ($3->>'dueAt')::timestamptz ELSE due_at END,
		position = CASE WHEN $3 ? 'position' THEN ($3->>'position')::int ELSE position END,
		completed_at = CASE WHEN NOT $3 ? 'status' THEN completed_at WHEN $3->>'status' = 'done' THEN coalesce(completed_at, now()) END,
		updated_at = now(), version = version + 1
	WHERE owner_id = $1 AND id = $2 AND ($4::int[] IS NULL OR version = ANY ($4))
	RETURNING *
),
{{child_updated: task_body}};

-- Completing what is done, or reopening what is open, changes nothing, not even the version.
-- statement: tasks_complete
-- kind: write
-- params: owner uuid, id uuid, versions int[]
-- result: is_done bool, etag text, body json
WITH present AS (SELECT * FROM tasks WHERE owner_id = $1 AND id = $2),
changed AS (
	UPDATE tasks SET status = 'done', completed_at = now(), updated_at = now(), version = version + 1
	WHERE owner_id = $1 AND id = $2 AND status <> 'done' AND ($3::int[] IS NULL OR version = ANY ($3))
	RETURNING *
),
touched AS (UPDATE renovation_sessions SET updated_at = now() WHERE owner_id = $1 AND id = (SELECT session_id FROM changed)),
shown AS (
	SELECT r.version::text AS etag, {{task_body}} AS body
	FROM (SELECT * FROM changed UNION ALL
		SELECT * FROM present WHERE status = 'done' AND ($3::int[] IS NULL OR version = ANY ($3))) r
)
{{updated}};

-- statement: tasks_reopen
-- kind: write
-- params: owner uuid, id uuid, versions int[]
-- result: is_done bool, etag text, body json
WITH present AS (SELECT * FROM tasks WHERE owner_id = $1 AND id = $2),
changed AS (
	UPDATE tasks SET status = 'open', completed_at = NULL, updated_at = now(), version = version + 1
	WHERE owner_id = $1 AND id = $2 AND status IN ('done', 'cancelled') AND ($3::int[] IS NULL OR version = ANY ($3))
	RETURNING *
),
touched AS (UPDATE renovation_sessions SET updated_at = now() WHERE owner_id = $1 AND id = (SELECT session_id FROM changed)),
shown AS (
	SELECT r.version::text AS etag, {{task_body}} AS body
	FROM (SELECT * FROM changed UNION ALL
		SELECT * FROM present WHERE status NOT IN ('done', 'cancelled') AND ($3::int[] IS NULL OR version = ANY ($3))) r
)
{{updated}};

-- statement: tasks_remove
-- kind: write
-- params: owner uuid, id uuid, versions int[]
-- result: is_done bool
{{child_remove: tasks}};
