DROP TABLE renovationd.tool_calls;
DROP TABLE renovationd.turn_steps;
DROP FUNCTION renovationd.turn_chunks_maintain(int, interval);
DROP FUNCTION renovationd.turn_chunks_ensure(date);
DROP TABLE renovationd.turn_chunks;
DROP TABLE renovationd.turns;
DROP TABLE renovationd.chat_messages;
DROP TABLE renovationd.conversations;
