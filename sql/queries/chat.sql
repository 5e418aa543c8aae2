-- Asking: the question, its turn and the state of its conversation.

-- Taken first by everything that begins or ends a turn, so that the statement after it has a snapshot with what the one before did.
-- statement: conversation_lock
-- kind: write
-- params: owner uuid, id uuid
-- result: id uuid
SELECT id FROM conversations WHERE owner_id = $1 AND id = $2 FOR NO KEY UPDATE;

-- statement: conversation_lock_of_turn
-- kind: write
-- params: owner uuid, turn uuid
-- result: id uuid
SELECT c.id FROM turns t JOIN conversations c ON c.owner_id = $1 AND c.id = t.conversation_id
WHERE t.owner_id = $1 AND t.id = $2 FOR NO KEY UPDATE OF c;

-- statement: conversation_of_session
-- kind: read
-- params: owner uuid, session uuid
-- result: id uuid
SELECT id FROM conversations WHERE owner_id = $1 AND session_id = $2 AND is_default;

-- outcome: run (the turn is ours), queue, replay (same clientMessageId and content), reused (other content), reject, full. No row: no such conversation.
-- statement: chat_ask
-- kind: write
-- params: owner uuid, conversation uuid, message uuid, turn uuid, answer uuid, content text, client_id text
-- params: when_busy text, queue_max int, lease_owner text, lease_ms int, role text
-- result: outcome text, turn uuid, active uuid, session uuid, answer uuid, message json, body json
WITH c AS (
	SELECT id, session_id, active_turn_id, queued_turns, last_seq FROM conversations WHERE owner_id = $1 AND id = $2
), prior AS (
	SELECT id, turn_id, content_hash = sha256(convert_to($6, 'UTF8')) AS is_same FROM chat_messages
	WHERE owner_id = $1 AND conversation_id = $2 AND client_message_id = $7
), verdict AS (
	SELECT c.*, prior.id AS prior_id, prior.turn_id AS prior_turn, CASE
		WHEN prior.is_same THEN 'replay'
		WHEN prior.id IS NOT NULL THEN 'reused'
		WHEN c.active_turn_id IS NULL AND c.queued_turns = 0 THEN 'run'
		WHEN $8 = 'reject' THEN 'reject'
		WHEN c.queued_turns >= $9 THEN 'full'
		ELSE 'queue' END AS outcome
	FROM c LEFT JOIN prior ON true
), accepted AS (
	SELECT * FROM verdict WHERE outcome IN ('run', 'queue')
), asked AS (
	INSERT INTO chat_messages (id, owner_id, conversation_id, session_id, seq, role, text, parts, turn_id, client_message_id, content_hash)
	SELECT $3, $1, $2, session_id, last_seq + 1, 'user', $6,
		jsonb_build_array(jsonb_build_object('type', 'text', 'text', $6)), $4, $7,
		CASE WHEN $7 IS NOT NULL THEN sha256(convert_to($6, 'UTF8')) END
	FROM accepted RETURNING *
), answer AS (
	INSERT INTO chat_messages (id, owner_id, conversation_id, session_id, seq, parent_id, role, status, turn_id)
	SELECT $5, $1, $2, session_id, last_seq + 2, $3, 'assistant', 'streaming', $4 FROM accepted WHERE outcome = 'run'
), made AS (
	INSERT INTO turns (id, owner_id, conversation_id, user_message_id, assistant_message_id, status, strategy, role,
		lease_owner, lease_until, fence, started_at)
	SELECT $4, $1, $2, $3, $5, CASE outcome WHEN 'run' THEN 'running' ELSE 'queued' END, $8, $12,
		CASE outcome WHEN 'run' THEN $10 END, CASE outcome WHEN 'run' THEN now() + $11 * interval '1 ms' END,
		CASE outcome WHEN 'run' THEN 1 ELSE 0 END, CASE outcome WHEN 'run' THEN now() END
	FROM accepted RETURNING *
), interrupted AS (
	UPDATE turns SET cancel_requested_at = coalesce(turns.cancel_requested_at, now())
	FROM accepted a WHERE turns.owner_id = $1 AND turns.id = a.active_turn_id AND $8 = 'interrupt' AND a.outcome = 'queue'
), counted AS (
	UPDATE conversations SET last_seq = a.last_seq + CASE a.outcome WHEN 'run' THEN 2 ELSE 1 END,
		active_turn_id = CASE a.outcome WHEN 'run' THEN $4 ELSE a.active_turn_id END,
		queued_turns = a.queued_turns + CASE a.outcome WHEN 'run' THEN 0 ELSE 1 END,
		updated_at = now(), version = conversations.version + 1
	FROM accepted a WHERE conversations.owner_id = $1 AND conversations.id = $2
), m AS (
	SELECT * FROM asked UNION ALL
	SELECT chat_messages.* FROM verdict JOIN chat_messages
		ON chat_messages.owner_id = $1 AND chat_messages.id = verdict.prior_id WHERE verdict.outcome = 'replay'
), t AS (
	SELECT * FROM made UNION ALL
	SELECT turns.* FROM verdict JOIN turns ON turns.owner_id = $1 AND turns.id = verdict.prior_turn WHERE verdict.outcome = 'replay'
)
SELECT v.outcome, t.id, v.active_turn_id, v.session_id, t.assistant_message_id,
	json_build_object('id', m.id, 'conversationId', m.conversation_id, 'sessionId', m.session_id, 'seq', m.seq, 'parentId', m.parent_id,
		'role', m.role, 'status', m.status, 'content', m.text, 'parts', m.parts, 'attachments', json_build_array(), 'turnId', m.turn_id,
		'model', m.model, 'usage', NULL, 'clientMessageId', m.client_message_id, 'createdAt', rfc3339(m.created_at)),
	json_build_object('id', t.id, 'conversationId', t.conversation_id, 'messageId', t.user_message_id, 'answerId', t.assistant_message_id,
		'status', t.status, 'model', t.model, 'usage', CASE WHEN t.input_tokens IS NOT NULL
			THEN json_build_object('inputTokens', t.input_tokens, 'outputTokens', t.output_tokens) END,
		'finishReason', t.finish_reason, 'error', t.error, 'lastEventId', CASE WHEN t.next_event > 1 THEN t.id || '.' || (t.next_event - 1) END,
		'createdAt', rfc3339(t.created_at), 'startedAt', rfc3339(t.started_at), 'endedAt', rfc3339(t.ended_at))
FROM verdict v LEFT JOIN t ON true LEFT JOIN m ON true;

-- Answers a question again, as a sibling of its answer: that of the message with this id (ours or the client's, the question itself or an answer to it),
-- the newest without one. The same outcomes as chat_ask, and none when there is no such question.
-- statement: chat_regenerate
-- kind: write
-- params: owner uuid, conversation uuid, turn uuid, answer uuid, when_busy text, queue_max int, lease_owner text, lease_ms int, role text
-- params: message uuid, client_id text
-- result: outcome text, turn uuid, active uuid, session uuid, answer uuid
WITH c AS (
	SELECT id, session_id, active_turn_id, queued_turns, last_seq FROM conversations WHERE owner_id = $1 AND id = $2
), question AS (
	SELECT m.id FROM chat_messages m WHERE m.owner_id = $1 AND m.conversation_id = $2 AND m.role = 'user'
		AND ($11::text IS NULL OR m.client_message_id = $11 OR m.id = $10
			OR m.id = (SELECT a.parent_id FROM chat_messages a WHERE a.owner_id = $1 AND a.conversation_id = $2 AND a.id = $10))
	ORDER BY m.seq DESC LIMIT 1
), verdict AS (
	SELECT c.*, question.id AS question_id, CASE
		WHEN c.active_turn_id IS NULL AND c.queued_turns = 0 THEN 'run'
		WHEN $5 = 'reject' THEN 'reject'
		WHEN c.queued_turns >= $6 THEN 'full'
		ELSE 'queue' END AS outcome
	FROM c, question
), accepted AS (
	SELECT * FROM verdict WHERE outcome IN ('run', 'queue')
), repointed AS (
	UPDATE chat_messages SET turn_id = $3 FROM accepted a WHERE chat_messages.owner_id = $1 AND chat_messages.id = a.question_id
), answer AS (
	INSERT INTO chat_messages (id, owner_id, conversation_id, session_id, seq, parent_id, role, status, turn_id)
	SELECT $4, $1, $2, session_id, last_seq + 1, question_id, 'assistant', 'streaming', $3 FROM accepted WHERE outcome = 'run'
), made AS (
	INSERT INTO turns (id, owner_id, conversation_id, user_message_id, assistant_message_id, status, strategy, role,
		lease_owner, lease_until, fence, started_at)
	SELECT $3, $1, $2, question_id, $4, CASE outcome WHEN 'run' THEN 'running' ELSE 'queued' END, $5, $9,
		CASE outcome WHEN 'run' THEN $7 END, CASE outcome WHEN 'run' THEN now() + $8 * interval '1 ms' END,
		CASE outcome WHEN 'run' THEN 1 ELSE 0 END, CASE outcome WHEN 'run' THEN now() END
	FROM accepted
), counted AS (
	UPDATE conversations SET last_seq = a.last_seq + CASE a.outcome WHEN 'run' THEN 1 ELSE 0 END,
		active_turn_id = CASE a.outcome WHEN 'run' THEN $3 ELSE a.active_turn_id END,
		queued_turns = a.queued_turns + CASE a.outcome WHEN 'run' THEN 0 ELSE 1 END,
		updated_at = now(), version = conversations.version + 1
	FROM accepted a WHERE conversations.owner_id = $1 AND conversations.id = $2
)
SELECT outcome, CASE WHEN outcome IN ('run', 'queue') THEN $3 END, active_turn_id, session_id, $4 FROM verdict;

-- The conversation of a client's own chat id; a new one gets a session of its own unless it names one of the owner's.
-- statement: chat_open
-- kind: write
-- params: owner uuid, chat_key text, conversation uuid, session uuid, new_session uuid
-- result: id uuid
WITH known AS (
	SELECT id FROM conversations WHERE owner_id = $1 AND chat_key = $2
), made AS (
	INSERT INTO renovation_sessions (id, owner_id, title)
	SELECT $5, $1, 'New renovation' WHERE $4::uuid IS NULL AND NOT EXISTS (SELECT FROM known)
	RETURNING id
), session AS (
	SELECT id, true AS is_default FROM made UNION ALL
	SELECT id, false FROM renovation_sessions WHERE owner_id = $1 AND id = $4 AND NOT EXISTS (SELECT FROM known)
), opened AS (
	INSERT INTO conversations (id, owner_id, session_id, is_default, chat_key) SELECT $3, $1, id, is_default, $2 FROM session
	RETURNING id
)
SELECT id FROM known UNION ALL SELECT id FROM opened;

-- Serialises the making of conversations for one owner's chat ids.
-- statement: chat_open_lock
-- kind: write
-- params: owner uuid
-- result: id uuid
SELECT id FROM owners WHERE id = $1 FOR NO KEY UPDATE;

-- statement: chat_find
-- kind: read
-- params: owner uuid, chat_key text
-- result: id uuid, active uuid
SELECT id, active_turn_id FROM conversations WHERE owner_id = $1 AND chat_key = $2;

-- What the model is told, oldest first. kind: facts (JSON, first row), user (a question's text), model (provider parts), result (of the call before).
-- Questions whose answers were filtered stay out, or the provider would refuse every later one.
-- Looks at no more turns than could fit: their (compressed) size is summed up from the newest; `turns_min` come whatever their size.
-- statement: chat_history
-- kind: read
-- params: owner uuid, turn uuid, turns_max int, bytes_max int, turns_min int
-- result: kind text, body text, model text, call_id text, name text, is_cancelled bool
WITH mine AS (
	SELECT t.conversation_id, q.seq, q.text, c.session_id, t.cancel_requested_at IS NOT NULL AS is_cancelled FROM turns t
		JOIN chat_messages q ON q.owner_id = $1 AND q.id = t.user_message_id
		JOIN conversations c ON c.owner_id = $1 AND c.id = t.conversation_id
	WHERE t.owner_id = $1 AND t.id = $2
), asked AS (
	SELECT * FROM (SELECT q.seq, q.text, t.id AS turn_id, t.model, row_number() OVER newest AS place,
		sum(pg_column_size(q.text) + coalesce((SELECT pg_column_size(a.text) FROM chat_messages a
			WHERE a.owner_id = $1 AND a.id = t.assistant_message_id), 0)) OVER newest AS size FROM mine
		CROSS JOIN LATERAL (SELECT m.seq, m.text, m.turn_id FROM chat_messages m
			WHERE m.owner_id = $1 AND m.conversation_id = mine.conversation_id AND m.seq < mine.seq AND m.role = 'user'
			ORDER BY m.seq DESC LIMIT $3) q
		LEFT JOIN turns t ON t.owner_id = $1 AND t.id = q.turn_id
	WHERE t.finish_reason IS DISTINCT FROM 'content-filter'
	WINDOW newest AS (ORDER BY q.seq DESC)) x WHERE x.size <= $4 OR x.place <= $5
), lines AS (
	SELECT seq, 0 AS step, -1 AS ordinal, 'user' AS kind, text AS body, NULL::text AS model, NULL::text AS call_id, NULL::text AS name FROM asked
	UNION ALL
	SELECT asked.seq, s.step, -1, 'model', s.model_parts::text, coalesce(s.usage ->> 'model', asked.model), NULL, NULL
	FROM asked JOIN turn_steps s ON s.turn_id = asked.turn_id
	UNION ALL
	SELECT asked.seq, k.step, k.ordinal, 'result', coalesce(k.result, '{"error": "not run"}')::text, NULL, k.provider_call_id, k.tool
	FROM asked JOIN tool_calls k ON k.owner_id = $1 AND k.turn_id = asked.turn_id
	UNION ALL
	SELECT mine.seq, 0, -1, 'user', mine.text, NULL, NULL, NULL FROM mine
	UNION ALL
	SELECT -1, 0, 0, 'facts', json_build_object('title', s.title, 'phase', s.phase, 'totalBudget', s.total_budget::text, 'currency', s.currency,
		'rooms', (SELECT coalesce(json_agg(json_build_object('name', r.name, 'kind', r.kind, 'areaM2', r.area_m2, 'budget', r.budget::text)
			ORDER BY r.position, r.id), '[]') FROM (SELECT * FROM renovation_rooms x WHERE x.owner_id = $1 AND x.session_id = s.id
				ORDER BY x.position, x.id LIMIT 40) r),
		'openTasks', (SELECT coalesce(json_agg(json_build_object('id', k.id, 'title', k.title, 'status', k.status) ORDER BY k.position, k.id), '[]')
			FROM (SELECT * FROM tasks x WHERE x.owner_id = $1 AND x.session_id = s.id AND x.status IN ('open', 'in_progress')
				ORDER BY x.position, x.id LIMIT 40) k),
		'products', (SELECT coalesce(json_agg(json_build_object('name', p.name, 'price', p.price::text, 'status', p.status) ORDER BY p.id), '[]')
			FROM (SELECT * FROM product_recommendations x WHERE x.owner_id = $1 AND x.session_id = s.id ORDER BY x.id DESC LIMIT 20) p))::text,
		NULL, NULL, NULL
	FROM mine JOIN renovation_sessions s ON s.owner_id = $1 AND s.id = mine.session_id
)
SELECT kind, body, model, call_id, name, (SELECT is_cancelled FROM mine) FROM lines ORDER BY seq, step, ordinal;
