-- The to-do list: of an owner, of a session or of a room.

CREATE TABLE renovationd.tasks (
	id           uuid PRIMARY KEY DEFAULT renovationd.uuid7(),
	owner_id     uuid NOT NULL REFERENCES renovationd.owners (id) ON DELETE CASCADE,
	session_id   uuid,
	room_id      uuid,
	title        text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 200),
	description  text,
	status       text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'in_progress', 'done', 'cancelled')),
	completed    boolean NOT NULL GENERATED ALWAYS AS (status = 'done') STORED,
	priority     text NOT NULL DEFAULT 'normal' CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
	due_at       timestamptz,
	position     int NOT NULL DEFAULT 0,
	created_by   text NOT NULL DEFAULT 'user' CHECK (created_by IN ('user', 'agent', 'mcp')),
	turn_id      uuid,
	step         int,
	ordinal      int,
	completed_at timestamptz,
	created_at   timestamptz NOT NULL DEFAULT now(),
	updated_at   timestamptz NOT NULL DEFAULT now(),
	version      int NOT NULL DEFAULT 1,
	CONSTRAINT tasks_origin CHECK ((turn_id IS NULL) = (step IS NULL) AND (turn_id IS NULL) = (ordinal IS NULL)),
	CONSTRAINT tasks_session FOREIGN KEY (owner_id, session_id)
		REFERENCES renovationd.renovation_sessions (owner_id, id) ON UPDATE CASCADE ON DELETE SET NULL (session_id) DEFERRABLE,
	CONSTRAINT tasks_room FOREIGN KEY (owner_id, room_id)
		REFERENCES renovationd.renovation_rooms (owner_id, id) ON UPDATE CASCADE ON DELETE SET NULL (room_id) DEFERRABLE
);
CREATE INDEX tasks_due ON renovationd.tasks (owner_id, status, due_at, id);
CREATE INDEX tasks_order ON renovationd.tasks (owner_id, position, id);
CREATE INDEX tasks_session_order ON renovationd.tasks (session_id, position, id) WHERE session_id IS NOT NULL;
CREATE INDEX tasks_by_room ON renovationd.tasks (room_id) WHERE room_id IS NOT NULL;
CREATE UNIQUE INDEX tasks_once ON renovationd.tasks (turn_id, step, ordinal) WHERE turn_id IS NOT NULL;
COMMENT ON TABLE renovationd.tasks IS 'Something to do; made by the owner, the agent or an MCP client';
COMMENT ON COLUMN renovationd.tasks.turn_id IS 'With step and ordinal: the tool call that made it, so that a repeated call makes it once';
