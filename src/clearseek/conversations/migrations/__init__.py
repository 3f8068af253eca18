"""How the chat history's file grew: one file per released schema, run by Alembic when the file is opened."""
