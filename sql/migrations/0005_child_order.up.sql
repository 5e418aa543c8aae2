-- Children are read by owner and session together. One index that begins with both is read alone, in the order of the list, however many rows the
-- owner has in other sessions; with the session alone the planner added the owner's index to it and read all of the owner's rows.

CREATE INDEX renovation_rooms_by_session ON renovationd.renovation_rooms (owner_id, session_id, position, id);
DROP INDEX renovationd.renovation_rooms_order;

CREATE INDEX tasks_by_session ON renovationd.tasks (owner_id, session_id, position, id) WHERE session_id IS NOT NULL;
DROP INDEX renovationd.tasks_session_order;

-- The list by due time, those without one last.
CREATE INDEX tasks_by_due ON renovationd.tasks (owner_id, coalesce(due_at, 'infinity'), id);

CREATE INDEX product_recommendations_by_session ON renovationd.product_recommendations (owner_id, session_id, id DESC);
DROP INDEX renovationd.product_recommendations_order;

CREATE INDEX contractor_recommendations_by_session ON renovationd.contractor_recommendations (owner_id, session_id, id DESC);
DROP INDEX renovationd.contractor_recommendations_order;
