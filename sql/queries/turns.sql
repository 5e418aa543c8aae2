-- Turns: who writes them, what they have streamed, how they end. Statements of a writer name the fence it holds; zero rows mean it has lost the turn.

-- statement: turn_read
-- kind: read
-- params: owner uuid, id uuid
-- result: status text, version int, body json, conversation uuid
SELECT t.status, t.version,
	json_build_object('id', t.id, 'conversationId', t.conversation_id, 'messageId', t.user_message_id, 'answerId', t.assistant_message_id,
		'status', CASE WHEN t.status = 'running' AND t.cancel_requested_at IS NOT NULL THEN 'cancelled' ELSE t.status END,
		'model', t.model, 'usage', CASE WHEN t.input_tokens IS NOT NULL
			THEN json_build_object('inputTokens', t.input_tokens, 'outputTokens', t.output_tokens) END,
		'finishReason', t.finish_reason, 'error', t.error, 'lastEventId', CASE WHEN e.last > 0 THEN t.id || '.' || e.last END,
		'createdAt', rfc3339(t.created_at), 'startedAt', rfc3339(t.started_at), 'endedAt', rfc3339(t.ended_at)),
	t.conversation_id
FROM turns t, LATERAL (SELECT greatest(t.next_event - 1,
	(SELECT max(k.to_event) FROM turn_chunks k WHERE k.day = t.day AND k.turn_id = t.id)) AS last) e
WHERE t.owner_id = $1 AND t.id = $2;

-- What a reader needs to know. last: the newest event in chunks; has_chunks: false after their retention.
-- statement: turn_follow
-- kind: read
-- params: owner uuid, id uuid
-- result: status text, last bigint, has_chunks bool, conversation uuid
SELECT t.status, greatest(t.next_event - 1, coalesce(k.last, 0)), k.last IS NOT NULL, t.conversation_id
FROM turns t, LATERAL (SELECT max(to_event) AS last FROM turn_chunks WHERE day = t.day AND turn_id = t.id) k
WHERE t.owner_id = $1 AND t.id = $2;

-- statement: turn_chunks_read
-- kind: read
-- params: owner uuid, id uuid, from_event bigint
-- result: from_event bigint, to_event bigint, body bytea
SELECT k.from_event, k.to_event, k.body FROM turns t JOIN turn_chunks k ON k.day = t.day AND k.turn_id = t.id
WHERE t.owner_id = $1 AND t.id = $2 AND k.to_event >= $3 ORDER BY k.from_event LIMIT 32;

-- For a stream made after the chunks are gone.
-- statement: turn_stored
-- kind: read
-- params: owner uuid, id uuid
-- result: answer uuid, status text, finish_reason text, error json, parts json, input_tokens int, output_tokens int
SELECT t.assistant_message_id, t.status, t.finish_reason, t.error::json, coalesce(m.parts, '[]')::json,
	coalesce(t.input_tokens, 0), coalesce(t.output_tokens, 0)
FROM turns t LEFT JOIN chat_messages m ON m.owner_id = $1 AND m.id = t.assistant_message_id
WHERE t.owner_id = $1 AND t.id = $2;

-- statement: turn_checkpoint
-- kind: write
-- params: owner uuid, id uuid, fence bigint, from_event bigint, to_event bigint, body bytea
-- result: id uuid
WITH t AS (
	SELECT id, day FROM turns WHERE owner_id = $1 AND id = $2 AND fence = $3 AND status = 'running' FOR SHARE
), k AS (
	INSERT INTO turn_chunks AS c (day, turn_id, from_event, to_event, body) SELECT day, id, $4, $5, $6 FROM t
	ON CONFLICT (day, turn_id, from_event) DO UPDATE SET to_event = EXCLUDED.to_event, body = EXCLUDED.body
		WHERE EXCLUDED.to_event > c.to_event
)
SELECT id FROM t;

-- A model step, the calls it asks for, and the events up to here, before any call runs.
-- statement: turn_store_step
-- kind: write
-- params: owner uuid, id uuid, fence bigint, step int, parts jsonb, usage jsonb, finish_reason text, calls jsonb
-- params: from_event bigint, to_event bigint, body bytea, model text
-- result: id uuid
WITH t AS (
	UPDATE turns SET step = greatest(step, $4), next_event = greatest(next_event, $10 + 1), model = $12, updated_at = now(), version = version + 1
	WHERE owner_id = $1 AND id = $2 AND fence = $3 AND status = 'running' RETURNING id, day
), s AS (
	INSERT INTO turn_steps (turn_id, step, model_parts, usage, finish_reason, first_event) SELECT id, $4, $5, $6, $7, $9 FROM t
	ON CONFLICT (turn_id, step) DO NOTHING
), k AS (
	INSERT INTO tool_calls (owner_id, turn_id, step, ordinal, provider_call_id, tool, args, args_hash)
	SELECT $1, t.id, $4, (c.ordinality - 1)::int, c.value ->> 'id', c.value ->> 'tool', c.value -> 'args',
		sha256(convert_to(c.value ->> 'args', 'UTF8'))
	FROM t, jsonb_array_elements($8) WITH ORDINALITY c
	ON CONFLICT (turn_id, step, ordinal) DO NOTHING
), e AS (
	INSERT INTO turn_chunks AS c (day, turn_id, from_event, to_event, body) SELECT day, id, $9, $10, $11 FROM t WHERE $10 >= $9
	ON CONFLICT (day, turn_id, from_event) DO UPDATE SET to_event = EXCLUDED.to_event, body = EXCLUDED.body
		WHERE EXCLUDED.to_event > c.to_event
)
SELECT id FROM t;

-- The end: status, the last step, the last events and the stored answer at once. Locks: the conversation first (conversation_lock).
-- statement: turn_finish
-- kind: write
-- params: owner uuid, id uuid, fence bigint, status text, finish_reason text, error jsonb, model text, input_tokens int, output_tokens int
-- params: from_event bigint, to_event bigint, body bytea, message_status text, content text, parts jsonb, step int, step_parts jsonb, step_usage jsonb
-- result: id uuid
WITH t AS (
	UPDATE turns SET status = $4, finish_reason = $5, error = $6, model = $7, input_tokens = $8, output_tokens = $9, next_event = $11 + 1,
		step = greatest(step, $16), lease_owner = NULL, lease_until = NULL, ended_at = now(), updated_at = now(), version = version + 1
	WHERE owner_id = $1 AND id = $2 AND fence = $3 AND status = 'running' RETURNING id, day, conversation_id, assistant_message_id
), s AS (
	INSERT INTO turn_steps (turn_id, step, model_parts, usage, finish_reason, first_event) SELECT id, $16, $17, $18, $5, $10
	FROM t WHERE $17::jsonb IS NOT NULL
	ON CONFLICT (turn_id, step) DO NOTHING
), e AS (
	INSERT INTO turn_chunks AS c (day, turn_id, from_event, to_event, body) SELECT day, id, $10, $11, $12 FROM t WHERE $11 >= $10
	ON CONFLICT (day, turn_id, from_event) DO UPDATE SET to_event = EXCLUDED.to_event, body = EXCLUDED.body
		WHERE EXCLUDED.to_event > c.to_event
), m AS (
	UPDATE chat_messages SET status = $13, text = $14, parts = $15, model = $7, input_tokens = $8, output_tokens = $9,
		updated_at = now(), version = chat_messages.version + 1
	FROM t WHERE chat_messages.owner_id = $1 AND chat_messages.id = t.assistant_message_id
), c AS (
	UPDATE conversations SET active_turn_id = NULL, updated_at = now(), version = conversations.version + 1
	FROM t WHERE conversations.owner_id = $1 AND conversations.id = t.conversation_id AND conversations.active_turn_id = t.id
	RETURNING conversations.session_id
), touched AS (
	UPDATE renovation_sessions SET updated_at = now() FROM c WHERE renovation_sessions.owner_id = $1 AND renovation_sessions.id = c.session_id
)
SELECT id FROM t;

-- After turn_finish (or alone, by the sweep): the next question of the conversation begins. `ended` is the status of `turn`, if it is still ours to know.
-- statement: turn_next
-- kind: write
-- params: owner uuid, conversation uuid, turn uuid, fence bigint, lease_owner text, lease_ms int
-- result: ended text, id uuid, owner uuid, conversation uuid, session uuid, message uuid, answer uuid, fence bigint, role text, model text
-- result: attempt int, is_cancelled bool, age_ms bigint
WITH next AS (
	SELECT t.id FROM turns t JOIN chat_messages q ON q.owner_id = $1 AND q.id = t.user_message_id
	WHERE t.owner_id = $1 AND t.conversation_id = $2 AND t.status = 'queued'
		AND EXISTS (SELECT FROM conversations c WHERE c.owner_id = $1 AND c.id = $2 AND c.active_turn_id IS NULL AND c.queued_turns > 0)
	ORDER BY q.seq, t.created_at, t.id LIMIT 1
), c AS (
	UPDATE conversations SET active_turn_id = next.id, queued_turns = queued_turns - 1, last_seq = last_seq + 1,
		updated_at = now(), version = conversations.version + 1
	FROM next WHERE conversations.owner_id = $1 AND conversations.id = $2 AND conversations.active_turn_id IS NULL
	RETURNING conversations.last_seq, conversations.session_id
), run AS (
	UPDATE turns SET status = 'running', lease_owner = $5, lease_until = now() + $6 * interval '1 ms', fence = fence + 1,
		started_at = now(), updated_at = now(), version = turns.version + 1
	FROM next, c WHERE turns.owner_id = $1 AND turns.id = next.id
	RETURNING turns.id, turns.owner_id, turns.conversation_id, c.session_id, turns.user_message_id, turns.assistant_message_id, turns.fence,
		turns.role, turns.model, turns.attempt, c.last_seq
), answer AS (
	INSERT INTO chat_messages (id, owner_id, conversation_id, session_id, seq, parent_id, role, status, turn_id)
	SELECT assistant_message_id, $1, $2, session_id, last_seq, user_message_id, 'assistant', 'streaming', id FROM run
)
SELECT (SELECT status FROM turns WHERE owner_id = $1 AND id = $3 AND fence = $4), run.id, run.owner_id, run.conversation_id, run.session_id,
	run.user_message_id, run.assistant_message_id, run.fence, run.role, run.model, run.attempt, false, 0::bigint
FROM (VALUES (1)) one LEFT JOIN run ON true;

-- statement: turn_cancel
-- kind: write
-- params: owner uuid, id uuid
-- result: status text
WITH running AS (
	UPDATE turns SET cancel_requested_at = coalesce(cancel_requested_at, now()), updated_at = now()
	WHERE owner_id = $1 AND id = $2 AND status IN ('running', 'waiting_approval') RETURNING status
), queued AS (
	UPDATE turns SET status = 'cancelled', ended_at = now(), updated_at = now(), version = version + 1
	WHERE owner_id = $1 AND id = $2 AND status = 'queued' RETURNING conversation_id, status
), counted AS (
	UPDATE conversations SET queued_turns = queued_turns - 1, updated_at = now(), version = conversations.version + 1
	FROM queued WHERE conversations.owner_id = $1 AND conversations.id = queued.conversation_id
)
SELECT coalesce((SELECT status FROM running), (SELECT status FROM queued), status) FROM turns WHERE owner_id = $1 AND id = $2;

-- The leases of the turns that a worker is writing; returns what it must stop. Leases with most of their time left are not written again.
-- is_gone: deleted, with its conversation.
-- statement: turns_renew
-- kind: write
-- params: lease_owner text, lease_ms int, ids uuid[]
-- result: id uuid, fence bigint, is_cancelled bool, is_gone bool
WITH renewed AS (
	UPDATE turns SET lease_until = now() + $2 * interval '1 ms'
	WHERE lease_owner = $1 AND status = 'running' AND id = ANY ($3)
		AND (lease_until < now() + $2 * interval '0.8 ms' OR cancel_requested_at IS NOT NULL)
	RETURNING id, fence, cancel_requested_at IS NOT NULL AS is_cancelled
)
SELECT id, fence, is_cancelled, false FROM renewed UNION ALL
SELECT x.id, 0, false, true FROM unnest($3::uuid[]) x (id) WHERE NOT EXISTS (SELECT FROM turns t WHERE t.id = x.id);

-- After a write that found no row: none here either when the turn was deleted; else is_here says whether a worker of this host (`live`: the leases of
-- those that are alive) has it or will look for it, and so wants its ring.
-- statement: turn_whose
-- kind: read
-- params: owner uuid, id uuid, live text[]
-- result: is_here bool
SELECT coalesce(lease_owner = ANY ($3) OR lease_owner = 'released', false) FROM turns WHERE owner_id = $1 AND id = $2;

-- The same columns as turn_next: one function reads both. only_lapsed: a worker's own, whose beginning it was never told of because the answer
-- to its write was lost; it does not renew those.
-- statement: turns_claim_dead
-- kind: write
-- params: dead text, lease_owner text, lease_ms int, only_lapsed bool
-- result: ended text, id uuid, owner uuid, conversation uuid, session uuid, message uuid, answer uuid, fence bigint, role text, model text
-- result: attempt int, is_cancelled bool, age_ms bigint
UPDATE turns t SET lease_owner = $2, lease_until = now() + $3 * interval '1 ms', fence = t.fence + 1, attempt = t.attempt + 1,
	updated_at = now(), version = t.version + 1
FROM conversations c WHERE t.lease_owner = $1 AND t.status = 'running' AND (NOT $4 OR t.lease_until < now())
	AND c.owner_id = t.owner_id AND c.id = t.conversation_id
RETURNING NULL, t.id, t.owner_id, t.conversation_id, c.session_id, t.user_message_id, t.assistant_message_id, t.fence, t.role, t.model,
	t.attempt, t.cancel_requested_at IS NOT NULL, (extract(epoch FROM now() - t.started_at) * 1000)::bigint;

-- `live`: leases of workers of this host that are alive; they renew theirs as soon as the database lets them.
-- statement: turns_claim_expired
-- kind: write
-- params: lease_owner text, lease_ms int, live text[]
-- result: ended text, id uuid, owner uuid, conversation uuid, session uuid, message uuid, answer uuid, fence bigint, role text, model text
-- result: attempt int, is_cancelled bool, age_ms bigint
WITH expired AS (
	SELECT x.id FROM turns x WHERE x.status = 'running' AND x.lease_until < now() AND x.lease_owner <> ALL ($3)
	ORDER BY x.lease_until LIMIT 64 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE turns t SET lease_owner = $1, lease_until = now() + $2 * interval '1 ms', fence = t.fence + 1, attempt = t.attempt + 1,
	updated_at = now(), version = t.version + 1
FROM expired, conversations c WHERE t.id = expired.id AND c.owner_id = t.owner_id AND c.id = t.conversation_id
RETURNING NULL, t.id, t.owner_id, t.conversation_id, c.session_id, t.user_message_id, t.assistant_message_id, t.fence, t.role, t.model,
	t.attempt, t.cancel_requested_at IS NOT NULL, (extract(epoch FROM now() - t.started_at) * 1000)::bigint;

-- Conversations whose next question nobody began: their worker died between two statements, or a queued turn's predecessor vanished.
-- statement: turns_idle_queues
-- kind: read
-- result: owner uuid, conversation uuid
SELECT DISTINCT t.owner_id, t.conversation_id FROM turns t JOIN conversations c ON c.owner_id = t.owner_id AND c.id = t.conversation_id
WHERE t.status = 'queued' AND c.active_turn_id IS NULL LIMIT 32;

-- A draining worker gives its turns to whoever looks next.
-- statement: turns_release
-- kind: write
-- params: lease_owner text
-- result: id uuid
UPDATE turns SET lease_owner = 'released', lease_until = now() - interval '1 ms' WHERE lease_owner = $1 AND status = 'running' RETURNING id;

-- What a taken-over turn has done. kind: step (parts) or call (tool, args, status, result).
-- statement: turn_resume
-- kind: read
-- params: owner uuid, id uuid
-- result: kind text, step int, ordinal int, body text, model text, call_id text, tool text, status text, result text
-- result: input_tokens int, output_tokens int
SELECT * FROM (
	SELECT 'step' AS kind, s.step, -1 AS ordinal, s.model_parts::text AS body, coalesce(s.usage ->> 'model', t.model) AS model, NULL AS call_id,
		NULL AS tool, s.finish_reason AS status, NULL AS result,
		coalesce((s.usage ->> 'inputTokens')::int, 0) AS input_tokens, coalesce((s.usage ->> 'outputTokens')::int, 0) AS output_tokens
	FROM turns t JOIN turn_steps s ON s.turn_id = t.id WHERE t.owner_id = $1 AND t.id = $2
	UNION ALL
	SELECT 'call', k.step, k.ordinal, k.args::text, NULL, k.provider_call_id, k.tool, k.status, k.result::text, 0, 0
	FROM tool_calls k WHERE k.owner_id = $1 AND k.turn_id = $2
) r ORDER BY step, ordinal;
