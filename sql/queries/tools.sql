-- Tools: each one statement that has its effect, stores its result and marks the call, all or nothing. Before it, in the same transaction,
-- tool_lock, so that it sees who holds the turn now. A call that is not pending any more has no effect and gives its stored result.
-- Results are objects without members `output` and `error`, except for a failed call: {"error": "..."}.

-- statement: tool_lock
-- kind: write
-- params: owner uuid, turn uuid
-- result: id uuid
SELECT id FROM turns WHERE owner_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- statement: tool_lock_session
-- kind: write
-- params: owner uuid, turn uuid
-- result: id uuid
SELECT s.id FROM turns t JOIN conversations c ON c.owner_id = $1 AND c.id = t.conversation_id
	JOIN renovation_sessions s ON s.owner_id = $1 AND s.id = c.session_id
WHERE t.owner_id = $1 AND t.id = $2 FOR NO KEY UPDATE OF s;

-- statement: tool_update_session
-- kind: write
-- params: owner uuid, turn uuid, fence bigint, step int, ordinal int, args jsonb
-- result: status text, result text
WITH call AS (
	SELECT c.session_id, a.* FROM tool_calls k JOIN turns t ON t.owner_id = $1 AND t.id = k.turn_id AND t.fence = $3 AND t.status = 'running'
		JOIN conversations c ON c.owner_id = $1 AND c.id = t.conversation_id,
		jsonb_to_record($6) a (title text, "totalBudget" numeric, currency text)
	WHERE k.owner_id = $1 AND k.turn_id = $2 AND k.step = $4 AND k.ordinal = $5 AND k.status = 'pending'
), effect AS (
	UPDATE renovation_sessions s SET title = coalesce(call.title, s.title), total_budget = coalesce(call."totalBudget", s.total_budget),
		currency = coalesce(call.currency, s.currency), updated_at = now(), version = s.version + 1
	FROM call WHERE s.owner_id = $1 AND s.id = call.session_id RETURNING s.*
), done AS (
	UPDATE tool_calls k SET status = 'ok', updated_at = now(),
		result = jsonb_build_object('id', e.id, 'title', e.title, 'totalBudget', e.total_budget::text, 'currency', e.currency)
	FROM effect e WHERE k.owner_id = $1 AND k.turn_id = $2 AND k.step = $4 AND k.ordinal = $5 RETURNING k.status, k.result
)
SELECT status, result::text FROM done UNION ALL
SELECT status, result::text FROM tool_calls
WHERE owner_id = $1 AND turn_id = $2 AND step = $4 AND ordinal = $5 AND status IN ('ok', 'error') AND NOT EXISTS (SELECT FROM done);

-- A room of that name (whatever its case) is the same room.
-- statement: tool_add_room
-- kind: write
-- params: owner uuid, turn uuid, fence bigint, step int, ordinal int, args jsonb
-- result: status text, result text
WITH call AS (
	SELECT c.session_id, a.* FROM tool_calls k JOIN turns t ON t.owner_id = $1 AND t.id = k.turn_id AND t.fence = $3 AND t.status = 'running'
		JOIN conversations c ON c.owner_id = $1 AND c.id = t.conversation_id,
		jsonb_to_record($6) a (name text, kind text, "lengthM" numeric, "widthM" numeric, "heightM" numeric, "areaM2" numeric, budget numeric)
	WHERE k.owner_id = $1 AND k.turn_id = $2 AND k.step = $4 AND k.ordinal = $5 AND k.status = 'pending'
), known AS (
	SELECT r.id FROM call JOIN renovation_rooms r ON r.owner_id = $1 AND r.session_id = call.session_id AND lower(r.name) = lower(call.name)
), effect AS (
	INSERT INTO renovation_rooms AS r (owner_id, session_id, name, kind, position, length_m, width_m, height_m, area_m2, budget)
	SELECT $1, session_id, name, kind,
		(SELECT coalesce(max(x.position) + 1, 0) FROM renovation_rooms x WHERE x.owner_id = $1 AND x.session_id = call.session_id),
		"lengthM", "widthM", "heightM", coalesce("areaM2", round("lengthM" * "widthM", 3)), budget
	FROM call WHERE session_id IS NOT NULL
	ON CONFLICT (session_id, lower(name)) DO UPDATE SET name = r.name
	RETURNING r.*
), touched AS (
	UPDATE renovation_sessions s SET updated_at = now() FROM effect e WHERE s.owner_id = $1 AND s.id = e.session_id
), done AS (
	UPDATE tool_calls k SET status = 'ok', updated_at = now(), result = jsonb_build_object('id', e.id, 'name', e.name, 'kind', e.kind,
		'lengthM', e.length_m, 'widthM', e.width_m, 'heightM', e.height_m, 'areaM2', e.area_m2, 'budget', e.budget::text,
		'existed', EXISTS (SELECT FROM known))
	FROM effect e WHERE k.owner_id = $1 AND k.turn_id = $2 AND k.step = $4 AND k.ordinal = $5 RETURNING k.status, k.result
)
SELECT status, result::text FROM done UNION ALL
SELECT status, result::text FROM tool_calls
WHERE owner_id = $1 AND turn_id = $2 AND step = $4 AND ordinal = $5 AND status IN ('ok', 'error') AND NOT EXISTS (SELECT FROM done);

-- statement: tool_add_task
-- kind: write
-- params: owner uuid, turn uuid, fence bigint, step int, ordinal int, args jsonb
-- result: status text, result text
WITH call AS (
	SELECT c.session_id, r.id AS room_id, r.name AS room_name, a.* FROM tool_calls k
		JOIN turns t ON t.owner_id = $1 AND t.id = k.turn_id AND t.fence = $3 AND t.status = 'running'
		JOIN conversations c ON c.owner_id = $1 AND c.id = t.conversation_id
		CROSS JOIN jsonb_to_record($6) a (title text, description text, priority text, "dueAt" timestamptz, room text)
		LEFT JOIN renovation_rooms r ON r.owner_id = $1 AND r.session_id = c.session_id AND lower(r.name) = lower(a.room)
	WHERE k.owner_id = $1 AND k.turn_id = $2 AND k.step = $4 AND k.ordinal = $5 AND k.status = 'pending'
), effect AS (
	INSERT INTO tasks (owner_id, session_id, room_id, title, description, priority, due_at, position, created_by, turn_id, step, ordinal)
	SELECT $1, session_id, room_id, title, description, coalesce(priority, 'normal'), "dueAt",
		(SELECT coalesce(max(x.position) + 1, 0) FROM tasks x WHERE x.owner_id = $1 AND x.session_id IS NOT DISTINCT FROM call.session_id),
		'agent', $2, $4, $5
	FROM call RETURNING *
), touched AS (
	UPDATE renovation_sessions s SET updated_at = now() FROM effect e WHERE s.owner_id = $1 AND s.id = e.session_id
), done AS (
	UPDATE tool_calls k SET status = 'ok', updated_at = now(), result = jsonb_build_object('id', e.id, 'title', e.title, 'status', e.status,
		'priority', e.priority, 'dueAt', rfc3339(e.due_at), 'room', call.room_name)
	FROM effect e, call WHERE k.owner_id = $1 AND k.turn_id = $2 AND k.step = $4 AND k.ordinal = $5 RETURNING k.status, k.result
)
SELECT status, result::text FROM done UNION ALL
SELECT status, result::text FROM tool_calls
WHERE owner_id = $1 AND turn_id = $2 AND step = $4 AND ordinal = $5 AND status IN ('ok', 'error') AND NOT EXISTS (SELECT FROM done);

-- By id, else the oldest open task of that title. A task that is done already stays done.
-- statement: tool_complete_task
-- kind: write
-- params: owner uuid, turn uuid, fence bigint, step int, ordinal int, args jsonb
-- result: status text, result text
WITH call AS (
	SELECT k.ordinal, c.session_id, a.* FROM tool_calls k JOIN turns t ON t.owner_id = $1 AND t.id = k.turn_id AND t.fence = $3 AND t.status = 'running'
		JOIN conversations c ON c.owner_id = $1 AND c.id = t.conversation_id,
		jsonb_to_record($6) a ("taskId" uuid, title text)
	WHERE k.owner_id = $1 AND k.turn_id = $2 AND k.step = $4 AND k.ordinal = $5 AND k.status = 'pending'
), target AS (
	SELECT x.id FROM call JOIN tasks x ON x.owner_id = $1 AND x.session_id IS NOT DISTINCT FROM call.session_id AND x.status <> 'cancelled'
		AND (x.id = call."taskId" OR (call."taskId" IS NULL AND lower(x.title) = lower(call.title)))
	ORDER BY x.completed, x.position, x.id LIMIT 1
), effect AS (
	UPDATE tasks x SET status = 'done', completed_at = coalesce(x.completed_at, now()), updated_at = now(), version = x.version + 1
	FROM target WHERE x.owner_id = $1 AND x.id = target.id RETURNING x.*
), touched AS (
	UPDATE renovation_sessions s SET updated_at = now() FROM effect e WHERE s.owner_id = $1 AND s.id = e.session_id
), done AS (
	UPDATE tool_calls k SET status = CASE WHEN e.id IS NULL THEN 'error' ELSE 'ok' END, updated_at = now(),
		result = CASE WHEN e.id IS NULL THEN jsonb_build_object('error', 'there is no such task; list_tasks shows them')
			ELSE jsonb_build_object('id', e.id, 'title', e.title, 'status', e.status) END
	FROM call LEFT JOIN effect e ON true WHERE k.owner_id = $1 AND k.turn_id = $2 AND k.step = $4 AND k.ordinal = $5 RETURNING k.status, k.result
)
SELECT status, result::text FROM done UNION ALL
SELECT status, result::text FROM tool_calls
WHERE owner_id = $1 AND turn_id = $2 AND step = $4 AND ordinal = $5 AND status IN ('ok', 'error') AND NOT EXISTS (SELECT FROM done);

-- statement: tool_list_tasks
-- kind: write
-- params: owner uuid, turn uuid, fence bigint, step int, ordinal int, args jsonb
-- result: status text, result text
WITH call AS (
	SELECT c.session_id, a.* FROM tool_calls k JOIN turns t ON t.owner_id = $1 AND t.id = k.turn_id AND t.fence = $3 AND t.status = 'running'
		JOIN conversations c ON c.owner_id = $1 AND c.id = t.conversation_id,
		jsonb_to_record($6) a (status text)
	WHERE k.owner_id = $1 AND k.turn_id = $2 AND k.step = $4 AND k.ordinal = $5 AND k.status = 'pending'
), found AS (
	SELECT x.id, x.title, x.status, x.priority, x.due_at, x.position, r.name AS room
	FROM call JOIN tasks x ON x.owner_id = $1 AND x.session_id IS NOT DISTINCT FROM call.session_id AND x.status = coalesce(call.status, x.status)
		LEFT JOIN renovation_rooms r ON r.owner_id = $1 AND r.id = x.room_id
	ORDER BY x.position, x.id LIMIT 100
), done AS (
	UPDATE tool_calls k SET status = 'ok', updated_at = now(), result = jsonb_build_object('tasks', (SELECT coalesce(jsonb_agg(jsonb_build_object(
		'id', f.id, 'title', f.title, 'status', f.status, 'priority', f.priority, 'dueAt', rfc3339(f.due_at), 'room', f.room)
		ORDER BY f.position, f.id), '[]') FROM found f))
	FROM call WHERE k.owner_id = $1 AND k.turn_id = $2 AND k.step = $4 AND k.ordinal = $5 RETURNING k.status, k.result
)
SELECT status, result::text FROM done UNION ALL
SELECT status, result::text FROM tool_calls
WHERE owner_id = $1 AND turn_id = $2 AND step = $4 AND ordinal = $5 AND status IN ('ok', 'error') AND NOT EXISTS (SELECT FROM done);

-- The same name from the same vendor is the same product; it is proposed once.
-- statement: tool_recommend_product
-- kind: write
-- params: owner uuid, turn uuid, fence bigint, step int, ordinal int, args jsonb
-- result: status text, result text
WITH call AS (
	SELECT c.session_id, s.currency AS session_currency, r.id AS room_id, r.name AS room_name, a.* FROM tool_calls k
		JOIN turns t ON t.owner_id = $1 AND t.id = k.turn_id AND t.fence = $3 AND t.status = 'running'
		JOIN conversations c ON c.owner_id = $1 AND c.id = t.conversation_id
		JOIN renovation_sessions s ON s.owner_id = $1 AND s.id = c.session_id
		CROSS JOIN jsonb_to_record($6) a (name text, category text, vendor text, url text, price numeric, currency text, quantity numeric,
			rationale text, room text)
		LEFT JOIN renovation_rooms r ON r.owner_id = $1 AND r.session_id = c.session_id AND lower(r.name) = lower(a.room)
	WHERE k.owner_id = $1 AND k.turn_id = $2 AND k.step = $4 AND k.ordinal = $5 AND k.status = 'pending'
), effect AS (
	INSERT INTO product_recommendations AS p (owner_id, session_id, room_id, turn_id, name, category, vendor, url, price, currency, quantity,
		rationale, price_seen_at, dedupe_hash)
	SELECT $1, session_id, room_id, $2, name, category, vendor, url, price, coalesce(currency, session_currency), coalesce(quantity, 1), rationale,
		CASE WHEN price IS NOT NULL THEN now() END,
		sha256(convert_to(lower(name) || chr(31) || lower(coalesce(vendor, '')) || chr(31) || coalesce(room_id::text, ''), 'UTF8'))
	FROM call ON CONFLICT (session_id, dedupe_hash) DO UPDATE SET name = p.name
	RETURNING p.*
), touched AS (
	UPDATE renovation_sessions s SET updated_at = now() FROM effect e WHERE s.owner_id = $1 AND s.id = e.session_id
), done AS (
	UPDATE tool_calls k SET status = 'ok', updated_at = now(), result = jsonb_build_object('id', e.id, 'name', e.name, 'vendor', e.vendor,
		'price', e.price::text, 'currency', e.currency, 'quantity', e.quantity, 'status', e.status, 'room', call.room_name)
	FROM effect e, call WHERE k.owner_id = $1 AND k.turn_id = $2 AND k.step = $4 AND k.ordinal = $5 RETURNING k.status, k.result
)
SELECT status, result::text FROM done UNION ALL
SELECT status, result::text FROM tool_calls
WHERE owner_id = $1 AND turn_id = $2 AND step = $4 AND ordinal = $5 AND status IN ('ok', 'error') AND NOT EXISTS (SELECT FROM done);

-- A call that cannot run: unknown tool, arguments that do not fit, an effect the database refused.
-- statement: tool_fail
-- kind: write
-- params: owner uuid, turn uuid, fence bigint, step int, ordinal int, message text
-- result: status text, result text
WITH done AS (
	UPDATE tool_calls k SET status = 'error', result = jsonb_build_object('error', $6), updated_at = now()
	FROM turns t WHERE t.owner_id = $1 AND t.id = $2 AND t.fence = $3 AND t.status = 'running'
		AND k.owner_id = $1 AND k.turn_id = $2 AND k.step = $4 AND k.ordinal = $5 AND k.status = 'pending'
	RETURNING k.status, k.result
)
SELECT status, result::text FROM done UNION ALL
SELECT status, result::text FROM tool_calls
WHERE owner_id = $1 AND turn_id = $2 AND step = $4 AND ordinal = $5 AND status IN ('ok', 'error') AND NOT EXISTS (SELECT FROM done);
