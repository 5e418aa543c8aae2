-- Messages as they are read; chat writes them.

-- fragment: message_body
json_build_object('id', r.id, 'conversationId', r.conversation_id, 'sessionId', r.session_id, 'seq', r.seq, 'parentId', r.parent_id, 'role', r.role,
	'status', r.status, 'content', r.text, 'parts', r.parts, 'attachments', '[]'::json, 'turnId', r.turn_id, 'model', r.model,
	'usage', CASE WHEN r.input_tokens IS NOT NULL OR r.output_tokens IS NOT NULL
		THEN json_build_object('inputTokens', coalesce(r.input_tokens, 0), 'outputTokens', coalesce(r.output_tokens, 0)) END,
	'clientMessageId', r.client_message_id, 'createdAt', rfc3339(r.created_at))

-- statement: conversation_messages_list
-- kind: read
-- params: owner uuid, parent uuid, after bigint, limit int
-- result: key text, id uuid, body json
SELECT r.seq::text AS key, r.id, CASE WHEN r.id IS NOT NULL THEN {{message_body}} END AS body
FROM conversations p
LEFT JOIN LATERAL (
	SELECT * FROM chat_messages
	WHERE owner_id = $1 AND conversation_id = $2 AND role IN ('user', 'assistant')
		AND seq < coalesce($3, 9223372036854775807)
	ORDER BY seq DESC LIMIT $4
) r ON true
WHERE p.owner_id = $1 AND p.id = $2
ORDER BY r.seq DESC;

-- statement: conversation_messages_list_asc
-- kind: read
-- params: owner uuid, parent uuid, after bigint, limit int
-- result: key text, id uuid, body json
SELECT r.seq::text AS key, r.id, CASE WHEN r.id IS NOT NULL THEN {{message_body}} END AS body
FROM conversations p
LEFT JOIN LATERAL (
	SELECT * FROM chat_messages
	WHERE owner_id = $1 AND conversation_id = $2 AND role IN ('user', 'assistant')
		AND seq > coalesce($3, 0)
	ORDER BY seq LIMIT $4
) r ON true
WHERE p.owner_id = $1 AND p.id = $2
ORDER BY r.seq;

-- A session's messages are those of its default conversation, where questions to the session go.
-- statement: session_messages_list
-- kind: read
-- params: owner uuid, parent uuid, after bigint, limit int
-- result: key text, id uuid, body json
SELECT r.seq::text AS key, r.id, CASE WHEN r.id IS NOT NULL THEN {{message_body}} END AS body
FROM conversations p
LEFT JOIN LATERAL (
	SELECT * FROM chat_messages
	WHERE owner_id = $1 AND conversation_id = p.id AND role IN ('user', 'assistant')
		AND seq < coalesce($3, 9223372036854775807)
	ORDER BY seq DESC LIMIT $4
) r ON true
WHERE p.owner_id = $1 AND p.session_id = $2 AND p.is_default
ORDER BY r.seq DESC;

-- statement: session_messages_list_asc
-- kind: read
-- params: owner uuid, parent uuid, after bigint, limit int
-- result: key text, id uuid, body json
SELECT r.seq::text AS key, r.id, CASE WHEN r.id IS NOT NULL THEN {{message_body}} END AS body
FROM conversations p
LEFT JOIN LATERAL (
	SELECT * FROM chat_messages
	WHERE owner_id = $1 AND conversation_id = p.id AND role IN ('user', 'assistant')
		AND seq > coalesce($3, 0)
	ORDER BY seq LIMIT $4
) r ON true
WHERE p.owner_id = $1 AND p.session_id = $2 AND p.is_default
ORDER BY r.seq;
